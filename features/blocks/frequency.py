"""How often, and for how long, the customer has been buying."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.feature import family
from features.numbers import ratio
from features.past import Past
from histories.compiled import lean

FEATURES = family(
    "frequency",
    ("purchases", "orders", "purchase days, ever"),
    ("frequency", "orders", "repeat purchase days: purchases - 1, and 0 without any"),
    ("T", "days", "from the first purchase day to the day of as_of"),
    ("tenure_days", "days", "the same as T, under the name that people use"),
    ("orders_per_30d", "orders", "purchases per 30 days of tenure, the first and the last day counted"),
    ("active_months_12", "months", "of the 12 periods of 30 days up to as_of, those with a purchase day"),
)


@lean
def fill(row: NDArray[np.float32], past: Past) -> None:
    n = len(past.day)
    tenure = np.float64(past.as_of_day - past.day[0]) if n > 0 else np.nan
    row[0] = n
    row[1] = max(n - 1, 0)
    row[2] = row[3] = tenure
    row[4] = ratio(30.0 * n, tenure + 1)
    row[5] = _active_months(past)


@lean
def _active_months(past: Past) -> int:
    seen = 0
    for day in past.day:
        age = past.as_of_day - day
        if age < 360:
            seen |= 1 << (age // 30)
    months = 0
    while seen > 0:
        months += seen & 1
        seen >>= 1
    return months
