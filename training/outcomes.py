"""Past scores against what has happened since, and whether the customers are still those of the training."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.labels import labels
from histories.clock import local_day, to_instant, to_text
from histories.errors import BadInput
from histories.history import History
from histories.storage import outputs
from histories.storage.store import Store
from models.frame import rows
from training import drift, metrics, past_scores
from training.backtest import next_baskets
from training.drift import Drift
from training.examine import fetch
from training.judge import Answers, Truth
from training.tracking import Release, Tracker

MOST_CUSTOMERS = 100_000  # a sample this large tells as much as everybody
SEED = 2
FAR = 0.25  # PSI: the usual bound of a population that has moved
CHURN_GAP = 0.05  # between the mean forecast and the share that was lost
SPEND_BIAS = 0.25
_FEWEST = 100  # customers of whom an alarm may be raised
_RESAMPLES = 200
Measures = dict[str, float]


@dataclass(frozen=True)
class Judged:
    """The scores of one release as of one instant whose horizon has passed."""

    release: str
    as_of: int  # us
    horizon_days: int
    customers: int
    left_out: int  # rows without a model behind them, or of customers who are gone
    by_segment: Mapping[str, Measures]  # "all" first
    alarms: tuple[str, ...]
    truth: Truth = field(repr=False)
    answers: Answers = field(repr=False)


@dataclass(frozen=True)
class Outcomes:
    judged: tuple[Judged, ...]
    waiting: tuple[str, ...]  # what cannot be judged, or not yet, and why
    release: str | None  # whose drift it is: the champion's
    as_of: int
    drifts: tuple[Drift, ...]  # the furthest first

    @property
    def alarms(self) -> tuple[str, ...]:
        """Scores that drifted, or came out otherwise. Features that moved and left the scores alone raise none."""
        far = [each for each in self.drifts if each.column.startswith("score/") and is_far(each)]
        moved = [f"{each.column} of release {self.release} has drifted: PSI {each.psi:.2f}" for each in far]
        return (*(alarm for each in self.judged for alarm in each.alarms), *moved)


def is_far(each: Drift) -> bool:
    return each.psi > max(FAR, each.noise)


def outcomes(store: Store, tracker: Tracker, scores: Sequence[str] = ()) -> Outcomes:
    """`scores`: files, folders, URL#TABLE; those that the store knows of unless given.

    Raises BadInput where there is neither anything scored nor a champion.
    """
    span = store.span()
    champion = tracker.champion()
    found = past_scores.runs(scores or _known(store))
    if span is None or not (found or champion):
        raise BadInput("there are no scores and no champion: regulars train, promote, score; or name --scores FILE")
    share = MOST_CUSTOMERS / max(store.counts("customers")["customers"], 1)
    history = store.sample(share, purpose="prediction", seed=SEED)
    judged, waiting = _judge_all(found, share, history, span[1], tracker)
    drifts: list[Drift] = []
    if champion:
        drifts, silent = _drifts(tracker, champion, history, span[1])
        waiting += [silent] if silent else []
    return Outcomes(tuple(judged), tuple(waiting), champion.id if champion else None, span[1], tuple(drifts))


def _known(store: Store) -> list[str]:
    """What batch scoring has written and is still there; unfinished runs are not meant, nor outputs of other kinds."""
    with store.snapshot() as connection:
        places = [each.place for each in outputs.known(connection) if each.release != outputs.NO_RELEASE]
    return [place for place in places if "://" in place or (not place.endswith("parts") and Path(place).exists())]


def _judge_all(
    found: Mapping[past_scores.Run, list[str]], share: float, history: History, newest: int, tracker: Tracker
) -> tuple[list[Judged], list[str]]:
    judged, waiting = [], []
    for run, places in found.items():
        name, as_of = run.release, to_instant(run.as_of.to_pydatetime())
        release = tracker.release(name)
        what = f"scores of {to_text(as_of)} by release {name}"
        if release is None:
            waiting.append(f"{what}: this release is not in the registry")
            continue
        days = int(release.tags["horizon_days"])
        left = local_day(as_of, history.zone) + days - local_day(newest, history.zone)
        if left > 0:
            waiting.append(f"{what}: {left} of {days} days are still to come in the data")
            continue
        judged.append(judge_scores(history, past_scores.read(places, run, share, SEED), name, as_of, days))
    return judged, waiting


def judge_scores(history: History, table: pd.DataFrame, release: str, as_of: int, horizon_days: int) -> Judged:
    """Rows of customers of the history that a model stands behind, against their horizon after as_of."""
    at = pd.Index(history.customer_id).get_indexer(pd.Index(table["customer_id"]))
    kept = (at >= 0) & (table["source"] == "model").to_numpy()
    rows_of, table = at[kept], table[kept].reset_index(drop=True)
    came = labels(history, as_of, horizon_days)
    baskets = next_baskets(history, as_of, horizon_days)
    hit = _hits(history, table, [baskets[row] for row in rows_of])
    truth = Truth(
        orders=came.orders[rows_of].astype(float),
        spend=came.spend[rows_of].astype(float),
        days=came.next_day[rows_of].astype(float),
        has_basket=np.array([len(baskets[row]) > 0 for row in rows_of], dtype=bool),
        horizon_days=horizon_days,
    )
    names = {"churn": "churn_probability", "mean": "expected_spend", "low": "low", "high": "high",
             "orders": "expected_orders"}  # fmt: skip
    answers = {name: table[column].to_numpy(float) for name, column in names.items()} | {"hit": hit}
    groups = {"all": np.ones(len(table), dtype=bool)}
    groups |= {str(name): (table["segment"] == name).to_numpy() for name in sorted(table["segment"].unique())}
    return Judged(
        release=release,
        as_of=as_of,
        horizon_days=horizon_days,
        customers=len(table),
        left_out=int((~kept).sum()),
        by_segment={name: _measures(truth, answers, np.flatnonzero(group)) for name, group in groups.items()},
        alarms=tuple(_alarms(truth, answers, f"scores of {to_text(as_of)} by release {release}")),
        truth=truth,
        answers=answers,
    )


def _hits(history: History, table: pd.DataFrame, baskets: Sequence[NDArray]) -> NDArray[np.float64]:
    """Whether the first basket held a recommended product; nan without a basket, or without products of one's own."""
    code_of, hit = history.catalog.code_of, np.full(len(table), np.nan)
    own = (table["products_source"] == "model").to_numpy()
    for row, (products, basket) in enumerate(zip(table["products"], baskets, strict=True)):
        if own[row] and len(basket):
            hit[row] = np.isin([code_of.get(product, -1) for product in products], basket).any()
    return hit


