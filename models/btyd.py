"""Buy-till-you-die models together: the starting point of every forecast, and the whole of it in a young shop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.bg_nbd import BgNbd
from models.gamma_gamma import GammaGamma
from models.pareto_nbd import ParetoNbd

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

    @property
    def columns(self) -> NDArray[np.float32]:
        """(rows, 4): inputs of the trees."""
        log_orders = np.log(np.maximum(self.orders, 1e-9))
        return np.column_stack([self.alive, logit(self.lapse), log_orders, self.worth]).astype(np.float32)


COLUMN_NAMES = ("btyd_alive", "btyd_lapse_logit", "btyd_log_orders", "btyd_worth")


@dataclass(frozen=True)
class BuyTillYouDie:
    """BG/NBD, MBG/NBD and Pareto/NBD, averaged, and Gamma-Gamma; times in days."""

    bg: BgNbd
    mbg: BgNbd
    pareto: ParetoNbd
    worth: GammaGamma

    @classmethod
    def fit(cls, X: NDArray[np.float32], names: Sequence[str]) -> BuyTillYouDie:
        """On feature rows of customers with a purchase. Raises ValueError without one."""
        x, recency, T, value = _inputs(X[:: max(1, len(X) // _FIT_ON)], positions(names))
        return cls(
            BgNbd.fit(x, recency, T),
            BgNbd.fit(x, recency, T, modified=True),
            ParetoNbd.fit(x, recency, T),
            _worth(x, value, X, names),
        )

    def forecast(self, X: NDArray[np.float32], at: Sequence[int], window_days: float) -> Base:
        """For feature rows whose COLUMNS are at the positions `at`."""
        x, recency, T, value = _inputs(X, at)
        each = [model.forecast(x, recency, T, window_days) for model in (self.bg, self.mbg, self.pareto)]
        alive, lapse, orders = (each[0] + each[1] + each[2]) / 3
        return Base(alive, lapse, orders, self.worth.expected_mean(x, value))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> BuyTillYouDie:
        kinds = {"bg": BgNbd, "mbg": BgNbd, "pareto": ParetoNbd, "worth": GammaGamma}
        return cls(**{name: kind(**stored[name]) for name, kind in kinds.items()})


def _worth(x: Floats, value: Floats, X: NDArray[np.float32], names: Sequence[str]) -> GammaGamma:
    """On repeat purchases, as the model is published; on all of them where hardly anybody has come again."""
    if (x > 0).sum() >= _MIN_REPEATERS or "spend_mean_order" not in names:
        return GammaGamma.fit(x, value)
    mean = X[:, list(names).index("spend_mean_order")][:: max(1, len(X) // _FIT_ON)]
    return GammaGamma.fit(x + 1, mean.astype(np.float64))


def positions(names: Sequence[str]) -> tuple[int, ...]:
    """Where the columns that these models need are. Raises ValueError naming what is missing."""
    missing = set(COLUMNS) - set(names)
    if missing:
        raise ValueError(f"the feature {min(missing)} is missing: buy-till-you-die models need {', '.join(COLUMNS)}")
    return tuple(list(names).index(name) for name in COLUMNS)


def logit(p: Floats) -> Floats:
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return np.log(p / (1 - p))


def _inputs(X: NDArray[np.float32], at: Sequence[int]) -> Sequence[Floats]:
    return np.ascontiguousarray(X[:, at].T, dtype=np.float64)  # type: ignore[return-value]
