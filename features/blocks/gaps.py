"""The rhythm of ordering: days between consecutive purchase days, and the present silence against them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.feature import family
from features.numbers import deviation, mean, median_of_sorted, ratio, slope, sort
from features.past import Past
from histories.compiled import lean

FEATURES = family(
    "gaps",
    ("gap_mean", "days", "mean gap between consecutive purchase days; needs two"),
    ("gap_median", "days", "median gap"),
    ("gap_std", "days", "sample standard deviation of the gaps; needs three purchase days"),
    ("gap_cv", "ratio", "gap_std / gap_mean: 0 is clockwork, 1 is chance"),
    ("gap_min", "days", "shortest gap"),
    ("gap_max", "days", "longest gap"),
    ("gap_last", "days", "gap before the last purchase day"),
    ("gap_recent_mean", "days", "mean of the last three gaps (or fewer)"),
    ("gap_recent_ratio", "ratio", "gap_recent_mean / gap_mean: below 1 the customer quickens"),
    ("gap_slope", "per gap", "least-squares change from gap to gap, as a share of gap_mean; needs three gaps"),
    ("overdue", "ratio", "days_since_last_order / gap_mean: above 1 the customer is late"),
    ("overdue_median", "ratio", "days_since_last_order / gap_median"),
    ("overdue_max", "ratio", "days_since_last_order / gap_max: above 1 the silence is a record"),
    ("overdue_z", "deviations", "(days_since_last_order - gap_mean) / gap_std; nan when the gaps do not vary"),
    ("gap_longer_share", "share", "of the gaps, those longer than days_since_last_order"),
)


@lean
def fill(row: NDArray[np.float32], past: Past) -> None:
    n = len(past.day) - 1
    row[:15] = np.nan
    if n < 1:
        return
    gaps = past.room[:n]
    for i in range(n):
        gaps[i] = past.day[i + 1] - past.day[i]
    centre, silence = mean(gaps), np.float64(past.as_of_day - past.day[n])
    spread, recent = deviation(gaps, centre), mean(gaps[max(n - 3, 0) :])
    row[0], row[2], row[3] = centre, spread, spread / centre
    row[6], row[7], row[8], row[9] = gaps[n - 1], recent, recent / centre, slope(gaps, centre)
    sort(gaps)  # in time order no longer
    middle = median_of_sorted(gaps)
    row[1], row[4], row[5] = middle, gaps[0], gaps[n - 1]
    row[10], row[11], row[12] = silence / centre, silence / middle, silence / gaps[n - 1]
    row[13] = ratio(silence - centre, spread)
    row[14] = _longer(gaps, silence) / n


@lean
def _longer(gaps: NDArray[np.float64], silence: float) -> float:
    count = 0.0
    for gap in gaps:
        count += gap > silence
    return count
