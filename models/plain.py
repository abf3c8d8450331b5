"""What buyers spend, by ridge regression on four logs: few numbers, which a shop with few label windows can learn."""

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


@dataclass(frozen=True)
class Plain:
    """Log of a buyer's spend = level + slopes * (log(column + added) - centre); what is not known counts as usual."""

    level: float = 0.0
    slopes: tuple[float, ...] = ()  # none without a regression
    centres: tuple[float, ...] = ()
    added: tuple[float, ...] = ()

    @classmethod
    def fit(cls, X: NDArray[np.float32], names: Sequence[str], log_spend: Floats) -> Plain:
        """On feature rows and what followed them; rows whose log_spend is nan have no part in it."""
        X, y = X[~np.isnan(log_spend)], log_spend[~np.isnan(log_spend)]
        if len(y) < _FEWEST or not set(COLUMNS) <= set(names):
            return cls()
        columns = np.maximum(X[:, positions(names)].astype(np.float64), 0.0)
        spent = np.nan_to_num(columns[:, -1])
        added = np.array([1.0, 1.0, 1.0, max(_SMALL * float(spent.mean()), 1e-9)])
        logs = np.log(columns + added)
        known = ~np.isnan(logs)
        centres = np.where(known, logs, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
        away = np.where(known, logs - centres, 0.0)
        units = np.maximum(away.std(axis=0), 1e-9)
        away /= units
        slopes = np.linalg.solve(away.T @ away + _RIDGE * np.eye(len(COLUMNS)), away.T @ (y - y.mean())) / units
        return cls(float(y.mean()), tuple(slopes.tolist()), tuple(centres.tolist()), tuple(added.tolist()))

    @classmethod
    def of(cls, stored: dict[str, Any]) -> Plain:
        """As saved."""
        read: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in stored.items()}
        return cls(**read)

    @property
    def numbers(self) -> tuple[float, Floats, Floats, Floats]:
        """As compiled code takes them."""
        return self.level, np.array(self.slopes), np.array(self.centres), np.array(self.added)

    def contributions(self, X: NDArray[np.float32], names: Sequence[str]) -> Floats:
        """(rows, features): what each column adds to the level."""
        out = np.zeros(X.shape)
        for k, slope in enumerate(self.slopes):
            at = positions(names)[k]
            away = np.log(np.maximum(X[:, at].astype(np.float64), 0.0) + self.added[k]) - self.centres[k]
            out[:, at] = slope * np.nan_to_num(away)
        return out


def positions(names: Sequence[str]) -> tuple[int, ...]:
    """Where COLUMNS are; 0 for those that are missing, when there is no regression."""
    return tuple(list(names).index(name) if name in names else 0 for name in COLUMNS)


@piece
def log_spend(row, at, plain):  # type: ignore[no-untyped-def]
    """Of one feature row; `plain`: numbers of Plain, with a regression."""
    level, slopes, centres, added = plain
    for k in range(len(slopes)):
        value = np.float64(row[at[k]])
        if not np.isnan(value):
            level += slopes[k] * (log(max(value, 0.0) + added[k]) - centres[k])
    return level
