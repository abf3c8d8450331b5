"""A small hash table of codes: distinct products of a customer without touching anything the size of the catalog.

Rows of `table` are (code, count, note); a free row has a count of 0. Probing is linear.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from histories.compiled import piece

_GOLDEN = 2654435761  # Knuth's multiplier: spreads consecutive codes


@piece
def places_for(codes: int) -> int:
    """A power of two with at least half of the places free."""
    places = 8
    while places < 2 * codes:
        places *= 2
    return places


@piece
def emptied(table: NDArray[np.int32], codes: int) -> NDArray[np.int32]:
    """As much of the table as `codes` codes need, with every row free."""
    part = table[: places_for(codes)]
    part[:, 1] = 0
    return part


@piece
def place_of(table: NDArray[np.int32], code: int) -> int:
    """Row of the code, or the free row where it belongs (its code then set, its count still 0)."""
    mask = len(table) - 1
    place = ((code * _GOLDEN) >> 15) & mask
    while table[place, 1] > 0 and table[place, 0] != code:
        place = (place + 1) & mask
    table[place, 0] = code
    return place
