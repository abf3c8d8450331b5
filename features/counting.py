"""A small hash table of codes: distinct products of a customer without touching anything the size of the catalog.

A place with a count of 0 is free. Probing is linear. Codes are small and consecutive, so they are their own hash:
codes below 128 never collide, and the fold of the higher bits spreads codes that are a power of two apart.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from histories.compiled import lean


class Counter(NamedTuple):
    """Arrays of one length, a power of two; columns of their own, so that clearing the counts is one sweep."""

    codes: NDArray[np.int32]
    counts: NDArray[np.int32]
    notes: NDArray[np.int32]  # the user's own


@lean
def places_for(codes: int) -> int:
    """A power of two with at least half of the places free."""
    places = 8
    while places < 2 * codes:
        places *= 2
    return places


@lean
def counter(table: NDArray[np.int32], first: int, places: int) -> Counter:
    """An empty one in columns first..first + places - 1 of a (3, columns) table; `places` is that of places_for."""
    end = first + places
    table[1, first:end] = 0
    return Counter(table[0, first:end], table[1, first:end], table[2, first:end])


@lean
def place_of(counter: Counter, code: int) -> np.uint64:
    """Place of the code, or the free place where it belongs (its code then set, its count still 0)."""
    mask = np.uint64(len(counter.codes) - 1)  # unsigned: a signed index is first asked whether it counts from the end
    place = np.uint64(code ^ (code >> 7)) & mask
    while (counter.counts[place] > 0) & (counter.codes[place] != code):  # one branch, seldom taken, beats two
        place = (place + np.uint64(1)) & mask
    counter.codes[place] = code
    return place
