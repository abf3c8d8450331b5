"""Recall, NDCG and hit rate of ranked baskets per user, and the paired bootstrap between two methods."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.baskets import Split

METRICS = ("recall@10", "recall@20", "ndcg@10", "ndcg@20", "ndcg_full@10", "phr@10")
DRAWS = 1000
_DISCOUNT = 1.0 / np.log2(np.arange(2, 1002))


def measure(top: NDArray[np.int64], split: Split) -> dict[str, NDArray[np.float64]]:
    """Each metric per scored user; the parts `_repeat` and `_new` are nan for users whose target has no such item.

    recall = hits / size of target; ndcg's ideal is over min(k, size), ndcg_full's over the whole target.
    """
    values: dict[str, list[float]] = {}
    for user, target, ranked in zip(split.scored, split.targets, top, strict=True):
        seen = {item for basket in split.histories[user] for item in basket}
        repeat = np.array([item in seen for item in target])
        for name, value in _user(ranked, np.array(target), repeat).items():
            values.setdefault(name, []).append(value)
    return {name: np.array(column) for name, column in values.items()}


def _user(ranked: NDArray[np.int64], target: NDArray[np.int64], repeat: NDArray[np.bool_]) -> dict[str, float]:
    hit = np.isin(ranked, target).astype(float)
    size = len(target)
    result = {}
    for k in (10, 20):
        result[f"recall@{k}"] = hit[:k].sum() / size
        result[f"ndcg@{k}"] = (hit[:k] * _DISCOUNT[:k]).sum() / _DISCOUNT[: min(k, size)].sum()
    result["ndcg_full@10"] = (hit[:10] * _DISCOUNT[:10]).sum() / _DISCOUNT[:size].sum()
    result["phr@10"] = float(hit[:10].any())
    for part, mask in (("repeat", repeat), ("new", ~repeat)):
        found = np.isin(target[mask], ranked[:10]).mean() if mask.any() else np.nan
        result[f"recall@10_{part}"] = float(found)
    return result


def gain(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> tuple[float, float, float]:
    """Mean difference over users and its 95 % interval by a paired bootstrap."""
    difference = ours - theirs
    draws = np.random.default_rng(0).integers(0, len(difference), (DRAWS, len(difference)))
    means = np.array([difference[draw].mean() for draw in draws])
    low, high = np.quantile(means, (0.025, 0.975))
    return float(difference.mean()), float(low), float(high)
