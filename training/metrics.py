"""Measures of forecasts against what came: arrays of one customer each in, one number out, nan where undefined."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Values = NDArray[np.float64]
_CLIP = 1e-6


def auc(event: Values, score: Values) -> float:
    """Area under the ROC curve by ranks; ties count half."""
    positives = event > 0
    n_positive, n_negative = int(positives.sum()), int((~positives).sum())
    if not n_positive or not n_negative:
        return float("nan")
    ranks = rankdata(score)
    return float((ranks[positives].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def log_loss(event: Values, probability: Values) -> float:
    p = np.clip(probability, _CLIP, 1 - _CLIP)
    return float(-np.mean(np.where(event > 0, np.log(p), np.log1p(-p))))


def brier(event: Values, probability: Values) -> float:
    return float(np.mean((probability - event) ** 2))


def ece(event: Values, probability: Values, bins: int = 10) -> float:
    """Expected calibration error over bins of equal mass."""
    return float(np.sum([len(p) * abs(p - e).mean() for p, e in calibration(event, probability, bins)]) / len(event))


def calibration(event: Values, probability: Values, bins: int = 10) -> list[tuple[Values, Values]]:
    """Mean forecast and mean outcome (arrays of one) repeated per member, for each equal-mass bin."""
    by = np.argsort(probability, kind="stable")
    groups = [group for group in np.array_split(by, bins) if len(group)]
    return [(np.full(len(g), probability[g].mean()), np.full(len(g), event[g].mean())) for g in groups]


def mae(actual: Values, forecast: Values) -> float:
    return float(np.abs(actual - forecast).mean())


def rmse(actual: Values, forecast: Values) -> float:
    return float(np.sqrt(np.mean((actual - forecast) ** 2)))


def bias(actual: Values, forecast: Values) -> float:
    """Sum of forecasts over sum of actuals, less one."""
    total = actual.sum()
    return float(forecast.sum() / total - 1) if total else float("nan")


def spearman(actual: Values, forecast: Values) -> float:
    a, f = rankdata(actual), rankdata(forecast)
    if not a.std() or not f.std():
        return float("nan")
    return float(np.corrcoef(a, f)[0, 1])


def ngini(actual: Values, forecast: Values) -> float:
    """Gini of the actuals in the order of the forecasts over that in their own order."""
    best = _gini(actual, actual)
    return _gini(actual, forecast) / best if best else float("nan")


def _gini(actual: Values, score: Values) -> float:
    ordered = actual[np.argsort(-score, kind="stable")]
    if not ordered.sum():
        return 0.0
    return float(np.mean(np.cumsum(ordered) / ordered.sum()) - (len(actual) + 1) / (2 * len(actual)))


def coverage(actual: Values, low: Values, high: Values) -> float:
    """Share of actuals within [low, high], both ends included."""
    return float(np.mean((actual >= low) & (actual <= high)))


def explained(actual: Values, group: NDArray) -> float:
    """Share of the variance of log(1 + actual) that lies between groups (eta squared)."""
    value = np.log1p(np.maximum(actual, 0))
    total = value.var()
    if not total:
        return float("nan")
    _, code = np.unique(group, return_inverse=True)
    size = np.bincount(code)
    means = np.bincount(code, weights=value) / size
    return float(np.sum(size * (means - value.mean()) ** 2) / len(value) / total)


def date_error(days: Values, expected: Values) -> float:
    """Median absolute error in days over those who came (days not nan)."""
    came = ~np.isnan(days)
    return float(np.median(np.abs(days[came] - expected[came]))) if came.any() else float("nan")


def concordance(days: Values, expected: Values, horizon_days: int) -> float:
    """Harrell's C: share of comparable pairs put in the right order, ties half; nan days are later than the horizon."""
    until = np.where(np.isnan(days), horizon_days + 1.0, days)
    by = np.argsort(-until, kind="stable")
    later: list[float] = []
    right, pairs = 0.0, 0
    for same in np.split(by, np.flatnonzero(np.diff(until[by])) + 1):
        guesses = np.sort(expected[same]).tolist()
        if len(same) and until[same[0]] <= horizon_days:
            right += sum(len(later) - (bisect_left(later, g) + bisect_right(later, g)) / 2 for g in guesses)
            pairs += len(guesses) * len(later)
        later = sorted(later + guesses)  # two sorted runs: merged in one pass
    return right / pairs if pairs else float("nan")


def recall_and_ndcg(basket: NDArray, ranked: NDArray, k: int = 10) -> tuple[float, float]:
    """Recall@k (hits / size of basket) and NDCG@k (ideal over min(k, size)) of one ranked list."""
    hits = np.isin(ranked[:k], basket).astype(float)
    discounts = 1 / np.log2(np.arange(2, k + 2))
    ideal = discounts[: min(k, len(basket))].sum()
    return float(hits.sum() / len(basket)), float((hits * discounts[: len(hits)]).sum() / ideal)


def reached(actual: Values, score: Values, budget: int) -> float:
    """Sum of actuals over the `budget` customers ranked highest."""
    return float(actual[np.argsort(-score, kind="stable")[:budget]].sum())


def share_reached(actual: Values, score: Values, share: float) -> float:
    """Share of the sum of actuals held by that share of the customers, ranked highest; at least one of them."""
    total = actual.sum()
    return reached(actual, score, max(1, round(share * len(actual)))) / float(total) if total else float("nan")
