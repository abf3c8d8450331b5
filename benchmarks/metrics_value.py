"""Metrics of churn, order counts and spend, and paired bootstrap intervals of their differences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import rankdata

Floats = NDArray[np.float64]
_SPEARMAN = {"spend_spearman", "spend_spearman_of_mean", "spend_spearman_by_churn"}
HIGHER_IS_BETTER = {"churn_auc", "churn_auc_by_orders", "count_corr", "spend_ngini"} | _SPEARMAN


@dataclass(frozen=True)
class Outcome:
    """What came in the holdout, per customer; spend None where the file has no amounts."""

    orders: Floats
    spend: Floats | None

    @property
    def churned(self) -> NDArray[np.bool_]:
        return self.orders == 0

    def take(self, rows: NDArray[np.int64]) -> Outcome:
        return Outcome(self.orders[rows], None if self.spend is None else self.spend[rows])


@dataclass(frozen=True)
class Forecast:
    """What a method expected, per customer; whatever it does not say is None and its metrics are left out."""

    orders: Floats | None = None
    churn: Floats | None = None
    spend: Floats | None = None
    median_spend: Floats | None = None  # MAE is judged on it; methods without one are judged on their mean
    rank: Floats | None = None  # the same of Spearman's correlation
    low: Floats | None = None
    high: Floats | None = None

    def take(self, rows: NDArray[np.int64]) -> Forecast:
        return Forecast(**{n: None if v is None else v[rows] for n, v in vars(self).items()})


def auc(event: NDArray[np.bool_], score: Floats) -> float:
    """Area under the ROC curve, ties counted half; nan without both kinds."""
    positives, negatives = event.sum(), (~event).sum()
    if positives == 0 or negatives == 0:
        return float("nan")
    ranks = rankdata(score)
    return float((ranks[event].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def log_loss(event: NDArray[np.bool_], p: Floats) -> float:
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return float(-np.log(np.where(event, p, 1 - p)).mean())


def brier(event: NDArray[np.bool_], p: Floats) -> float:
    return float(((p - event) ** 2).mean())


def calibration_error(event: NDArray[np.bool_], p: Floats, bins: int = 10) -> float:
    """Expected calibration error over bins of equal mass."""
    parts = np.array_split(np.argsort(p, kind="stable"), bins)
    return float(sum(abs(p[part].mean() - event[part].mean()) * len(part) for part in parts if len(part)) / len(p))


def calibration_evidence(outcome: Outcome, forecast: Forecast, draws: int = 300) -> dict[str, float]:
    """What of the calibration error is chance, and what the level of the period; what coverage the intervals promise.

    `perfect`: the error if every probability were exactly right, its mean and 95 % point. `levelled`: the error once
    the logits are shifted by the one constant that gives the true rate, and its 95 % point if it were right then.
    """
    if forecast.churn is None:
        return {}
    p, event = np.clip(forecast.churn, 1e-6, 1 - 1e-6), outcome.churned
    levelled = _at_rate(p, float(event.mean())) if 0 < event.mean() < 1 else p
    chance, chance_levelled = (_errors_by_chance(q, draws) for q in (p, levelled))
    evidence = {
        "churn_level": float(p.mean() - event.mean()),
        "churn_ece_perfect": float(chance.mean()),
        "churn_ece_perfect_95": float(np.quantile(chance, 0.95)),
        "churn_ece_levelled": calibration_error(event, levelled),
        "churn_ece_levelled_perfect_95": float(np.quantile(chance_levelled, 0.95)),
    }
    if forecast.high is not None:  # an interval of nothing but zero covers all who stay away
        evidence["interval_promised"] = float(np.where(forecast.high > 0, 0.8, p).mean())
    return evidence


def _at_rate(p: Floats, rate: float) -> Floats:
    raw = logit(p)
    return np.asarray(expit(raw + brentq(lambda shift: expit(raw + shift).mean() - rate, -30, 30)))


def _errors_by_chance(p: Floats, draws: int) -> Floats:
    rng = np.random.default_rng(11)
    p = np.sort(p)
    return np.array([calibration_error(rng.random(len(p)) < p, p) for _ in range(draws)])


def rmse(actual: Floats, forecast: Floats) -> float:
    return float(np.sqrt(((actual - forecast) ** 2).mean()))


def mae(actual: Floats, forecast: Floats) -> float:
    return float(np.abs(actual - forecast).mean())


def correlation(a: Floats, b: Floats) -> float:
    """Pearson's; 0 where a side does not vary."""
    if a.std() == 0 or b.std() == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def spearman(actual: Floats, forecast: Floats) -> float:
    return correlation(rankdata(actual), rankdata(forecast))


