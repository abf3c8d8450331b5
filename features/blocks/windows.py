"""Orders, spend and lines of the last N days: shop-local days in (day of as_of - N, day of as_of]."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.feature import Feature, family
from features.past import Past
from histories.compiled import lean

WINDOWS = (7, 14, 30, 60, 90, 180, 365)
_N = len(WINDOWS)


def _columns(days: int) -> tuple[tuple[str, str, str], ...]:
    return (
        (f"orders_{days}d", "orders", f"purchase days of the last {days} days, the day of as_of included"),
        (f"spend_{days}d", "money", f"spend of the last {days} days"),
        (f"lines_{days}d", "lines", f"purchase lines of the last {days} days"),
    )


FEATURES: tuple[Feature, ...] = family("windows", *(column for days in WINDOWS for column in _columns(days)))


@lean
def fill(row: NDArray[np.float32], past: Past) -> None:
    """Newest day first, so that each window is a running sum read off where it ends."""
    orders, spend, lines, k = 0, 0.0, 0, len(past.day) - 1
    for w in range(_N):
        while k >= 0 and past.as_of_day - past.day[k] < WINDOWS[w]:
            orders += 1
            spend += past.spend[k]
            lines += past.size[k]
            k -= 1
        row[3 * w], row[3 * w + 1], row[3 * w + 2] = orders, spend, lines
