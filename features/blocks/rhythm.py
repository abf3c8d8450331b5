"""At which hours and on which weekdays the customer buys: the first line of each purchase day, shop-local."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.feature import family
from features.past import Past
from histories.compiled import lean

_HOURS, _WEEKDAYS = 24, 7  # together the length of past.counts

FEATURES = family(
    "rhythm",
    ("weekend_share", "share", "of the purchase days, Saturdays and Sundays"),
    ("weekday_mode", "weekday", "most frequent weekday, the earliest in the week of equals; 0 is Monday"),
    ("weekday_last", "weekday", "weekday of the last purchase day"),
    ("weekday_entropy", "nats", "entropy of the weekdays: 0 always the same, 1.95 no habit"),
    ("morning_share", "share", "of the purchase days, those begun before 12:00"),
    ("evening_share", "share", "of the purchase days, those begun at 18:00 or later"),
    ("hour_mode", "hour", "most frequent hour, the earliest in the day of equals; 0 to 23"),
    ("hour_last", "hour", "hour of the last purchase day"),
    ("hour_entropy", "nats", "entropy of the hours: 0 always the same, 3.18 no habit"),
)


@lean
def fill(row: NDArray[np.float32], past: Past) -> None:
    n = len(past.day)
    row[:9] = np.nan
    if n == 0:
        return
    past.counts[:] = 0
    hours, weekdays = past.counts[:_HOURS], past.counts[_HOURS : _HOURS + _WEEKDAYS]
    for k in range(n):
        hours[past.hour[k]] += 1
        weekdays[(past.day[k] + 3) % _WEEKDAYS] += 1
    row[0] = (weekdays[5] + weekdays[6]) / n
    row[1], row[2], row[3] = weekdays.argmax(), (past.day[n - 1] + 3) % _WEEKDAYS, _entropy(weekdays, n)
    row[4], row[5] = hours[:12].sum() / n, hours[18:].sum() / n
    row[6], row[7], row[8] = hours.argmax(), past.hour[n - 1], _entropy(hours, n)


@lean
def _entropy(counts: NDArray[np.int64], total: int) -> float:
    """log(total) - sum of count * log(count) / total: most counts are 0 or 1 and cost no logarithm."""
    entropy = np.log(np.float64(total))
    for count in counts:
        if count > 1:
            entropy -= count * np.log(np.float64(count)) / total
    return entropy
