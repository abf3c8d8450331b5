"""Is the customer buying more or less than before?"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from features.feature import Feature, family
from features.numbers import mean, ratio, slope
from features.past import Past
from histories.compiled import lean

SPANS = (30, 90, 180, 365)
HALF_LIVES = (30, 90, 360)  # days; each divides the next, see _decayed_sums
_S = len(SPANS)
_LOG_HALF = math.log(0.5)


def _recent(days: int) -> tuple[tuple[str, str, str], ...]:
    last = f"of the last {2 * days} days, the share that fell in the last {days}; .5 is steady"
    return ((f"orders_recent_share_{days}d", "share", f"orders {last}"),
            (f"spend_recent_share_{days}d", "share", f"spend {last}"))  # fmt: skip


def _decayed(days: int) -> tuple[tuple[str, str, str], ...]:
    weight = f"each purchase day weighing 0.5 ** (age in days / {days})"
    return ((f"orders_decayed_{days}d", "orders", f"orders, {weight}"),
            (f"spend_decayed_{days}d", "money", f"spend, {weight}"))  # fmt: skip


FEATURES: tuple[Feature, ...] = family(
    "trend",
    *(column for days in SPANS for column in _recent(days)),
    *(column for days in HALF_LIVES for column in _decayed(days)),
    ("spend_slope", "per order", "least-squares change from order to order, as a share of the mean; needs three"),
    ("spend_recent_ratio", "ratio", "mean spend of the last three orders (or fewer) / mean spend of all"),
    ("spend_last_ratio", "ratio", "spend of the last order / mean spend of all"),
)


@lean
def fill(row: NDArray[np.float32], past: Past) -> None:
    for s in range(_S):
        row[2 * s], row[2 * s + 1] = _recent_shares(past, SPANS[s])
    at = 2 * _S
    _decayed_sums(row[at:], past)
    at += 6
    n, centre = len(past.spend), mean(past.spend)
    row[at] = slope(past.spend, centre)
    row[at + 1] = ratio(mean(past.spend[max(n - 3, 0) :]), centre)
    row[at + 2] = ratio(past.spend[n - 1], centre) if n > 0 else np.nan


@lean
def _recent_shares(past: Past, span: int) -> tuple[float, float]:
    orders, all_orders, spend, all_spend = 0.0, 0.0, 0.0, 0.0
    for k in range(len(past.day) - 1, -1, -1):
        age = past.as_of_day - past.day[k]
        if age >= 2 * span:
            break
        all_orders += 1
        all_spend += past.spend[k]
        if age < span:
            orders, spend = all_orders, all_spend
    return ratio(orders, all_orders), ratio(spend, all_spend)


@lean
def _decayed_sums(row: NDArray[np.float32], past: Past) -> None:
    """A short half-life's weight is a power of a longer one's: one exponential for three."""
    orders_30 = orders_90 = orders_360 = spend_30 = spend_90 = spend_360 = 0.0
    for k in range(len(past.day)):
        w360 = math.exp(_LOG_HALF / 360 * (past.as_of_day - past.day[k]))
        w90 = w360 * w360 * w360 * w360
        w30 = w90 * w90 * w90
        orders_30, orders_90, orders_360 = orders_30 + w30, orders_90 + w90, orders_360 + w360
        spend = past.spend[k]
        spend_30, spend_90, spend_360 = spend_30 + w30 * spend, spend_90 + w90 * spend, spend_360 + w360 * spend
    row[0], row[2], row[4] = orders_30, orders_90, orders_360
    row[1], row[3], row[5] = spend_30, spend_90, spend_360
