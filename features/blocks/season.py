"""The calendar as of the row, and what the customer did at this time a year ago."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from features.feature import Feature, family
from features.numbers import ratio
from features.past import Past
from histories.compiled import lean

SPANS = (30, 90, 180)
_N = len(SPANS)
_YEAR = 365
_TURN = 2 * math.pi / 365.2425  # angle of a day


def _year_ago(days: int) -> tuple[tuple[str, str, str], ...]:
    text = f"of the {days} days after the day that lies 365 days before the day of as_of"
    return ((f"orders_year_ago_next_{days}d", "orders", f"purchase days {text}"),
            (f"spend_year_ago_next_{days}d", "money", f"spend {text}"))  # fmt: skip


FEATURES: tuple[Feature, ...] = family(
    "season",
    *(column for days in SPANS for column in _year_ago(days)),
    ("orders_year_ago_previous_90d", "orders", "purchase days of the 90 days up to 365 days before as_of"),
    ("spend_year_ago_previous_90d", "money", "spend of the 90 days up to 365 days before as_of"),
    ("season_share_next_90d", "share", "of all purchase days, those 1 to 90 days after this day of an earlier year"),
    ("as_of_season_sin", "", "sine of the day of as_of on the circle of the year (0 on 1 January)"),
    ("as_of_season_cos", "", "cosine of the same: 1 on 1 January, -1 at midsummer"),
    ("as_of_weekday", "weekday", "of the day of as_of; 0 is Monday"),
)


@lean
def fill(row: NDArray[np.float32], past: Past) -> None:
    for s in range(_N):
        row[2 * s], row[2 * s + 1] = _year_ago_sums(past, 0, SPANS[s])
    at = 2 * _N
    row[at], row[at + 1] = _year_ago_sums(past, -90, 0)
    row[at + 2] = _coming_share(past, 90)
    row[at + 3] = math.sin(past.as_of_day * _TURN)
    row[at + 4] = math.cos(past.as_of_day * _TURN)
    row[at + 5] = (past.as_of_day + 3) % 7  # 1970-01-01 was a Thursday


@lean
def _year_ago_sums(past: Past, low: int, high: int) -> tuple[float, float]:
    """Purchase days and spend of (low, high] days after the day one year before as_of."""
    orders, spend = 0.0, 0.0
    for k in range(len(past.day)):
        after = _YEAR - (past.as_of_day - past.day[k])
        if low < after <= high:
            orders += 1
            spend += past.spend[k]
    return orders, spend


@lean
def _coming_share(past: Past, span: int) -> float:
    coming = 0.0
    for k in range(len(past.day)):
        before = (past.as_of_day - past.day[k]) % _YEAR  # days before this day of the year
        coming += before >= _YEAR - span
    return ratio(coming, np.float64(len(past.day)))
