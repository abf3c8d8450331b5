"""A straight line in four logs that corrects a starting score: few numbers, which few customers can teach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from histories.compiled import piece
from models.scores.plain import COLUMNS, away_from, measures, positions, tupled

Floats = NDArray[np.float64]
_RIDGE = 5.0  # customers' worth of belief that a column, in its standard deviations, means nothing
_MANY = 1_500  # customers at which it has half its weight: by then trees have learned what it says, and curves besides
_LEVELS = 1e-3  # the same of the levels of the cut-offs: as good as none
_FIT_ON = 20_000  # rows: so few numbers need no more
_STEPS, _ENOUGH = 25, 1e-6  # of Newton's method, and the gain per row at which it ends
_HIGHEST = 20.0  # of a raw score


@dataclass(frozen=True)
class Line:
    """What is added to a score that begins at start: slope * start + slopes @ (log(columns + added) - centres).

    What is not known is at the centre.
    """

    slope: float = 0.0
    at: tuple[int, ...] = ()  # positions of the columns in a feature row; none without a line
    slopes: tuple[float, ...] = ()
    centres: tuple[float, ...] = ()
    added: tuple[float, ...] = ()

    @classmethod
    def fit(
        cls, objective: str, X: NDArray[np.float32], names: Sequence[str], y: Floats, start: Floats, where: Where
    ) -> Line:
        """By penalised likelihood of y (binary or poisson) on feature rows; every cut-off has a level of its own.

        A customer's rows see much the same: all of them together count as one. It weighs less the more customers
        there are, as the plain regression of spend does.
        """
        if not set(COLUMNS) <= set(names) or not y.any() or (y > 0).all():
            return cls()
        few = slice(None, None, -(-len(y) // _FIT_ON))
        X, y, start, cuts, customer = X[few], y[few], start[few], where.cuts[few], where.customer[few]
        at = positions(names)
        added, centres = measures(X[:, at])
        columns = np.column_stack([away_from(X[:, at], added, centres), start - start.mean()])
        units = np.maximum(columns.std(axis=0), 1e-9)
        customers = len(np.unique(where.customer))
        doubt = _RIDGE * _dispersion(objective, y, start) * len(y) / len(np.unique(customer))
        found = _slopes(objective, columns / units, y, start, cuts, doubt) / units / (1 + (customers / _MANY) ** 2)
        return cls(float(found[-1]), at, *(tuple(each.tolist()) for each in (found[:-1], centres, added)))

    @classmethod
    def of(cls, stored: dict[str, Any]) -> Line:
        """As saved."""
        return cls(**tupled(stored))

    def times(self, share: float) -> Line:
        return Line(share * self.slope, self.at, tuple(share * s for s in self.slopes), self.centres, self.added)

    def raw(self, X: NDArray[np.float32], start: Floats) -> Floats:
        """(rows,) start with the line added, of feature rows."""
        return np.asarray((1 + self.slope) * start + self.contributions(X).sum(axis=1))

    def contributions(self, X: NDArray[np.float32]) -> Floats:
        """(rows, columns of X): what each column of feature rows adds, whatever stands to the right of them."""
        out = np.zeros(X.shape)
        if self.at:
            out[:, self.at] = away_from(X[:, self.at], np.array(self.added), np.array(self.centres)) * self.slopes
        return out

    @cached_property
    def arrays(self) -> tuple[NDArray[np.int64], Floats, Floats, Floats]:
        """The columns' part as compiled code takes it, see line_of."""
        return np.array(self.at, np.int64), np.array(self.slopes), np.array(self.centres), np.array(self.added)


@dataclass(frozen=True)
class Where:
    """(rows,) each: the cut-off (us) and the customer of feature rows."""

    cuts: NDArray[np.int64]
    customer: NDArray[np.int32]


@piece
def line_of(row, line):  # type: ignore[no-untyped-def]
    """What the columns of a feature row add; `line`: arrays of Line."""
    at, slopes, centres, added = line
    out = 0.0
    for k in range(len(at)):
        value = np.float64(row[at[k]])
        if not np.isnan(value):
            out += slopes[k] * (log(max(value, 0.0) + added[k]) - centres[k])
    return out


def _dispersion(objective: str, y: Floats, start: Floats) -> float:
    """How much noisier y is than the likelihood says, by Pearson's estimate."""
    if objective == "binary":
        return 1.0
    mean = np.exp(start) * (y.sum() / np.exp(start).sum())
    return max(float(((y - mean) ** 2 / mean).mean()), 1.0)


def _slopes(objective: str, columns: Floats, y: Floats, start: Floats, cuts: NDArray[np.int64], doubt: float) -> Floats:
    """The most probable, by Newton's method with steps halved where they go too far."""
    levels = (cuts[:, None] == np.unique(cuts)).astype(float)
    table = np.hstack([columns, levels])
    ridge = np.repeat([doubt, _LEVELS], [columns.shape[1], levels.shape[1]])
    found, step, least = np.zeros(table.shape[1]), np.zeros(table.shape[1]), np.inf
    for _ in range(_STEPS):
        raw = np.clip(start + table @ (found + step), -_HIGHEST, _HIGHEST)
        cost = float((_partition(objective, raw) - y * raw).sum() + (ridge * (found + step) ** 2).sum() / 2)
        if cost > least:
            step = step / 2
            continue
        found, gained, least = found + step, least - cost, cost
        if gained < _ENOUGH * len(y):
            break
        mean = expit(raw) if objective == "binary" else np.exp(raw)
        weight = mean * (1 - mean) if objective == "binary" else mean
        gradient = table.T @ (mean - y) + ridge * found
        step = -np.linalg.solve((table * weight[:, None]).T @ table + np.diag(ridge), gradient)
    return found[: columns.shape[1]]


def _partition(objective: str, raw: Floats) -> Floats:
    """Of the exponential family: log-likelihoods are y * raw less it."""
    return np.asarray(np.logaddexp(0, raw) if objective == "binary" else np.exp(raw))
