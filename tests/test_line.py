"""A line finds what the logs say beside a starting score, believes few customers little, is saved with its score."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from scipy.special import expit

from models.scores.line import Line, Where, line_of
from models.scores.plain import COLUMNS
from models.scores.score import Score, _belief, _Learned
from models.trees.boosting import Boosted
from tests.pieces import from_python

line_of = from_python(line_of)

Table = tuple[np.ndarray, np.ndarray, np.ndarray, Where]


def seen(customers: int, objective: str, *, windows: int = 1, seed: int = 1) -> Table:
    """Feature rows, what came, where the score began, and where: each customer is seen the same in every window."""
    rng = np.random.default_rng(seed)
    X = np.exp(rng.normal(3, 1, (customers, len(COLUMNS)))).astype(np.float32)
    start = rng.normal(-0.5, 0.7, customers)
    raw = 1.5 * start + 0.4 * (np.log(X[:, 0] + 1) - 3) + 0.3
    y = (rng.random(customers) < expit(raw)) if objective == "binary" else rng.poisson(np.exp(raw))
    who = np.tile(np.arange(customers, dtype=np.int32), windows)
    return X[who], y[who].astype(float), start[who], Where(np.repeat(np.arange(windows), customers), who)


@pytest.mark.parametrize("objective", ["binary", "poisson"])
def test_a_line_finds_what_the_logs_say(objective: str) -> None:
    lines = [Line.fit(objective, *_named(seen(1_500, objective, seed=seed))) for seed in range(10)]
    found = 2 * np.array([(line.slope, *line.slopes) for line in lines])  # that many customers have half its weight
    np.testing.assert_allclose(found.mean(axis=0), [0.5, 0.4, 0, 0, 0], atol=0.08)


def test_a_line_weighs_less_the_more_customers_there_are() -> None:
    slopes = [Line.fit("poisson", *_named(seen(customers, "poisson"))).slopes[0] for customers in (500, 1_500, 15_000)]
    np.testing.assert_allclose(slopes, [0.36, 0.2, 0.004], atol=0.08)


def test_a_line_believes_few_customers_little_however_often_they_were_seen() -> None:
    once, again = (Line.fit("binary", *_named(seen(40, "binary", windows=windows))) for windows in (1, 20))
    np.testing.assert_allclose((again.slope, *again.slopes), (once.slope, *once.slopes), atol=0.01)
    few = [Line.fit("binary", *_named(seen(10, "binary", seed=seed))) for seed in range(20)]
    assert abs(np.mean([each.slope for each in few])) < 0.5 * 0.6


def _named(table: Table) -> tuple[np.ndarray, tuple[str, ...], np.ndarray, np.ndarray, Where]:
    X, y, start, where = table
    return X, COLUMNS, y, start, where


def test_a_line_needs_its_columns_and_both_outcomes() -> None:
    X, y, start, where = seen(200, "binary")
    assert Line.fit("binary", X, ("T", "a", "b", "c"), y, start, where) == Line()
    for same in (np.zeros(200), np.ones(200)):
        assert Line.fit("binary", X, COLUMNS, same, start, where) == Line()
    assert not Line().contributions(X).any()
    np.testing.assert_array_equal(Line().raw(X, start), start)


def test_what_is_not_known_is_at_the_centre() -> None:
    X, y, start, where = seen(500, "poisson")
    X[::3, 3] = np.nan
    line = Line.fit("poisson", X, COLUMNS, y, start, where)
    said = np.array([line_of(row, line.arrays) for row in X])
    np.testing.assert_allclose(said, line.contributions(X).sum(axis=1), atol=1e-9)
    assert line_of(np.full(4, np.nan, np.float32), line.arrays) == 0.0


def test_heavy_buyers_do_not_throw_a_line_off() -> None:
    X, y, start, where = seen(300, "poisson")
    X[0], y[0], start[0] = 1e6, 5_000.0, 8.0
    line = Line.fit("poisson", X, COLUMNS, y, start, where)
    assert np.isfinite((line.slope, *line.slopes)).all()
    assert np.abs((line.slope, *line.slopes)).max() < 2


@pytest.mark.parametrize("weight", [0.0, 0.4, 1.0])
def test_a_score_is_the_average_of_its_views(weight: float) -> None:
    X, y, start, where = seen(1_000, "binary")
    line = Line.fit("binary", X, COLUMNS, y, start, where)
    learned = _Learned(line, Boosted.fit(X, y, 0.5 * start, "binary"), 0.5)
    lined, grown = learned.views(X, start)
    score = learned.score(weight, 0.2, None)
    np.testing.assert_allclose(score.raw(X, start), (1 - weight) * lined + weight * grown + 0.2, atol=1e-9)
    shares = score.contributions(X).sum(axis=1)
    np.testing.assert_allclose(score.slope * start + 0.2 + shares, score.raw(X, start), atol=1e-6)


def test_a_line_is_saved_with_its_score_and_earlier_releases_have_none() -> None:
    line = Line(0.5, (0, 2), (0.1, -0.2), (1.0, 2.0), (1.0, 1.0))
    score = Score(Boosted(None, None), 0.5, 0.75, -0.1, line)
    assert Score.of(Boosted(None, None), json.loads(json.dumps(score.numbers))) == score
    assert Score.of(Boosted(None, None), [0.5, 0.75, -0.1]).line == Line()
    assert Line.of(json.loads(json.dumps(asdict(line)))) == line


def test_trees_of_few_customers_are_believed_less() -> None:
    np.testing.assert_allclose([_belief(0.75, n) for n in (0, 50, 100, 900, 9_900)], [0, 0.25, 0.375, 0.675, 0.7425])
