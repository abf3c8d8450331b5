"""Judging: every metric of every method on the same holdout customers, differences with their noise, grades."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from training import metrics as m

OURS = "regulars"
CHAMPION = "champion"
K = 10
TENTH = 0.1  # share of the customers that a campaign can contact
_RESAMPLES = 200
_FEWEST_CUSTOMERS, _FEWEST_OF_A_KIND, _FEWEST_BASKETS = 50, 10, 20

# What a method says of each holdout customer, by name: churn, mean, median, rank, low, high, orders, segment, days
# (until the next order), recall and ndcg (nan without a basket in the holdout). What it does not know, it leaves out.
Answers = Mapping[str, NDArray]


@dataclass(frozen=True)
class Truth:
    """What came in the horizon after the cut, one entry per holdout customer."""

    orders: NDArray[np.float64]
    spend: NDArray[np.float64]
    days: NDArray[np.float64]  # until the next purchase day; nan if none came within the horizon
    has_basket: NDArray[np.bool_]
    horizon_days: int
    recent: NDArray[np.float64] | None = None  # spend in the horizon before the cut, 0 for who did not order in it

    def __len__(self) -> int:
        return len(self.orders)

    def take(self, rows: NDArray) -> Truth:
        recent = None if self.recent is None else self.recent[rows]
        return Truth(
            self.orders[rows], self.spend[rows], self.days[rows], self.has_basket[rows], self.horizon_days, recent
        )

    @property
    def lost(self) -> NDArray[np.float64]:
        return (self.orders == 0).astype(float)

    @property
    def lost_spend(self) -> NDArray[np.float64]:
        """What those who were lost had spent in the horizon before: what a campaign could have kept."""
        return self.lost * (np.zeros(len(self)) if self.recent is None else self.recent)

    @property
    def active(self) -> NDArray[np.bool_]:
        """Who spent in the horizon before the cut: to write to those long gone is no campaign against churn."""
        return np.zeros(len(self), dtype=bool) if self.recent is None else self.recent > 0


@dataclass(frozen=True)
class Metric:
    model: str
    name: str
    needs: tuple[str, ...]
    better: Literal["higher", "lower", "near 0", "near 0.8"]
    of: Callable[..., float]  # (truth, *the needed answers)


METRICS = (
    Metric("churn", "auc", ("churn",), "higher", lambda t, p: m.auc(t.lost, p)),
    Metric("churn", "log_loss", ("churn",), "lower", lambda t, p: m.log_loss(t.lost, p)),
    Metric("churn", "brier", ("churn",), "lower", lambda t, p: m.brier(t.lost, p)),
    Metric("churn", "ece", ("churn",), "lower", lambda t, p: m.ece(t.lost, p)),
    Metric("churn", "lost_spend_tenth", ("churn",), "higher", lambda t, p: lost_spend_reached(t, p)),
    Metric("customer_value", "count_mae", ("orders",), "lower", lambda t, x: m.mae(t.orders, x)),
    Metric("customer_value", "count_rmse", ("orders",), "lower", lambda t, x: m.rmse(t.orders, x)),
    Metric("customer_value", "spend_mae", ("median",), "lower", lambda t, x: m.mae(t.spend, x)),
    Metric("customer_value", "spend_spearman", ("rank",), "higher", lambda t, x: m.spearman(t.spend, x)),
    Metric("customer_value", "spend_ngini", ("mean",), "higher", lambda t, x: m.ngini(t.spend, x)),
    Metric("customer_value", "spend_tenth", ("mean",), "higher", lambda t, x: m.share_reached(t.spend, x, TENTH)),
    Metric("customer_value", "spend_bias", ("mean",), "near 0", lambda t, x: m.bias(t.spend, x)),
    Metric("customer_value", "coverage_80", ("low", "high"), "near 0.8", lambda t, a, b: m.coverage(t.spend, a, b)),
    Metric("next_purchase", f"recall@{K}", ("recall",), "higher", lambda t, x: _mean(x)),
    Metric("next_purchase", f"ndcg@{K}", ("ndcg",), "higher", lambda t, x: _mean(x)),
    Metric("next_purchase", "date_error_days", ("days",), "lower", lambda t, x: m.date_error(t.days, x)),
    Metric("next_purchase", "concordance", ("days",), "higher", lambda t, x: m.concordance(t.days, x, t.horizon_days)),
    Metric("segments", "spend_explained", ("segment",), "higher", lambda t, x: m.explained(t.spend, x)),
)
# What promotion looks at: each model's order, its size, and where it can be the money that a campaign reaches by it.
GATED = {
    "churn": ("auc", "log_loss", "lost_spend_tenth"),
    "customer_value": ("spend_spearman", "spend_mae", "spend_tenth"),
    "next_purchase": (f"recall@{K}", f"ndcg@{K}"),
    "segments": ("spend_explained",),
}
# The plain rule that each model has to be worth more than (see baselines).
RULES = {
    "churn": "no_order_in_n_days",
    "customer_value": "last_year_rate",
    "next_purchase": "own_favourites",
    "segments": "recency_quartiles",
}

Scores = dict[str, dict[str, dict[str, float]]]  # model -> metric -> method -> value


@dataclass(frozen=True)
class Difference:
    """Ours less another's, turned so that positive is better for us, with the 95 % bootstrap interval."""

    metric: str
    ours: float
    other: float
    gain: float
    low: float
    high: float

    @property
    def grade(self) -> str:
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "level"


