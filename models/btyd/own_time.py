"""The shop's own time: a week of December is longer than one of February.

Buy-till-you-die models know customers whose rates never change. They are right about a shop with seasons on a clock
that runs as fast as the shop sells: an inhomogeneous Poisson process is a homogeneous one in its integrated rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from histories.clock import DAY
from histories.compiled import compiled, piece
from models.btyd.bg_nbd import BgNbd

Floats = NDArray[np.float64]
_YEAR = 52  # weeks
_AHEAD = 2 * _YEAR  # weeks for which the pace is foreseen
_RECENT = 13  # weeks that are held against the same ones a year ago
_PERSISTS = 0.8  # of what that says, on a log scale: part of it is noise, part does not last
_USUAL = 20.0  # purchases at the usual pace that each estimate is mixed with
_FOLLOWED = 0.5  # power of the pace that customers' pasts are measured in: not everybody follows the season
_FEWEST_NEW = 0.1  # share of the customers who began in the second half of the history
_ROUNDS = 3
_FIT_ON = 20_000  # customers


@dataclass(frozen=True)
class OwnTime:
    """The pace of each week from the day `begins` (days since 1970) on, 1 where usual; known weeks, then foreseen."""

    begins: float
    pace: tuple[float, ...]

    @classmethod
    def even(cls) -> OwnTime:
        """Of a shop whose year is not known yet."""
        return cls(0.0, ())

    @classmethod
    def fit(cls, repeats: NDArray[np.int64], frequency: Floats, recency: Floats, T: Floats, as_of: int) -> OwnTime:
        """From the customers' repeat purchases per week before as_of (us), latest week first.

        A week's pace is its repeat purchases over those that BG/NBD expects of who was a customer then. The weeks to
        come run as they did a year before, times what the last quarter has gained on that of a year before. Even with
        less than a year of history, and where hardly anybody is new: customers who all began together get older with
        the calendar, and their age cannot be told from the season. `frequency`, `recency`, T as in BgNbd, in days.
        """
        weeks = len(repeats)
        if weeks < _YEAR or not frequency.any() or (3.5 * weeks > T).mean() < _FEWEST_NEW:
            return cls.even()
        few = slice(None, None, -(-len(T) // _FIT_ON))
        x, recency, T = frequency[few], recency[few], T[few]
        came = repeats[::-1] * (x.sum() / frequency.sum())
        now, time = as_of / DAY, cls.even()
        for _ in range(_ROUNDS):
            expected = _expected(x, recency, T, now, weeks, time)
            pace = (_smooth(came) + _USUAL) / (_smooth(expected) + _USUAL)
            followed = pace**_FOLLOWED
            time = cls(now - 7 * weeks, tuple(followed * expected.sum() / (followed @ expected)))
        return cls(time.begins, (*time.pace, *_foreseen(pace, came, expected)))

    def span(self, start: float | Floats, end: float | Floats) -> Floats:
        """Own days from start to end, both in days since 1970."""
        start, end = np.broadcast_arrays(np.asarray(start, np.float64), np.asarray(end, np.float64))
        flat = start.ravel()
        return self.measure(end.ravel(), np.zeros(len(flat)), end.ravel() - flat, 0.0)[1].reshape(start.shape)

    def measure(self, now: Floats, recency: Floats, T: Floats, window_days: float) -> Floats:
        """(3, rows) recency, T and the window after now (days since 1970, one or per row), from calendar days."""
        out = np.empty((3, len(T)))
        _measure(self.begins, self.passed, now, recency, T, window_days, out)
        return out

    @cached_property
    def passed(self) -> Floats:
        """Own days from `begins` to the end of each week, 0 first."""
        return np.concatenate([[0.0], np.cumsum(7.0 * np.array(self.pace))])


@piece
def own_day(begins, passed, day):  # type: ignore[no-untyped-def]
    """Own days from `begins` to the day; beyond the weeks with a pace they are calendar days."""
    weeks = (day - begins) / 7.0
    last = len(passed) - 1
    if weeks <= 0.0:
        return weeks * 7.0
    if weeks >= last:
        return passed[last] + (weeks - last) * 7.0
    week = int(weeks)
    return passed[week] + (weeks - week) * (passed[week + 1] - passed[week])


@compiled
def _measure(begins, passed, now, recency, T, window, out):  # type: ignore[no-untyped-def]
    for i in range(len(T)):
        out[0, i], out[1, i], out[2, i] = own_days(begins, passed, now[i % len(now)], recency[i], T[i], window)


@piece
def own_days(begins, passed, now, recency, T, window):  # type: ignore[no-untyped-def]
    """Recency, T and window of one customer; `begins` and `passed` of OwnTime, all else in calendar days."""
    first = now - T
    born, here = own_day(begins, passed, first), own_day(begins, passed, now)
    used = own_day(begins, passed, first + recency) - born
    return used, here - born, own_day(begins, passed, now + window) - here


def _expected(x: Floats, recency: Floats, T: Floats, now: float, weeks: int, time: OwnTime) -> Floats:
    """(weeks,) repeat purchases, oldest week first, that would have come in calendar weeks at the usual pace.

    Of each customer the rate and, after the last purchase, an exponential decline to P(alive) now.
    """
    first = now - T
    last = first + recency
    own_recency, own_T = time.span(first, last), time.span(first, now)
    model = BgNbd.fit(x, own_recency, own_T)
    silent = np.maximum(own_T - own_recency, 1e-9)
    alive = model.forecast(x, own_recency, own_T, 1.0)[0]
    decline = np.maximum(-np.log(np.clip(alive, 1e-9, 1.0)) / silent, 1e-9)
    rate = (model.r + x) / (model.alpha + own_recency + -np.expm1(-decline * silent) / decline)
    middles = now - 7.0 * np.arange(weeks)[::-1] - 3.5
    expected = np.empty(weeks)
    for week, middle in enumerate(middles):
        present = np.clip((middle + 3.5 - first) / 7, 0, 1)
        still = np.exp(-decline * np.maximum(time.span(last, middle), 0.0))
        expected[week] = 7 * (rate * present * still).sum()
    return expected


def _smooth(values: Floats) -> Floats:
    return np.convolve(values, np.ones(3), "same")


def _foreseen(pace: Floats, came: Floats, expected: Floats) -> Floats:
    """(_AHEAD,) the last year again, moved towards this year's level by its last quarter, as far as that is known."""
    recent = min(_RECENT, len(pace) - _YEAR)
    ago = slice(len(pace) - _YEAR - recent, len(pace) - _YEAR)
    now = slice(len(pace) - recent, len(pace))
    gained = _level(came[now], expected[now]) / _level(came[ago], expected[ago])
    return np.resize(pace[-_YEAR:], _AHEAD) * gained ** (_PERSISTS * recent / _RECENT)


def _level(came: Floats, expected: Floats) -> float:
    return float((came.sum() + _USUAL) / (expected.sum() + _USUAL))
