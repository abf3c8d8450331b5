"""Levels that return with the season."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from histories.clock import DAY
from histories.compiled import compiled, piece
from models.btyd.mixture import moments
from models.frame import YEAR_DAYS

Floats = NDArray[np.float64]
_DOUBT = 0.1  # squared levels (logits) that it takes to believe by half that they return
_LASTS, _MOVES = 0.2, 0.1  # standard deviations of a shop's lasting level, and of a season's around it
_OVERLAP = 3.0  # label windows that see the same days
_TINY = 1e-9


@dataclass(frozen=True)
class Season:
    """Levels, on the raw scale of a score, of past cut-offs (days, rising); a year later they return."""

    days: tuple[float, ...]
    levels: tuple[float, ...]
    otherwise: float  # where no level of a year before is known

    @classmethod
    def of(cls, cuts: Sequence[int], levels: Sequence[float]) -> Season:
        """From cut-offs in microseconds, oldest first. Without a year ago it is their mean, or none."""
        days = tuple(cut / DAY for cut in cuts)
        return cls(days, tuple(levels), float(np.mean(levels)) if len(levels) else 0.0)

    def level(self, as_of: int | NDArray[np.int64]) -> Floats:
        """(1,) or (rows,): the level a year before as_of (us, one or per row), between the cut-offs around it."""
        return np.asarray(_levels(self.arrays, moments(as_of)))

    @cached_property
    def arrays(self) -> tuple[Floats, Floats, float]:
        """The season as compiled code takes it, see level_on."""
        return np.array(self.days), np.array(self.levels), float(self.otherwise)


@compiled
def _levels(season, days):  # type: ignore[no-untyped-def]
    out = np.empty(len(days))
    for i in range(len(days)):
        out[i] = level_on(season, days[i])
    return out


@piece
def level_on(season, day):  # type: ignore[no-untyped-def]
    """The level a year before a day since 1970; `season` is arrays of Season."""
    days, levels, otherwise = season
    before = day - YEAR_DAYS
    if not len(days) or before < days[0] - 1.0 or before > days[-1] + 1.0:
        return otherwise
    right = np.searchsorted(days, before)
    if right == 0 or right == len(days):
        return levels[min(right, len(days) - 1)]
    share = (before - days[right - 1]) / (days[right] - days[right - 1])
    return levels[right - 1] + share * (levels[right] - levels[right - 1])


def returning(cuts: Sequence[int], levels: Sequence[float], as_of: int) -> float:
    """The level to expect at as_of, from those of past cut-offs (us, rising; at least one).

    That of a year before, as far as levels have been seen to return after a year, and what lasts beside it.
    """
    at, level = np.array(cuts), np.array(levels)
    ago = np.interp(at - YEAR_DAYS * DAY, at, level, left=0.0)  # nothing known returns as nothing
    share = float(np.clip(level @ ago / (ago @ ago + _DOUBT), 0, 1))
    again = share * float(np.interp(as_of - YEAR_DAYS * DAY, at, level, left=0.0))
    return again + _lasting(level - share * ago)


def believed(levels: Sequence[float], errors: Sequence[float]) -> list[float]:
    """Levels of cut-offs as far as they can be told from their standard errors: shrunk to what lasts, that to zero."""
    if not len(levels):
        return []
    level, noise = np.array(levels), np.maximum(errors, _TINY) ** 2
    lasting = np.average(level, weights=1 / (noise + _MOVES**2))
    error = noise.mean() * min(_OVERLAP / len(level), 1.0)
    kept = lasting * _LASTS**2 / (_LASTS**2 + error)
    return [float(kept + each) for each in (level - lasting) * _MOVES**2 / (_MOVES**2 + noise)]


def _lasting(levels: Floats) -> float:
    """Their mean, as far as they agree on one."""
    mean, spread = levels.mean(), levels.var(ddof=1) if len(levels) > 1 else np.inf
    return float(mean * (mean**2 / (mean**2 + spread + _TINY)) ** 2)
