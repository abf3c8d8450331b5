"""The feature row of a customer: the only definition, for training, batch scoring and the online call alike.

To add a feature, add its (name, unit, meaning) and its value to a file of features/blocks. To add a block, write such
a file with FEATURES and fill(row, past), then name it twice below: in BLOCKS and in _fill_row, in the same place.
docs/features.md is written from these: `python -m features.page`.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Final

import numba as nb
import numpy as np
from numba import types
from numpy.typing import NDArray

from features.blocks import (
    channel,
    discounts,
    events,
    frequency,
    gaps,
    money,
    products,
    recency,
    returns,
    rhythm,
    season,
    trend,
    windows,
)
from features.feature import Feature
from features.nobody import nobody
from features.past import Columns, Past, gather, make_room
from histories.clock import local_day
from histories.compiled import compiled, lean
from histories.history import History, column_types

BLOCKS: Final = (
    recency, frequency, money, windows, gaps, trend, season, products, discounts, returns, rhythm, channel, events,
)  # fmt: skip
FEATURES: Final[tuple[Feature, ...]] = tuple(feature for block in BLOCKS for feature in block.FEATURES)
NAMES: Final = tuple(feature.name for feature in FEATURES)
_WIDTH: Final = len(FEATURES)
_START: Final = tuple(int(at) for at in np.cumsum([0] + [len(block.FEATURES) for block in BLOCKS]))

_LINES_PER_THREAD: Final = 200_000  # below this a second thread costs more than it brings


@lean
def _fill_row(row: NDArray[np.float32], past: Past) -> None:
    recency.fill(row[_START[0] :], past)
    frequency.fill(row[_START[1] :], past)
    money.fill(row[_START[2] :], past)
    windows.fill(row[_START[3] :], past)
    gaps.fill(row[_START[4] :], past)
    trend.fill(row[_START[5] :], past)
    season.fill(row[_START[6] :], past)
    products.fill(row[_START[7] :], past)
    discounts.fill(row[_START[8] :], past)
    returns.fill(row[_START[9] :], past)
    rhythm.fill(row[_START[10] :], past)
    channel.fill(row[_START[11] :], past)
    events.fill(row[_START[12] :], past)


def _signature() -> tuple[types.Type, ...]:
    """Of _rows: arrays may be read-only, as those that Arrow owns are."""
    arrays = [types.Array(nb.from_dtype(dtype), 1, "C", readonly=True) for dtype in column_types(Columns).values()]
    return (types.int64, types.int64, types.int64, types.int64, types.boolean, types.float32[:, ::1], *arrays)


@compiled(signature=_signature)
def _rows(  # type: ignore[no-untyped-def]
    first, end, as_of, as_of_day, live, out,
    offsets, occurred_at, recorded_at, voided_at, local_day, local_hour, kind, product, quantity, amount, discount,
    channel, event_offsets, event_at, event_recorded_at, event_kind, category,
):  # fmt: skip
    """Rows of customers first..end-1 into the same rows of `out`."""
    columns = Columns(
        offsets, occurred_at, recorded_at, voided_at, local_day, local_hour, kind, product, quantity, amount, discount,
        channel, event_offsets, event_at, event_recorded_at, event_kind, category,
    )  # fmt: skip
    lines = events = 1
    for i in range(first, end):
        lines = max(lines, offsets[i + 1] - offsets[i])
        events = max(events, event_offsets[i + 1] - event_offsets[i])
    _fill_rows(columns, first, end, as_of, as_of_day, live, make_room(lines, events), out)


@lean
def _fill_rows(columns, first, end, as_of, as_of_day, live, room, out):  # type: ignore[no-untyped-def]
    for i in range(first, end):
        _fill_row(out[i], gather(columns, i, as_of, as_of_day, live, room))


def customer_features(
    history: History, as_of: int, *, live: bool = False, threads: int | None = None
) -> NDArray[np.float32]:
    """(customers, len(NAMES)) float32 at `as_of`, an inclusive instant in microseconds since 1970 UTC.

    Only what occurred by `as_of` counts and, unless `live`, was recorded by then; what is known to be void by then
    does not. A number without a meaning is nan, never infinite. A row does not depend on the others.
    `threads`: at most so many; all cores unless given.
    """
    columns = _columns(history)
    out = np.empty((len(history), _WIDTH), dtype=np.float32)
    today = local_day(as_of, history.zone)
    threads = threads or _cores()
    parts = _parts(columns.offsets, threads)
    try:
        if len(parts) == 1:
            _rows(0, len(out), as_of, today, live, out, *columns)
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(lambda part: _rows(*part, as_of, today, live, out, *columns), parts))
    except TypeError as error:
        raise TypeError(_wrong_type(columns) or str(error)) from None
    return out


def warm_up() -> None:
    """Load the compiled kernel, or compile it where no process has before (seconds)."""
    customer_features(nobody(), 0)


@cache
def _cores() -> int:
    return os.cpu_count() or 1


def _columns(history: History) -> Columns:
    lines, events = history.lines, history.events
    return Columns(
        lines.offsets, lines.occurred_at, lines.recorded_at, lines.voided_at, lines.local_day, lines.local_hour,
        lines.kind, lines.product, lines.quantity, lines.amount, lines.discount, lines.channel,
        events.offsets, events.occurred_at, events.recorded_at, events.kind, history.catalog.category,
    )  # fmt: skip


def _wrong_type(columns: Columns) -> str:
    """Which column has a type that the kernel does not take; empty if none has."""
    arrays: tuple[NDArray, ...] = columns
    for values, (name, dtype) in zip(arrays, column_types(Columns).items(), strict=True):
        if values.dtype != dtype or not values.flags.c_contiguous:
            return f"{name} must be {dtype}, contiguous; it is {values.dtype}"
    return ""


def _parts(offsets: NDArray[np.int64], threads: int) -> list[tuple[int, int]]:
    """Ranges of customers with about as many lines each: several for each thread, one where threads do not pay."""
    if threads == 1 or offsets[-1] < _LINES_PER_THREAD:
        return [(0, len(offsets) - 1)]
    goals = np.linspace(0, offsets[-1], 4 * threads + 1)[1:-1]
    edges = np.unique([0, *np.searchsorted(offsets, goals), len(offsets) - 1])
    return [(int(low), int(high)) for low, high in pairwise(edges)]
