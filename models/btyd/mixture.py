"""Buy-till-you-die models together: the starting point of every forecast, and the whole of it in a young shop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from math import log
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from histories.clock import DAY
from histories.compiled import compiled, piece
from models.btyd.bg_nbd import BgNbd, bg_forecast
from models.btyd.gamma_gamma import GammaGamma, expected_mean
from models.btyd.own_time import OwnTime, own_days
from models.btyd.pareto_nbd import ParetoNbd, pareto_forecast

Floats = NDArray[np.float64]
COLUMNS = ("frequency", "recency", "T", "monetary_value")
_MIN_REPEATERS = 30
_FIT_ON = 50_000  # customers: four parameters need no more
_EQUAL = (1 / 3, 1 / 3, 1 / 3)
_ALONE = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
_TINY = 1e-9
_DOUBT = 0.1  # standard deviation of a weight before a window has been seen; the customers of one window share its fate


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
        out = _room_beside(X)
        _beside(X, *self, out)
        return out


def _room_beside(X: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.empty((len(X), X.shape[1] + len(COLUMN_NAMES)), np.float32)


COLUMN_NAMES = ("btyd_alive", "btyd_lapse_logit", "btyd_log_orders", "btyd_worth")


@dataclass(frozen=True)
class BuyTillYouDie:
    """BG/NBD, MBG/NBD and Pareto/NBD, mixed, in the shop's own time, and Gamma-Gamma."""

    bg: BgNbd
    mbg: BgNbd
    pareto: ParetoNbd
    worth: GammaGamma
    time: OwnTime
    weights: tuple[float, float, float] = _EQUAL  # of bg, mbg and pareto; their sum is one

    @classmethod
    def fit(cls, X: NDArray[np.float32], names: Sequence[str], as_of: int, repeats: NDArray[np.int64]) -> BuyTillYouDie:
        """On feature rows at as_of (us) of customers with a purchase, and their repeats (see OwnTime.fit).

        Raises ValueError without a customer.
        """
        x, recency, T, value = _inputs(X, positions(names))
        time = OwnTime.fit(repeats, x, recency, T, as_of)
        few = slice(None, None, max(1, len(X) // _FIT_ON))
        x, value, X = x[few], value[few], X[few]
        recency, T, _ = time.measure(moments(as_of), recency[few], T[few], 0.0)
        return cls(
            BgNbd.fit(x, recency, T),
            BgNbd.fit(x, recency, T, modified=True),
            ParetoNbd.fit(x, recency, T),
            _worth(x, value, X, names),
            time,
        )

    def weighed(
        self, X: NDArray[np.float32], at: Sequence[int], as_of: int, window_days: float, orders: Floats
    ) -> tuple[float, float, float]:
        """The most probable weights given the orders that came in the window after as_of; arguments as in forecast."""
        alone = [replace(self, weights=weights).forecast(X, at, as_of, window_days) for weights in _ALONE]
        lapses, counts = np.array([base.lapse for base in alone]), np.array([base.orders for base in alone])
        return _mixed(np.clip(lapses, _TINY, 1 - _TINY), np.maximum(counts, _TINY), orders)

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
        _forecast(X, tuple(at), moments(as_of), float(window_days), usual, self._compiled, out)
        return Base(*out)

    def look(
        self,
        X: NDArray[np.float32],
        at: Sequence[int],
        as_of: int | NDArray[np.int64],
        horizon_days: float,
        window_days: float,
    ) -> tuple[NDArray[np.float32], Base]:
        """In one go: X beside the forecast of a window, and the forecast of the horizon."""
        said, inputs = np.empty((len(Base._fields), len(X))), _room_beside(X)
        _look(X, tuple(at), moments(as_of), float(horizon_days), float(window_days), self._compiled, said, inputs)
        return inputs, Base(*said)

    @cached_property
    def _compiled(self) -> tuple[Any, ...]:
        """All that the compiled forecast takes of the models."""
        models = (self.bg.numbers, self.mbg.numbers, self.pareto.numbers, self.worth.numbers)
        return *models, self.time.begins, self.time.passed, self.weights

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> BuyTillYouDie:
        kinds = {"bg": BgNbd, "mbg": BgNbd, "pareto": ParetoNbd, "worth": GammaGamma}
        time = OwnTime(stored["time"]["begins"], tuple(stored["time"]["pace"]))
        weights = tuple(stored.get("weights", _EQUAL))
        return cls(**{name: kind(**stored[name]) for name, kind in kinds.items()}, time=time, weights=weights)


@compiled
def _forecast(X, at, days, window_days, usual, models, out):  # type: ignore[no-untyped-def]
    _fill(X, at, days, window_days, usual, models, out)


@compiled
def _look(X, at, days, horizon_days, window_days, models, said, inputs):  # type: ignore[no-untyped-def]
    _fill(X, at, days, window_days, False, models, said)
    _set_beside(X, said[0], said[1], said[2], said[3], inputs)
    if horizon_days != window_days:
        _fill(X, at, days, horizon_days, False, models, said)


@piece
def _fill(X, at, days, window_days, usual, models, out):  # type: ignore[no-untyped-def]
    bg, mbg, pareto, worth, begins, passed, weights = models
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
            out[k, i] = weights[0] * first[k] + weights[1] * second[k] + weights[2] * third[k]
        out[3, i] = expected_mean(x, value, worth)


@compiled
def _beside(X, alive, lapse, orders, worth, out):  # type: ignore[no-untyped-def]
    _set_beside(X, alive, lapse, orders, worth, out)


@piece
def _set_beside(X, alive, lapse, orders, worth, out):  # type: ignore[no-untyped-def]
    rows, width = X.shape
    for i in range(rows):
        out[i, :width] = X[i]
        out[i, width], out[i, width + 1] = alive[i], log_odds(lapse[i])
        out[i, width + 2], out[i, width + 3] = log(max(orders[i], 1e-9)), worth[i]


def _mixed(lapses: Floats, counts: Floats, orders: Floats) -> tuple[float, float, float]:
    """Weights of models whose P(no purchase) and expected orders are (3, customers).

    By the likelihood of who came, that of the models' own mixture, and of how often, Poisson with the dispersion of
    the plain average; levels are free, as the next window will have another one.
    """
    gone = orders == 0
    if gone.all() or not gone.any():
        return _EQUAL
    even = counts.mean(axis=0)
    noise = max(float(((orders - even) ** 2 / even).mean()), 1.0)

    def cost(two: Floats) -> float:
        weights = _simplex(two)
        lapse, count = weights @ lapses, weights @ counts
        came = np.log(np.where(gone, lapse, 1 - lapse)).sum()
        often = (orders * np.log(count)).sum() - count.sum()
        return float(-came - often / noise + ((weights - 1 / 3) ** 2).sum() / (2 * _DOUBT**2))

    bg, mbg, pareto = _simplex(minimize(cost, np.zeros(2), method="BFGS", options={"gtol": 0.05}).x).tolist()
    return bg, mbg, pareto


def _simplex(two: Floats) -> Floats:
    raised = np.exp(np.clip(np.append(two, 0.0), -30, 30))
    return np.asarray(raised / raised.sum())


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
        out[i] = log_odds(p[i])
    return out


@piece
def log_odds(p):  # type: ignore[no-untyped-def]
    p = min(max(p, 1e-6), 1 - 1e-6)
    return log(p / (1 - p))


def moments(as_of: int | NDArray[np.int64]) -> Floats:
    """(1,) or (rows,) days since 1970, as compiled code takes instants (us)."""
    return np.array([as_of / DAY]) if isinstance(as_of, int) else np.atleast_1d(as_of / DAY)


def _inputs(X: NDArray[np.float32], at: Sequence[int]) -> Sequence[Floats]:
    return np.ascontiguousarray(X[:, at].T, dtype=np.float64)  # type: ignore[return-value]