def lost_spend_reached(truth: Truth, churn: NDArray) -> float:
    """Share of the lost spend reached by contacting a tenth of the active, those with most at stake first."""
    active = truth.active
    if truth.recent is None or not active.any():
        return float("nan")
    at_stake = churn[active] * truth.recent[active]
    return m.share_reached(truth.lost_spend[active], at_stake, TENTH)


def score(truth: Truth, methods: Mapping[str, Answers]) -> Scores:
    """Every metric of every method that answers it."""
    scores: Scores = {}
    for metric in METRICS:
        row = {name: measure(metric, truth, answers) for name, answers in methods.items() if _knows(metric, answers)}
        scores.setdefault(metric.model, {})[metric.name] = row
    return scores


def measure(metric: Metric, truth: Truth, answers: Answers) -> float:
    return metric.of(truth, *(answers[name] for name in metric.needs))


def unjudged(truth: Truth) -> dict[str, str]:
    """Models that the holdout is too small to judge, with the reason."""
    lost, came, baskets = int(truth.lost.sum()), int((truth.orders > 0).sum()), int(truth.has_basket.sum())
    if len(truth) < _FEWEST_CUSTOMERS:
        return {model: f"{len(truth)} holdout customers, {_FEWEST_CUSTOMERS} needed" for model in GATED}
    reasons: dict[str, str] = {}
    if min(lost, came) < _FEWEST_OF_A_KIND:
        why = f"{came} holdout customers ordered and {lost} did not, {_FEWEST_OF_A_KIND} of each needed"
        reasons |= {"churn": why, "customer_value": why, "segments": why}
    if baskets < _FEWEST_BASKETS:
        reasons["next_purchase"] = f"{baskets} holdout customers with a basket of products, {_FEWEST_BASKETS} needed"
    return reasons


def compare(truth: Truth, ours: Answers, other: Answers, models: Mapping[str, tuple[str, ...]]) -> dict:
    """Paired differences of the named metrics, model by model, where both methods answer and can be measured."""
    asked = [metric for metric in METRICS if metric.name in models.get(metric.model, ())]
    found: dict[str, list[Difference]] = {}
    for metric in asked:
        if _measurable(metric, truth, ours) and _measurable(metric, truth, other):
            found.setdefault(metric.model, []).append(difference(metric, truth, ours, other))
    return found


def difference(metric: Metric, truth: Truth, ours: Answers, other: Answers, seed: int = 0) -> Difference:
    """Resamples customers, the same for both methods."""
    mine, theirs = measure(metric, truth, ours), measure(metric, truth, other)
    random = np.random.default_rng(seed)
    gains = [_gain(metric, truth, ours, other, random.integers(0, len(truth), len(truth))) for _ in range(_RESAMPLES)]
    low, high = np.nanquantile(gains, (0.025, 0.975))
    return Difference(metric.name, mine, theirs, _turned(metric, mine) - _turned(metric, theirs), low, high)


def _gain(metric: Metric, truth: Truth, ours: Answers, other: Answers, rows: NDArray) -> float:
    part = truth.take(rows)
    mine, theirs = (metric.of(part, *(answers[name][rows] for name in metric.needs)) for answers in (ours, other))
    return _turned(metric, mine) - _turned(metric, theirs)


def _turned(metric: Metric, value: float) -> float:
    match metric.better:
        case "higher":
            return value
        case "lower":
            return -value
        case "near 0":
            return -abs(value)
        case _:
            return -abs(value - 0.8)


def _knows(metric: Metric, answers: Answers) -> bool:
    return all(name in answers for name in metric.needs)


def _measurable(metric: Metric, truth: Truth, answers: Answers) -> bool:
    return _knows(metric, answers) and bool(np.isfinite(measure(metric, truth, answers)))


def _mean(values: NDArray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
