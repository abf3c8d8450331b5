"""Buy-till-you-die models together: the starting point of every forecast, and the whole of it in a young shop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from histories.clock import DAY
from models.bg_nbd import BgNbd
from models.gamma_gamma import GammaGamma
from models.own_time import OwnTime
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
        x, recency, T, value = _inputs(X, at)
        recency, T, window = self.time.measure(_days(as_of), recency, T, window_days)
        own = (recency, T, window_days if usual else window)
        each = [model.forecast(x, *own) for model in (self.bg, self.mbg, self.pareto)]
        alive, lapse, orders = (each[0] + each[1] + each[2]) / 3
        return Base(alive, lapse, orders, self.worth.expected_mean(x, value))

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> BuyTillYouDie:
        kinds = {"bg": BgNbd, "mbg": BgNbd, "pareto": ParetoNbd, "worth": GammaGamma}
        time = OwnTime(stored["time"]["begins"], tuple(stored["time"]["pace"]))
        return cls(**{name: kind(**stored[name]) for name, kind in kinds.items()}, time=time)


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


def logit(p: Floats) -> Floats:
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return np.log(p / (1 - p))


def _days(as_of: int | NDArray[np.int64]) -> Floats:
    return np.atleast_1d(np.asarray(as_of) / DAY)


def _inputs(X: NDArray[np.float32], at: Sequence[int]) -> Sequence[Floats]:
    return np.ascontiguousarray(X[:, at].T, dtype=np.float64)  # type: ignore[return-value]
