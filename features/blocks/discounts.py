"""How much of the buying is on discount."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.feature import family
from features.numbers import ratio, total
from features.past import Past
from histories.compiled import lean

FEATURES = family(
    "discounts",
    ("discount_share", "share", "of the purchase lines, those with a discount"),
    ("discount_rate", "share", "discount / (spend + discount), ever"),
    ("discount_rate_365d", "share", "the same over the last 365 days"),
    ("discount_rate_last_order", "share", "the same on the last purchase day"),
)


@lean
def fill(row: NDArray[np.float32], past: Past) -> None:
    n, first = len(past.day), 0
    while first < n and past.as_of_day - past.day[first] >= 365:
        first += 1
    row[0] = ratio(np.float64(past.discounted), np.float64(len(past.order)))
    row[1], row[2] = _rate(past, 0), _rate(past, first)
    row[3] = _rate(past, max(n - 1, 0))


@lean
def _rate(past: Past, first: int) -> float:
    saved = total(past.saved[first:])
    return ratio(saved, total(past.spend[first:]) + saved)
