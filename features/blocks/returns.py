"""What comes back. A return voided by an equal purchase of its day is none."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.feature import family
from features.numbers import ratio, total
from features.past import Past
from histories.compiled import lean

FEATURES = family(
    "returns",
    ("returns_lines", "lines", "return lines, ever"),
    ("returns_lines_90d", "lines", "return lines of the last 90 days"),
    ("returns_spend", "money", "amount returned, ever, as a positive number"),
    ("returns_share", "share", "returns_spend / spend_total; above 1 when purchases before the data come back"),
    ("days_since_last_return", "days", "from the day of the last return line to the day of as_of"),
)


@lean
def fill(row: NDArray[np.float32], past: Past) -> None:
    n, recent = len(past.return_day), 0
    for day in past.return_day:
        recent += past.as_of_day - day < 90
    returned = total(past.returned)
    row[0], row[1], row[2] = n, recent, returned
    row[3] = ratio(returned, total(past.spend))
    row[4] = past.as_of_day - past.return_day[n - 1] if n > 0 else np.nan
