"""One customer's past as of an instant: the visible lines and events, gathered in one pass for the blocks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.counting import places_for
from histories.compiled import lean, piece
from histories.history import PURCHASE, RETURN


class Columns(NamedTuple):
    """Arrays of a History that the kernel reads; see Lines, Events and Catalog."""

    offsets: NDArray[np.int64]
    occurred_at: NDArray[np.int64]
    recorded_at: NDArray[np.int64]
    voided_at: NDArray[np.int64]
    local_day: NDArray[np.int32]
    local_hour: NDArray[np.int8]
    kind: NDArray[np.int8]
    product: NDArray[np.int32]
    quantity: NDArray[np.float64]
    amount: NDArray[np.float64]
    discount: NDArray[np.float64]
    channel: NDArray[np.int16]
    event_offsets: NDArray[np.int64]
    event_at: NDArray[np.int64]
    event_recorded_at: NDArray[np.int64]
    event_kind: NDArray[np.int8]
    category: NDArray[np.int32]


class Past(NamedTuple):
    """Purchase days, purchase lines, return lines and events visible at `as_of`, each oldest first."""

    as_of: int  # microseconds since 1970, UTC
    as_of_day: int  # shop-local
    # of all purchase lines
    last_at: int  # instant of the newest
    highest_price: float  # amount / quantity; 0 without lines
    discounted: int  # lines with a discount
    # per purchase day
    day: NDArray[np.int32]
    spend: NDArray[np.float64]
    size: NDArray[np.int32]  # lines
    units: NDArray[np.float64]  # quantity
    saved: NDArray[np.float64]  # discount
    hour: NDArray[np.int32]  # of the day's first line, 0..23
    channel: NDArray[np.int32]  # of the day's first line, NO_CODE without one
    # per purchase line
    order: NDArray[np.int32]  # index of its purchase day
    product: NDArray[np.int32]
    # per return line
    return_day: NDArray[np.int32]
    returned: NDArray[np.float64]  # >= 0
    # per event
    event_kind: NDArray[np.int32]
    event_at: NDArray[np.int64]
    # of the shop
    category: NDArray[np.int32]  # by product
    # room to work in, contents undefined
    room: NDArray[np.float64]  # at least one place per purchase day
    table: NDArray[np.int32]  # (3, places), at least twice as many places as lines need: see features.counting
    counts: NDArray[np.int64]  # (31,)


class Room(NamedTuple):
    """Scratch arrays of one thread, long enough for its longest customer; they bound its memory."""

    ints: NDArray[np.int32]  # (7, lines)
    floats: NDArray[np.float64]  # (5, lines)
    event_at: NDArray[np.int64]  # (events,)
    event_kind: NDArray[np.int32]
    table: NDArray[np.int32]
    counts: NDArray[np.int64]  # (31,)


@piece
def make_room(lines: int, events: int) -> Room:
    return Room(
        np.empty((7, lines), np.int32),
        np.empty((5, lines), np.float64),
        np.empty(events, np.int64),
        np.empty(events, np.int32),
        np.empty((3, 2 * places_for(lines)), np.int32),
        np.empty(31, np.int64),
    )


@lean
def gather(c: Columns, i: int, as_of: int, as_of_day: int, live: bool, room: Room) -> Past:
    """What customer i had done by `as_of`: occurred by then, recorded by then (unless `live`), not void by then.

    Days come in order but for clocks set back across midnight; such a line counts with the day before it.
    """
    day, size, hour, channel = room.ints[0], room.ints[1], room.ints[2], room.ints[3]
    order, product, return_day = room.ints[4], room.ints[5], room.ints[6]
    spend, units, saved, returned, free = room.floats[0], room.floats[1], room.floats[2], room.floats[3], room.floats[4]
    days = lines = returns = discounted = 0
    last_day = last_at = -1
    highest_price = 0.0
    for j in range(c.offsets[i], c.offsets[i + 1]):
        if c.occurred_at[j] > as_of:
            break
        if c.voided_at[j] <= as_of or (c.recorded_at[j] > as_of and not live):
            continue
        if c.kind[j] == PURCHASE:
            today = min(int(c.local_day[j]), as_of_day)
            if days == 0 or today > last_day:
                last_day = today
                day[days], size[days], hour[days], channel[days] = last_day, 0, c.local_hour[j], c.channel[j]
                spend[days] = units[days] = saved[days] = 0.0
                days += 1
            spend[days - 1] += c.amount[j]
            units[days - 1] += c.quantity[j]
            saved[days - 1] += c.discount[j]
            size[days - 1] += 1
            order[lines], product[lines] = days - 1, c.product[j]
            highest_price = max(highest_price, c.amount[j] / c.quantity[j])
            discounted += c.discount[j] > 0
            last_at = int(c.occurred_at[j])
            lines += 1
        elif c.kind[j] == RETURN:
            return_day[returns], returned[returns] = c.local_day[j], -c.amount[j]
            returns += 1
    events = gather_events(c, i, as_of, live, room)
    return Past(
        as_of, as_of_day, last_at, highest_price, discounted,
        day[:days], spend[:days], size[:days], units[:days], saved[:days], hour[:days], channel[:days],
        order[:lines], product[:lines],
        return_day[:returns], returned[:returns],
        room.event_kind[:events], room.event_at[:events],
        c.category, free, room.table, room.counts,
    )  # fmt: skip


@lean
def gather_events(c: Columns, i: int, as_of: int, live: bool, room: Room) -> int:
    """How many events are visible; kept in the room."""
    events = 0
    for j in range(c.event_offsets[i], c.event_offsets[i + 1]):
        if c.event_at[j] <= as_of and (live or c.event_recorded_at[j] <= as_of):
            room.event_kind[events], room.event_at[events] = c.event_kind[j], c.event_at[j]
            events += 1
    return events