def normalised_gini(actual: Floats, forecast: Floats) -> float:
    """Gini of the actual values ranked by the forecast, over that of the perfect ranking."""
    perfect = _gini(actual, actual)
    return _gini(actual, forecast) / perfect if perfect else 0.0


def _gini(actual: Floats, by: Floats) -> float:
    if actual.sum() == 0:
        return 0.0
    share = np.cumsum(actual[np.argsort(-by, kind="stable")]) / actual.sum()
    return float(share.mean() - (len(actual) + 1) / (2 * len(actual)))


def judge(outcome: Outcome, forecast: Forecast) -> dict[str, float]:
    """All metrics that the forecast allows, by the names of the benchmark contract."""
    scores: dict[str, float] = {}
    if forecast.orders is not None:
        for name, metric in {"count_mae": mae, "count_rmse": rmse, "count_corr": correlation}.items():
            scores[name] = metric(outcome.orders, forecast.orders)
        scores["churn_auc_by_orders"] = auc(outcome.churned, -forecast.orders)  # some models rank better by these
    if forecast.churn is not None:
        churn: dict[str, Callable[[NDArray[np.bool_], Floats], float]] = {
            "churn_auc": auc,
            "churn_log_loss": log_loss,
            "churn_brier": brier,
            "churn_ece": calibration_error,
        }
        scores |= {name: metric(outcome.churned, forecast.churn) for name, metric in churn.items()}
    if forecast.spend is not None and outcome.spend is not None:
        scores |= _judge_spend(outcome.spend, forecast)
    return scores


def _judge_spend(actual: Floats, forecast: Forecast) -> dict[str, float]:
    mean = forecast.spend
    assert mean is not None
    scores = {
        "spend_mae": mae(actual, mean if forecast.median_spend is None else forecast.median_spend),
        "spend_rmse": rmse(actual, mean),
        "spend_spearman": spearman(actual, mean if forecast.rank is None else forecast.rank),
        "spend_ngini": normalised_gini(actual, mean),
        "spend_bias": float(mean.sum() / actual.sum() - 1) if actual.sum() else float("nan"),
    }
    if forecast.median_spend is not None:
        scores["spend_mae_of_mean"] = mae(actual, mean)
    if forecast.rank is not None:
        scores["spend_spearman_of_mean"] = spearman(actual, mean)
    if forecast.churn is not None:
        scores["spend_spearman_by_churn"] = spearman(actual, -forecast.churn)  # most spend nothing: it may rank better
    if forecast.low is not None and forecast.high is not None:
        inside = (actual >= forecast.low) & (actual <= forecast.high)
        scores["interval_coverage"] = float(inside.mean())
        tenths = [inside[part].mean() for part in np.array_split(np.argsort(mean, kind="stable"), 10) if len(part)]
        scores |= {f"interval_coverage_{n}": float(share) for n, share in enumerate(tenths, start=1)}
    return scores


def paired_gains(
    outcome: Outcome, ours: Forecast, peer: Forecast, draws: int, seed: int
) -> dict[str, tuple[float, float]]:
    """95 % bootstrap intervals over customers of our gain in each metric; above zero means ours is better."""
    rng = np.random.default_rng(seed)
    size = len(outcome.orders)
    differences: dict[str, list[float]] = {}
    for _ in range(draws):
        rows = rng.integers(0, size, size)
        sample = outcome.take(rows)
        left, right = judge(sample, ours.take(rows)), judge(sample, peer.take(rows))
        for name in left.keys() & right.keys() - {"churn_ece"}:
            gain = abs(right[name]) - abs(left[name])
            differences.setdefault(name, []).append(-gain if name in HIGHER_IS_BETTER else gain)
    return {n: tuple(np.nanpercentile(d, [2.5, 97.5]).tolist()) for n, d in sorted(differences.items())}
