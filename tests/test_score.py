"""The weight of the trees is what a backtest makes of them; sums stay where the start puts them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from scipy.special import expit

from features.attributes import AttributeEncoder
from histories.clock import DAY
from models.btyd.mixture import Base
from models.churn import Churn
from models.customer_value import _of_buyers
from models.frame import Frame, training_frame
from models.scores.plain import COLUMNS, Plain, log_spend, positions
from models.scores.score import _BELIEF, _UNTRIED, _kept, _level, _weight
from models.scores.season import believed, returning
from models.scores.spread import Spread, quantile
from tests.pieces import from_python
from tests.shops import instant, toy_history

log_spend, quantile = map(from_python, (log_spend, quantile))

DAY_ONE = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("objective", ["binary", "poisson", "regression"])
@pytest.mark.parametrize("truth", [0.0, 1.0])
def test_the_weight_is_what_the_outcome_says(objective: str, truth: float) -> None:
    rng = np.random.default_rng(2)
    start, moved = rng.normal(-0.5, 1, 20_000), rng.normal(0, 0.7, 20_000)
    raw = start + truth * moved + 0.4  # the level is another one than in training
    y = {
        "binary": lambda: (rng.random(len(raw)) < expit(raw)).astype(float),
        "poisson": lambda: rng.poisson(np.exp(raw)).astype(float),
        "regression": lambda: raw + rng.normal(0, 1, len(raw)),
    }[objective]()
    assert _weight(objective, y, start, moved, _BELIEF) == pytest.approx(truth, abs=0.1)
    few = slice(None, 5)
    assert abs(_weight(objective, y[few], start[few], moved[few], _BELIEF) - _BELIEF) < 0.4


def young_shop(rng: np.random.Generator, *, regular: bool) -> Frame:
    """1,200 customers of 150 days, with a mean gap of ten days each: too young for a backtest of 60 days."""
    rows = []
    for customer in range(1_200):
        day = rng.uniform(0, 120)
        end = day + rng.exponential(80)
        while day < min(end, 150):
            rows.append(
                {"customer_id": f"c{customer}", "occurred_at": f"{DAY_ONE + timedelta(days=day):%Y-%m-%dT%H:%M}Z"}
            )
            day += 10 + rng.normal(0, 1) if regular else rng.exponential(10)
    history = toy_history(rows)
    return training_frame(history, instant("2024-05-29", "UTC"), 60, AttributeEncoder.fit(history))


def test_a_young_shop_believes_trees_as_far_as_customers_confirm_those_of_others() -> None:
    rng = np.random.default_rng(3)
    sure, doubtful = (young_shop(rng, regular=regular) for regular in (True, False))
    assert sure.earlier is doubtful.earlier is None
    weights = [Churn.fit(frame).score.weight for frame in (sure, doubtful)]
    assert weights[0] > max(_UNTRIED, weights[1]) + 0.15


def test_a_level_returns_after_a_year_if_levels_have_done_so() -> None:
    cuts = np.arange(0, 700, 28)
    season = np.where(cuts % 364 < 182, 0.4, -0.4)
    expected = [returning((cuts * DAY).tolist(), season.tolist(), day * DAY) for day in (728 + 28, 728 + 210)]
    np.testing.assert_allclose(expected, [0.4, -0.4], atol=0.08)
    unlike = np.where(cuts < 364, season, -season)
    again = [returning((cuts * DAY).tolist(), unlike.tolist(), day * DAY) for day in (728 + 28, 728 + 210)]
    np.testing.assert_allclose(again, 0.0, atol=0.02)


def test_a_level_that_lasts_needs_no_year() -> None:
    cuts = (np.arange(5) * 28 * DAY).tolist()
    assert returning(cuts, [0.3, 0.28, 0.32, 0.3, 0.3], cuts[-1] + 28 * DAY) == pytest.approx(0.3, abs=0.02)
    assert abs(returning(cuts, [0.4, -0.4, 0.4, -0.4, 0.4], cuts[-1] + 28 * DAY)) < 0.01
    assert returning(cuts[:1], [0.3], cuts[-1]) == 0.0


@pytest.mark.parametrize("objective", ["binary", "poisson", "regression"])
def test_the_sum_is_kept(objective: str) -> None:
    rng = np.random.default_rng(4)
    start = rng.normal(-0.5, 1, 1000)
    raw = 1.3 * start + rng.normal(0.3, 0.5, 1000)
    inverse = {"binary": expit, "poisson": np.exp, "regression": np.asarray}[objective]
    kept = raw + _kept(objective, start, raw)
    assert inverse(kept).sum() == pytest.approx(inverse(start).sum(), rel=1e-6)


def test_a_level_of_nothing_but_churners_is_finite() -> None:
    assert np.isfinite(_level("binary", np.ones(10), np.zeros(10)))
    assert np.isfinite(_level("poisson", np.zeros(10), np.zeros(10)))


def test_a_spread_covers_what_it_is_asked_to() -> None:
    rng = np.random.default_rng(6)
    often = rng.normal(0, 1, 4000)
    residuals = rng.normal(0, np.where(often > 0, 0.4, 1.0))
    spread = Spread.fit(residuals[:2000], often[:2000], np.zeros(2000))
    asked = often[2000:]
    shift = np.log(np.exp(residuals[:2000]).mean())  # the spread is centred on the mean
    low, high = (
        np.log([quantile(spread.edges, spread.quantiles, level, 0.0, 0.0, often) for often in asked]) + shift
        for level in (0.1, 0.9)
    )
    inside = (residuals[2000:] >= low) & (residuals[2000:] <= high)
    for part in (asked > 0.5, asked < -0.5):
        assert inside[part].mean() == pytest.approx(0.8, abs=0.05)


def test_a_spread_by_hand() -> None:
    spread = Spread(np.empty(0), np.linspace(-1, 1, 101)[None, :])
    asked = ((0.5, 0.0), (0.5, 0.5), (0.75, 0.5), (0.5, 0.9))
    found = [quantile(spread.edges, spread.quantiles, level, gone, np.log(10.0), 0.0) for level, gone in asked]
    np.testing.assert_allclose(found, [10.0, 0.0, 10.0, 0.0], atol=1e-12)
    assert np.exp(Spread.usual().quantiles).mean() == pytest.approx(1.0, abs=0.05)


def test_one_who_was_given_up_and_came_does_not_move_everybodys_interval() -> None:
    rng = np.random.default_rng(7)
    residuals, often, expected = rng.normal(0, 0.8, 800), rng.normal(0, 1, 800), rng.normal(3, 1, 800)
    without = Spread.fit(residuals, often, expected)
    residuals[5], expected[5] = 9.0, -6.0
    with_it = Spread.fit(residuals, often, expected)
    np.testing.assert_allclose(with_it.quantiles[:, 10:90], without.quantiles[:, 10:90], atol=0.1)


def test_a_spread_is_freed_of_the_level_of_its_window() -> None:
    rng = np.random.default_rng(9)
    residuals, often, expected = rng.normal(0, 0.8, 800), rng.normal(0, 1, 800), rng.normal(3, 1, 800)
    made = [Spread.fit(residuals + level, often, expected).quantiles for level in (0.0, 0.5)]
    np.testing.assert_allclose(made[0], made[1], atol=1e-9)


def test_levels_are_believed_as_far_as_they_can_be_told_from_chance() -> None:
    assert believed([], []) == []
    np.testing.assert_allclose(believed([-0.7] * 6, [0.03] * 6), -0.7, atol=0.02)  # returns of half of everything
    sure, vague = believed([0.2, -0.2] * 4, [0.02] * 8), believed([0.2, -0.2] * 4, [0.2] * 8)
    np.testing.assert_allclose(sure, [0.2, -0.2] * 4, atol=0.02)
    np.testing.assert_allclose(vague, [0.04, -0.04] * 4, atol=0.02)


def test_the_plain_regression_finds_what_buyers_spend() -> None:
    rng = np.random.default_rng(8)
    X = np.exp(rng.normal(3, 1, (3000, len(COLUMNS)))).astype(np.float32)
    truth = 1.0 - 0.3 * np.log(X[:, 0] + 1.0) + 0.6 * np.log(X[:, 3] + 0.01 * X[:, 3].mean())
    spent = np.where(rng.random(3000) < 0.5, truth + rng.normal(0, 0.5, 3000), np.nan)
    X[::7, 1] = np.nan
    plain = Plain.fit(X, COLUMNS, spent)
    at = positions(COLUMNS)
    said = np.array([log_spend(row, at, plain.numbers) for row in X])
    np.testing.assert_allclose(said, truth, atol=0.3)
    np.testing.assert_allclose(plain.level + plain.contributions(X, COLUMNS).sum(axis=1), said, atol=1e-9)
    assert np.isfinite(log_spend(np.full(4, np.nan, np.float32), at, plain.numbers))
    assert Plain.fit(X[:20], COLUMNS, truth[:20]) == Plain()


def test_the_plain_regression_weighs_less_the_more_buyers_there_are() -> None:
    rng = np.random.default_rng(9)
    X = np.exp(rng.normal(3, 1, (30_000, len(COLUMNS)))).astype(np.float32)
    spent = np.log(X[:, 3]) + rng.normal(0, 0.5, len(X))
    weights = [Plain.fit(X[:rows], COLUMNS, spent[:rows]).weight for rows in (20, 200, 2_000, 10_000, 30_000)]
    np.testing.assert_allclose(weights, [0.0, 1.0, 0.96, 0.5, 0.1], atol=0.01)


def test_the_plain_regression_believes_half_of_a_curve() -> None:
    rng = np.random.default_rng(10)
    X = np.exp(rng.normal(3, 1, (5000, len(COLUMNS)))).astype(np.float32)
    spent = 0.2 * (np.log(X[:, 3]) - 3) ** 2 + rng.normal(0, 0.5, len(X))
    assert Plain.fit(X, COLUMNS, spent).curve == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_views_are_averaged_by_weight(weight: float) -> None:
    rng = np.random.default_rng(11)
    X = np.exp(rng.normal(3, 1, (500, len(COLUMNS)))).astype(np.float32)
    plain = replace(Plain.fit(X, COLUMNS, np.log(X[:, 3]) + rng.normal(0, 0.5, 500)), weight=weight)
    said = {name: rng.normal(size=500) for name in ("churn", "orders", "basket")}
    base = Base(*np.exp(rng.normal(size=(4, 500))))
    location, often = _of_buyers(said, base, X, plain, COLUMNS)
    third = plain.level + plain.contributions(X, COLUMNS).sum(axis=1)
    whole = said["basket"] + often + np.log(base.worth) + weight * third
    np.testing.assert_allclose(location, whole / (2 + weight), atol=1e-9)
