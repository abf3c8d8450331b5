"""The season inside a horizon: which weeks of the year bring more orders than the models of customers expect."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from histories.clock import DAY
from models.frame import YEAR_DAYS

Floats = NDArray[np.float64]
WEEK = 7
_PRIOR_ORDERS = 20.0  # what a week's count is shrunk by
_NEIGHBOURS = np.array([0.5, 1.0, 0.5])  # the weeks before and after speak for a week, too


@dataclass(frozen=True)
class Weeks:
    """Logs of (orders that came / orders expected) by week; a year later they return."""

    first: int  # weeks since 1970
    levels: tuple[float, ...]

    @classmethod
    def of(cls, days: Floats, came: Floats, expected: Floats) -> Weeks:
        """From cells (days since 1970, orders that came in it, orders expected in it)."""
        if not len(days):
            return cls(0, ())
        week = np.floor(days / WEEK).astype(np.int64)
        first = int(week.min())
        counts = (np.bincount(week - first, weights=cells) for cells in (came, expected))
        came_by_week, expected_by_week = (np.convolve(c, _NEIGHBOURS, "same") + _PRIOR_ORDERS for c in counts)
        return cls(first, tuple(np.log(came_by_week / expected_by_week).tolist()))

    def level(self, days: Floats) -> Floats:
        """At days since 1970: the level of that time; 0 outside what was seen."""
        if not self.levels:
            return np.zeros(np.shape(days))
        middles = WEEK * (self.first + np.arange(len(self.levels)) + 0.5)
        return np.interp(days, middles, self.levels, left=0.0, right=0.0)

    def year_ago(self, as_of: NDArray[np.int64], ahead: Floats) -> Floats:
        """(moments, len(ahead)): the level a year before each day ahead; none where not all of that was seen."""
        then = np.asarray(as_of)[:, None] / DAY + ahead - YEAR_DAYS
        last = WEEK * (self.first + len(self.levels))
        seen = (then[:, 0] >= WEEK * self.first) & (then[:, -1] <= last)
        return np.where(seen[:, None], self.level(then), 0.0)
