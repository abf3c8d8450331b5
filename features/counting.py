"""A small hash table of codes: distinct products of a customer without touching anything the size of the catalog.

Rows of `table` are (code, count, note); a free row has a count of 0. Probing is linear; its length is that of
`places_for`, and the caller clears it first.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from histories.compiled import lean

_GOLDEN = 2654435761  # Knuth's multiplier: spreads consecutive codes


@lean
def places_for(codes: int) -> int:
    """A power of two with at least half of the places free."""
    places = 8
    while places < 2 * codes:
        places *= 2
    return places


@lean
def clear(table: NDArray[np.int32]) -> None:
    table[:, 1] = 0


@lean
def place_of(table: NDArray[np.int32], code: int) -> int:
    """Row of the code, or the free row where it belongs (its code then set, its count still 0)."""
    mask = len(table) - 1
    place = ((code * _GOLDEN) >> 15) & mask
    while table[place, 1] > 0 and table[place, 0] != code:
        place = (place + 1) & mask
    table[place, 0] = code
    return place
