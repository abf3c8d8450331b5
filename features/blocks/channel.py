"""Through which channels the customer buys: the first line of each purchase day."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.counting import counter, place_of, places_for
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
    channels = counter(past.table, 0, places_for(len(past.day)))
    distinct, known, most, last = 0, 0, 0, np.uint64(0)  # unsigned like every place
    for channel in past.channel:
        if channel >= 0:
            last = place_of(channels, channel)
            distinct += channels.counts[last] == 0
            channels.counts[last] += 1
            known += 1
            most = max(most, channels.counts[last])
    row[0] = distinct
    row[1] = ratio(most, known)
    row[2] = np.float64(channels.counts[last] == most) if known > 0 else np.nan
