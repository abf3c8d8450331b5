"""What came after as_of: the targets that models learn and are judged by."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from histories.clock import local_day
from histories.compiled import compiled
from histories.history import NEVER, PURCHASE, RETURN, History


class Labels(NamedTuple):
    """One value per customer of the history."""

    orders: NDArray[np.float32]  # purchase days in the window
    spend: NDArray[np.float64]  # in the window
    next_day: NDArray[
        np.float32
    ]  # days from as_of's day to the next purchase day, inside the window or after; else nan


def labels(
    history: History, as_of: int, horizon_days: int, *, net: bool = False, known_at: int | None = None
) -> Labels:
    """Of the shop-local days (day of as_of, day of as_of + horizon_days], whole days only.

    `known_at`: leave out what was recorded later and the voids known later, as if the data ended then (inclusive);
    everything in the data unless given. `net`: returns in the window take off spend, which may fall below 0.
    Whether the window ends inside the data is for the caller to see to.
    """
    n, lines = len(history), history.lines
    out = Labels(np.zeros(n, np.float32), np.zeros(n, np.float64), np.full(n, np.nan, np.float32))
    first = local_day(as_of, history.zone)
    until = NEVER - 1 if known_at is None else known_at
    _fill(
        lines.offsets, lines.recorded_at, lines.voided_at, lines.local_day, lines.kind, lines.amount,
        first, first + horizon_days, until, net, out.orders, out.spend, out.next_day,
    )  # fmt: skip
    return out


def repeats_by_week(history: History, customers: NDArray[np.bool_], as_of: int, weeks: int) -> NDArray[np.int64]:
    """(weeks,) purchase days of the customers (mask) after their first, as known at as_of.

    Weeks end with as_of's day, the latest comes first; what lies further back is counted in the last place.
    """
    counts = np.zeros(weeks, np.int64)
    lines = history.lines
    _count(
        lines.offsets, lines.occurred_at, lines.recorded_at, lines.voided_at, lines.local_day, lines.kind, customers,
        as_of, local_day(as_of, history.zone), counts,
    )  # fmt: skip
    return counts


@compiled
def _count(  # type: ignore[no-untyped-def]
    offsets, occurred_at, recorded_at, voided_at, day, kind, customers, as_of, today, counts
):
    for i in range(len(offsets) - 1):
        last = -1
        for j in range(offsets[i], offsets[i + 1]):
            if not customers[i] or occurred_at[j] > as_of:
                break
            if kind[j] != PURCHASE or recorded_at[j] > as_of or voided_at[j] <= as_of or day[j] <= last:
                continue
            if last >= 0:
                counts[max(0, min((today - day[j]) // 7, len(counts) - 1))] += 1
            last = day[j]


@compiled
def _fill(  # type: ignore[no-untyped-def]
    offsets, recorded_at, voided_at, day, kind, amount, first, last, known_at, net, orders, spend, next_day
):
    for i in range(len(offsets) - 1):
        counted = first
        for j in range(offsets[i], offsets[i + 1]):
            if day[j] <= first or recorded_at[j] > known_at or voided_at[j] <= known_at:
                continue
            if kind[j] == PURCHASE and np.isnan(next_day[i]):
                next_day[i] = day[j] - first
            if day[j] > last:
                continue
            if kind[j] == PURCHASE:
                spend[i] += amount[j]
                orders[i] += day[j] > counted
                counted = max(counted, day[j])
            elif kind[j] == RETURN and net:
                spend[i] += amount[j]
