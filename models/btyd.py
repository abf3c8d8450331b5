"""Buy-till-you-die models together: the starting point of every forecast, and the whole of it in a young shop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from math import log
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from histories.clock import DAY
from histories.compiled import compiled, piece
from models.bg_nbd import BgNbd, bg_forecast
from models.gamma_gamma import GammaGamma, expected_mean
from models.own_time import OwnTime, own_days
from models.pareto_nbd import ParetoNbd, pareto_forecast

Floats = NDArray[np.float64]
COLUMNS = ("frequency", "recency", "T", "monetary_value")
_MIN_REPEATERS = 30
_FIT_ON = 50_000  # customers: four parameters need no more


class Base(NamedTuple):
    """What the models together say of each customer (rows,)."""

    alive: Floats  # P(still a customer)
    lapse: Floats  # P(no purchase in the window)
    orders: Floats  # expected purchases in the window
    worth: Floats  # expected spend of a purchase, 0 in a shop without money

    def take(self, rows: NDArray) -> Base:
        return Base(*(column[rows] for column in self))

    def beside(self, X: NDArray[np.float32]) -> NDArray[np.float32]:
        """(rows, features + 4): X and, to the right of it, what these say, as inputs of trees."""
        return _beside(X, *self)


COLUMN_NAMES = ("btyd_alive", "btyd_lapse_logit", "btyd_log_orders", "btyd_worth")


@dataclass(frozen=True)
class BuyTillYouDie:
    """BG/NBD, MBG/NBD and Pareto/NBD, averaged, in the shop's own time, and Gamma-Gamma."""

    bg: BgNbd
    mbg: BgNbd
    pareto: ParetoNbd
    worth: GammaGamma
    time: OwnTime

    @classmethod
    def fit(cls, X: NDArray[np.float32], names: Sequence[str], as_of: int, repeats: NDArray[np.int64]) -> BuyTillYouDie:
        """On feature rows at as_of (us) of customers with a purchase, and their repeats (see OwnTime.fit).

        Raises ValueError without a customer.
        """
        x, recency, T, value = _inputs(X, positions(names))
        time = OwnTime.fit(repeats, x, recency, T, as_of)
        few = slice(None, None, max(1, len(X) // _FIT_ON))
        x, value, X = x[few], value[few], X[few]
        recency, T, _ = time.measure(_days(as_of), recency[few], T[few], 0.0)
        return cls(
            BgNbd.fit(x, recency, T),
            BgNbd.fit(x, recency, T, modified=True),
            ParetoNbd.fit(x, recency, T),
            _worth(x, value, X, names),
            time,
        )

    def forecast(
        self,
        X: NDArray[np.float32],
        at: Sequence[int],
        as_of: int | NDArray[np.int64],
        window_days: float,
        *,
        usual: bool = False,
    ) -> Base:
        """Of the window after as_of, for feature rows at as_of whose COLUMNS are at the positions `at`.

        `usual`: as if the window ran at the usual pace.
        """
        out = np.empty((len(Base._fields), len(X)))
        _forecast(X, tuple(at), _days(as_of), float(window_days), usual, self._compiled, out)
        return Base(*out)

    @cached_property
    def _compiled(self) -> tuple[Any, ...]:
        """All that the compiled forecast takes of the models."""
        models = (self.bg.numbers, self.mbg.numbers, self.pareto.numbers, self.worth.numbers)
        return *models, self.time.begins, self.time.passed

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> BuyTillYouDie:
        kinds = {"bg": BgNbd, "mbg": BgNbd, "pareto": ParetoNbd, "worth": GammaGamma}
        time = OwnTime(stored["time"]["begins"], tuple(stored["time"]["pace"]))
        return cls(**{name: kind(**stored[name]) for name, kind in kinds.items()}, time=time)


@compiled
def _forecast(X, at, days, window_days, usual, models, out):  # type: ignore[no-untyped-def]
    bg, mbg, pareto, worth, begins, passed = models
    for i in range(len(X)):
        x, value = np.float64(X[i, at[0]]), np.float64(X[i, at[3]])
        now, past, T = days[i % len(days)], np.float64(X[i, at[1]]), np.float64(X[i, at[2]])
        recency, T, window = own_days(begins, passed, now, past, T, window_days)
        if usual:
            window = window_days
        first = bg_forecast(x, recency, T, window, bg)
        second = bg_forecast(x, recency, T, window, mbg)
        third = pareto_forecast(x, recency, T, window, pareto)
        for k in range(3):
            out[k, i] = (first[k] + second[k] + third[k]) / 3
        out[3, i] = expected_mean(x, value, worth)


@compiled
def _beside(X, alive, lapse, orders, worth):  # type: ignore[no-untyped-def]
    rows, width = X.shape
    out = np.empty((rows, width + 4), np.float32)
    for i in range(rows):
        out[i, :width] = X[i]
        out[i, width], out[i, width + 1] = alive[i], _logit(lapse[i])
        out[i, width + 2], out[i, width + 3] = log(max(orders[i], 1e-9)), worth[i]
    return out


def _worth(x: Floats, value: Floats, X: NDArray[np.float32], names: Sequence[str]) -> GammaGamma:
    """On repeat purchases, as the model is published; on all of them where hardly anybody has come again."""
    if (x > 0).sum() >= _MIN_REPEATERS or "spend_mean_order" not in names:
        return GammaGamma.fit(x, value)
    return GammaGamma.fit(x + 1, X[:, list(names).index("spend_mean_order")].astype(np.float64))


def positions(names: Sequence[str]) -> tuple[int, ...]:
    """Where the columns that these models need are. Raises ValueError naming what is missing."""
    missing = set(COLUMNS) - set(names)
    if missing:
        raise ValueError(f"the feature {min(missing)} is missing: buy-till-you-die models need {', '.join(COLUMNS)}")
    return tuple(list(names).index(name) for name in COLUMNS)


@compiled
def logit(p):  # type: ignore[no-untyped-def]
    """(rows,) log-odds of probabilities (rows,)."""
    out = np.empty(len(p))
    for i in range(len(p)):
        out[i] = _logit(p[i])
    return out


@piece
def _logit(p):  # type: ignore[no-untyped-def]
    p = min(max(p, 1e-6), 1 - 1e-6)
    return log(p / (1 - p))


def _days(as_of: int | NDArray[np.int64]) -> Floats:
    return np.atleast_1d(np.asarray(as_of) / DAY)


def _inputs(X: NDArray[np.float32], at: Sequence[int]) -> Sequence[Floats]:
    return np.ascontiguousarray(X[:, at].T, dtype=np.float64)  # type: ignore[return-value]