def _measures(truth: Truth, answers: Answers, rows_of: NDArray) -> Measures:
    """What one line of the table says; nan where nothing can be said."""
    if not len(rows_of):
        return {}
    part, of = truth.take(rows_of), {name: values[rows_of] for name, values in answers.items()}
    tenth = max(1, round(len(rows_of) / 10))
    hit = of["hit"][~np.isnan(of["hit"])]
    return {
        "customers": float(len(rows_of)),
        "churn_forecast": float(of["churn"].mean()),
        "churn_observed": float(part.lost.mean()),
        "ece": metrics.ece(part.lost, of["churn"]),
        "auc": metrics.auc(part.lost, of["churn"]),
        "gain_at_10": metrics.reached(part.lost, of["churn"], tenth) / max(part.lost.sum(), 1),
        "spend_gain_at_10": metrics.reached(part.spend, of["mean"], tenth) / max(part.spend.sum(), 1e-9),
        "spend_bias": metrics.bias(part.spend, of["mean"]),
        "orders_bias": metrics.bias(part.orders, of["orders"]),
        "coverage_80": metrics.coverage(part.spend, of["low"], of["high"]),
        "hit_rate": float(hit.mean()) if len(hit) else math.nan,
    }


def _alarms(truth: Truth, answers: Answers, what: str) -> list[str]:
    """Forecasts that are off by more than matters and by more than chance: three deviations, a 95 % interval."""
    if len(truth) < _FEWEST:
        return []
    found, churn, gap = [], answers["churn"], float(answers["churn"].mean() - truth.lost.mean())
    if abs(gap) > max(CHURN_GAP, 3 * math.sqrt(float((churn * (1 - churn)).sum())) / len(churn)):
        found.append(f"{what}: churn was forecast at {churn.mean():.3f} and came to {truth.lost.mean():.3f}")
    bias = metrics.bias(truth.spend, answers["mean"])
    draws = np.random.default_rng(SEED).integers(0, len(truth), (_RESAMPLES, len(truth)))
    low, high = np.quantile([metrics.bias(truth.spend[d], answers["mean"][d]) for d in draws], (0.025, 0.975))
    if abs(bias) > SPEND_BIAS and low * high > 0:
        found.append(f"{what}: spend was forecast {bias:+.0%} off what came (95 % interval {low:+.0%} to {high:+.0%})")
    return found


def _drifts(tracker: Tracker, release: Release, history: History, as_of: int) -> tuple[list[Drift], str]:
    """Of today's customers as the release sees them; or why nothing can be said."""
    try:
        then = tracker.read_json(release, "reference.json")
    except OSError:
        return [], f"drift: release {release.id} was trained before histograms were kept; retrain to have them"
    with tempfile.TemporaryDirectory() as scratch:
        fitted = fetch(tracker, release, Path(scratch))
    X, names = rows(history, as_of, fitted.encoder)
    X = X[X[:, names.index("purchases")] > 0]
    now = drift.population(fitted.churn, fitted.customer_value, fitted.segments, X, names, as_of)
    return drift.drifts(then, now), ""
