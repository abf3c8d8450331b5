"""Through which channels the customer buys: the first line of each purchase day."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.counting import clear, place_of, places_for
from features.feature import family
from features.numbers import ratio
from features.past import Past
from histories.compiled import lean

FEATURES = family(
    "channel",
    ("channels_distinct", "channels", "different channels of purchase days"),
    ("channel_main_share", "share", "of the purchase days with a channel, those of the most used one"),
    ("channel_last_is_main", "0 or 1", "1 when no channel was used more often than the last one"),
)


@lean
def fill(row: NDArray[np.float32], past: Past) -> None:
    table = past.table[: places_for(len(past.day))]
    clear(table)
    distinct, known, most, last = 0, 0, 0, 0
    for channel in past.channel:
        if channel >= 0:
            last = place_of(table, channel)
            distinct += table[last, 1] == 0
            table[last, 1] += 1
            known += 1
            most = max(most, table[last, 1])
    row[0] = distinct
    row[1] = ratio(most, known)
    row[2] = np.float64(table[last, 1] == most) if known > 0 else np.nan
