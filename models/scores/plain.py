"""What buyers spend, by ridge regression on four logs: few numbers, which a shop with few label windows can learn.

Large buyers spend more than a line in the logs says. What a curve in the log of spend says of them is too much as often
as not, so it is the average of the regressions with and without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histories.compiled import piece

Floats = NDArray[np.float64]
COLUMNS = ("days_since_last_order", "frequency", "T", "spend_total")
_FEWEST = 30  # rows of buyers below which there is no regression
_SMALL = 0.01  # of the mean spend: what is added to it before the log, as a day and an order to the others
_RIDGE = 1.0  # rows' worth of belief that a column, in its standard deviations, means nothing
_MANY = 10_000  # rows of buyers at which it has half a view's weight: by then trees have learned what it says


@dataclass(frozen=True)
class Plain:
    """Log of a buyer's spend = level + slopes * away + curve * away**2 of the last column.

    away = log(column + added) - centre; what is not known is at the centre.
    """

    weight: float = 0.0  # beside views of weight 1
    level: float = 0.0
    slopes: tuple[float, ...] = ()  # none without a regression
    centres: tuple[float, ...] = ()
    added: tuple[float, ...] = ()
    curve: float = 0.0

    @classmethod
    def fit(cls, X: NDArray[np.float32], names: Sequence[str], log_spend: Floats) -> Plain:
        """On feature rows and what followed them; rows whose log_spend is nan have no part in it."""
        X, y = X[~np.isnan(log_spend)], log_spend[~np.isnan(log_spend)]
        if len(y) < _FEWEST or not set(COLUMNS) <= set(names):
            return cls()
        columns = X[:, positions(names)]
        added, centres = measures(columns)
        away = away_from(columns, added, centres)
        square = away[:, -1:] ** 2
        line, both = _ridge(away, y), _ridge(np.hstack([away, square - square.mean()]), y)
        slopes, curve = (line + both[:-1]) / 2, float(both[-1] / 2)
        weight, level = 1 / (1 + (len(y) / _MANY) ** 2), float(y.mean() - curve * square.mean())
        return cls(weight, level, tuple(slopes.tolist()), tuple(centres.tolist()), tuple(added.tolist()), curve)

    @classmethod
    def of(cls, stored: dict[str, Any]) -> Plain:
        """As saved."""
        return cls(**tupled(stored))

    @property
    def numbers(self) -> tuple[float, float, Floats, Floats, Floats, float]:
        """As compiled code takes them."""
        columns = np.array(self.slopes), np.array(self.centres), np.array(self.added)
        return self.weight, self.level, *columns, self.curve

    def contributions(self, X: NDArray[np.float32], names: Sequence[str]) -> Floats:
        """(rows, features): what each column adds to the level."""
        out = np.zeros(X.shape)
        if self.slopes:
            at = positions(names)
            away = away_from(X[:, at], np.array(self.added), np.array(self.centres))
            out[:, at] = away * self.slopes
            out[:, at[-1]] += self.curve * away[:, -1] ** 2
        return out


def tupled(stored: dict[str, Any]) -> dict[str, Any]:
    """Fields as JSON keeps them, its lists as the tuples that they were."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in stored.items()}


def measures(columns: NDArray[np.float32]) -> tuple[Floats, Floats]:
    """(4,) each, of the COLUMNS of feature rows: what is added before the log, and the centre of the logs."""
    kept = np.maximum(columns.astype(np.float64), 0.0)
    added = np.array([1.0, 1.0, 1.0, max(_SMALL * float(np.nan_to_num(kept[:, -1]).mean()), 1e-9)])
    logs = np.log(kept + added)
    known = ~np.isnan(logs)
    return added, np.where(known, logs, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)


def away_from(columns: NDArray[np.float32], added: Floats, centres: Floats) -> Floats:
    """(rows, 4): logs of the COLUMNS of feature rows, from their centres; 0 where not known."""
    return np.nan_to_num(np.log(np.maximum(columns.astype(np.float64), 0.0) + added) - centres)


def _ridge(columns: Floats, y: Floats) -> Floats:
    """Slopes of columns whose mean is zero."""
    units = np.maximum(columns.std(axis=0), 1e-9)
    scaled = columns / units
    gram = scaled.T @ scaled + _RIDGE * np.eye(columns.shape[1])
    return np.asarray(np.linalg.solve(gram, scaled.T @ (y - y.mean())) / units)


def positions(names: Sequence[str]) -> tuple[int, ...]:
    """Where COLUMNS are; 0 for those that are missing, when there is no regression."""
    return tuple(list(names).index(name) if name in names else 0 for name in COLUMNS)


@piece
def log_spend(row, at, plain):  # type: ignore[no-untyped-def]
    """Of one feature row; `plain`: numbers of Plain, with a regression."""
    _, said, slopes, centres, added, curve = plain
    away = 0.0
    for k in range(len(slopes)):
        value = np.float64(row[at[k]])
        away = 0.0 if np.isnan(value) else log(max(value, 0.0) + added[k]) - centres[k]
        said += slopes[k] * away
    return said + curve * away * away
