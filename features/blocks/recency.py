"""How long ago the customer last ordered."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.feature import family
from features.numbers import ratio
from features.past import Past
from histories.compiled import lean

FEATURES = family(
    "recency",
    ("days_since_last_order", "days", "from the last purchase day to the day of as_of; 0 on the same day"),
    ("days_since_previous_order", "days", "from the last but one purchase day to the day of as_of"),
    ("recency", "days", "from the first to the last purchase day, as in buy-till-you-die models"),
    ("recency_share", "share", "recency / T"),
)


@lean
def fill(row: NDArray[np.float32], past: Past) -> None:
    day, n = past.day, len(past.day)
    row[:4] = np.nan
    if n > 0:
        row[0] = past.as_of_day - day[n - 1]
        row[2] = day[n - 1] - day[0]
        row[3] = ratio(day[n - 1] - day[0], past.as_of_day - day[0])
    if n > 1:
        row[1] = past.as_of_day - day[n - 2]
