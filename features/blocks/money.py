"""How much the customer spends: gross amounts of purchase days, in shop currency."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.feature import family
from features.numbers import deviation, mean, median_of_sorted, ratio, sort, total
from features.past import Past
from histories.compiled import lean

FEATURES = family(
    "money",
    ("spend_total", "money", "spend, ever; 0 without purchases"),
    ("spend_mean_order", "money", "mean spend of a purchase day"),
    ("spend_median_order", "money", "median spend of a purchase day"),
    ("spend_std_order", "money", "sample standard deviation of the spend of purchase days; needs two"),
    ("spend_cv_order", "ratio", "spend_std_order / spend_mean_order"),
    ("spend_min_order", "money", "spend of the smallest purchase day"),
    ("spend_max_order", "money", "spend of the largest purchase day"),
    ("spend_first_order", "money", "spend of the first purchase day"),
    ("spend_last_order", "money", "spend of the last purchase day"),
    ("monetary_value", "money", "mean spend of repeat purchase days: the first is left out; needs two"),
    ("spend_max_share", "share", "spend_max_order / spend_total"),
    ("spend_per_30d", "money", "spend per 30 days of tenure, the first and the last day counted"),
)


@lean
def fill(row: NDArray[np.float32], past: Past) -> None:
    spend, n = past.spend, len(past.spend)
    whole = total(spend)
    row[0] = whole
    row[1:12] = np.nan
    if n == 0:
        return
    ordered = past.room[:n]
    for i in range(n):
        ordered[i] = spend[i]
    sort(ordered)
    row[1] = whole / n
    row[2] = median_of_sorted(ordered)
    row[3] = deviation(spend, whole / n)
    row[4] = ratio(row[3], whole / n)
    row[5], row[6] = ordered[0], ordered[n - 1]
    row[7], row[8] = spend[0], spend[n - 1]
    row[9] = mean(spend[1:])
    row[10] = ratio(ordered[n - 1], whole)
    row[11] = 30.0 * whole / (past.as_of_day - past.day[0] + 1)
