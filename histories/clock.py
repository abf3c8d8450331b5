"""Instants and shop-local days: the only place that knows about time zones."""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from histories.errors import BadInput

SECOND = 1_000_000  # microseconds
HOUR = 3_600 * SECOND
DAY = 24 * HOUR
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_YEAR, _LAST_YEAR = 1970, 2100


def to_instant(moment: datetime) -> int:
    """Microseconds since 1970 in UTC of an aware datetime."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def to_datetime(instant: int) -> datetime:
    return _EPOCH + timedelta(microseconds=int(instant))


def to_text(instant: int) -> str:
    """ISO 8601 in UTC, to the second: 2011-09-10T22:59:59Z."""
    return _text_of(instant // SECOND)


@lru_cache(maxsize=1_000)  # a service says the same second again and again
def _text_of(seconds: int) -> str:
    return to_datetime(seconds * SECOND).isoformat(timespec="seconds").replace("+00:00", "Z")


def end_of_day(day: date, zone: str) -> int:
    """Last microsecond of a shop-local day."""
    midnight = datetime.combine(day + timedelta(days=1), time(), ZoneInfo(zone))
    return to_instant(midnight) - 1


def parse_as_of(text: str, zone: str) -> int:
    """An inclusive instant: a bare date is the end of that day, a naive time is in the shop's zone.

    Raises ValueError naming the text's accepted forms.
    """
    try:
        if len(text) == len("2011-09-10"):
            return end_of_day(date.fromisoformat(text), zone)
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("as_of must be a date (2011-09-10) or an ISO 8601 time (2011-09-10T22:59:59Z)") from None
    return to_instant(moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone)))


def asked(text: str, zone: str, name: str) -> int:
    """parse_as_of of what somebody asked for under a name; BadInput says it back."""
    try:
        return parse_as_of(text, zone)
    except (ValueError, OverflowError):
        raise BadInput(f"{name} must be a date (2011-09-10) or an ISO 8601 time (2011-09-10T22:59:59Z)") from None


def local_time(instants: NDArray[np.int64], zone: str) -> NDArray[np.int64]:
    """The same instants as the shop's clocks showed them, in microseconds since a local 1970-01-01."""
    starts, offsets = transitions(zone)
    return instants + offsets[np.searchsorted(starts, instants, side="right") - 1]


@lru_cache(maxsize=1024)
def local_day(instant: int, zone: str) -> int:
    """Shop-local day number (days since 1970-01-01) of one instant."""
    starts, offsets = _transition_lists(zone)
    return (int(instant) + offsets[bisect_right(starts, instant) - 1]) // DAY


@lru_cache
def _transition_lists(zone: str) -> tuple[list[int], list[int]]:
    """For one instant, lists are ten times as quick as arrays."""
    starts, offsets = transitions(zone)
    return starts.tolist(), offsets.tolist()


@lru_cache
def transitions(zone: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Instants at which the zone's offset changes, and the offsets from then on, found by bisection per day."""
    tz = ZoneInfo(zone)

    def offset(instant: int) -> int:
        shift = to_datetime(instant).astimezone(tz).utcoffset()
        assert shift is not None
        return shift // timedelta(microseconds=1)

    first, last = (to_instant(datetime(year, 1, 1, tzinfo=UTC)) for year in (_FIRST_YEAR, _LAST_YEAR))
    starts, offsets = [np.iinfo(np.int64).min], [offset(first)]
    for low in range(first, last, 7 * DAY):
        high = low + 7 * DAY
        if offset(high) == offsets[-1]:
            continue
        while high - low > SECOND:
            middle = (low + high) // 2 // SECOND * SECOND
            low, high = (low, middle) if offset(middle) != offsets[-1] else (middle, high)
        starts.append(high)
        offsets.append(offset(high))
    return np.array(starts, dtype=np.int64), np.array(offsets, dtype=np.int64)


def from_local(local: NDArray[np.int64], zone: str) -> NDArray[np.int64]:
    """Instants of what the shop's clocks showed, as datetime does with fold=0.

    A time shown twice (clocks went back) is the first of the two; one never shown (clocks went forward) moves
    on by the gap.
    """
    starts, offsets = transitions(zone)
    # A new offset holds from the later of the two readings at its start: before it, the old one was still showing.
    first_reading = starts[1:] + np.maximum(offsets[1:], offsets[:-1])
    return local - offsets[np.searchsorted(first_reading, local, side="right")]
