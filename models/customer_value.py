"""Customer value: expected orders, and mean, median and an 80 % interval of spend, in the horizon."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from models.basis import Basis, newcomer
from models.boosting import Boosted
from models.btyd import Base
from models.explain import Reason, explained
from models.frame import Frame
from models.season import Season

Floats = NDArray[np.float64]
TREES_WEIGHT = 0.7
INTERVAL = 0.8
_TINY = 1e-9


class Value(NamedTuple):
    """(rows,) each, low <= median <= high; spend in shop currency, orders in purchase days."""

    mean: Floats
    median: Floats
    low: Floats
    high: Floats
    orders: Floats


@dataclass(frozen=True)
class Spread:
    """How spend scatters: nobody's is sure to come, and if it comes its log lies around the expected worth."""

    slope: float  # logit P(no purchase) = intercept + slope * log(expected orders)
    intercept: float
    residuals: Floats  # quantiles of log(spend / expected spend of those who come), at 0, .01, ... 1

    def quantile(self, level: Floats, gone: Floats, location: Floats) -> Floats:
        """Quantile of spend at `level` (rows,): zero up to P(no purchase), scattered beyond."""
        inside = np.clip((level - gone) / np.maximum(1 - gone, _TINY), 0, 1)
        log_spend = location + np.interp(inside, np.linspace(0, 1, len(self.residuals)), self.residuals)
        return np.where(level > gone, np.exp(log_spend), 0.0)


@dataclass(frozen=True)
class CustomerValue:
    """log orders, log spend and log spend of those who come: buy-till-you-die + level of the season + trees."""

    basis: Basis
    trees: dict[str, Boosted]  # orders, spend, basket
    seasons: dict[str, Season]
    spread: Spread
    has_money: bool

    @property
    def features(self) -> tuple[str, ...]:
        return self.basis.features

    @property
    def horizon_days(self) -> int:
        return self.basis.horizon_days

    @classmethod
    def fit(cls, frame: Frame) -> CustomerValue:
        basis = Basis.of(frame)
        rows = np.flatnonzero(frame.labelled)
        base, came = frame.base.take(rows), frame.orders[rows] > 0
        cuts, inputs = frame.as_of[rows], basis.training_inputs(frame, rows)
        has_money = bool(np.nansum(frame.X[:, frame.names.index("spend_total")]) > 0)
        starts = _starts(base)
        orders = _grown(inputs, cuts, frame.orders[rows].astype(float), starts["orders"], "poisson")
        spend = _grown(inputs, cuts, frame.spend[rows], starts["spend"], "tweedie") if has_money else _nothing()
        paid = came & (frame.spend[rows] > 0)
        basket = _scatter(
            inputs[paid], cuts[paid], np.log(np.maximum(frame.spend[rows][paid], _TINY)), starts["spend"][paid]
        )
        trees = {"orders": orders[0], "spend": spend[0], "basket": basket[0]}
        seasons = {"orders": orders[1], "spend": spend[1], "basket": basket[1]}
        model = cls(basis, trees, seasons, Spread(-1.0, 0.0, np.zeros(101)), has_money)
        return cls(
            basis, trees, seasons, _spread(model, inputs, base, cuts, frame.orders[rows], frame.spend[rows]), has_money
        )

    def predict(self, X: NDArray[np.float32], as_of: int | NDArray[np.int64]) -> Value:
        """Of feature rows, for the horizon after as_of."""
        inputs, base = self.basis.look(X)
        levels = {name: season.level(as_of, len(X)) for name, season in self.seasons.items()}
        scores = self._scores(inputs, base, levels)
        orders = np.exp(scores["orders"])
        if not self.has_money:
            nothing = np.zeros(len(X))
            return Value(nothing, nothing, nothing, nothing, orders)
        gone = self._gone(scores["orders"])
        low, median, high = (self.spread.quantile(level, gone, scores["basket"]) for level in _interval_levels(gone))
        return Value(np.exp(scores["spend"]), median, np.minimum(low, median), np.maximum(high, median), orders)

    def _scores(self, inputs: NDArray[np.float32], base: Base, levels: dict[str, Floats]) -> dict[str, Floats]:
        starts = _starts(base)
        return {
            name: np.clip(starts[name] + levels[name] + TREES_WEIGHT * self.trees[name].raw(inputs), -20, 25)
            for name in self.trees
        }

    def _gone(self, log_orders: Floats) -> Floats:
        return expit(self.spread.intercept + self.spread.slope * log_orders)

    def fallback(self, as_of: int) -> Value:
        """The value of somebody whose first purchase was just now; numbers, not arrays."""
        return Value(*(column[0] for column in self.predict(newcomer(self.features), as_of)))

    def explain(self, X: NDArray[np.float32], as_of: int | NDArray[np.int64], top: int = 5) -> list[list[Reason]]:
        """The strongest reasons of each row; effects are on the log of expected spend (orders without money)."""
        inputs, base = self.basis.look(X)
        name = "spend" if self.has_money else "orders"
        effects = TREES_WEIGHT * self.trees[name].contributions(inputs)
        level = self.seasons[name].level(as_of, len(X))
        return explained(self.basis.inputs_names, inputs, effects, _starts(base)[name], level, top)

    def importance(self) -> dict[str, float]:
        names = self.basis.inputs_names
        gains = self.trees["spend" if self.has_money else "orders"].gain(len(names))
        return dict(zip(names, gains.tolist(), strict=True))

    def save(self, folder: Path) -> None:
        spread = asdict(self.spread) | {"residuals": self.spread.residuals.tolist()}
        seasons = {name: asdict(season) for name, season in self.seasons.items()}
        self.basis.save(folder, seasons=seasons, spread=spread, has_money=self.has_money)
        for name, trees in self.trees.items():
            trees.save(folder / f"{name}.txt")

    @classmethod
    def load(cls, folder: Path) -> CustomerValue:
        basis, meta = Basis.load(folder)
        seasons = {name: Season(**season) for name, season in meta["seasons"].items()}
        trees = {name: Boosted.load(folder / f"{name}.txt") for name in seasons}
        spread = Spread(**(meta["spread"] | {"residuals": np.array(meta["spread"]["residuals"])}))
        return cls(basis, trees, seasons, spread, meta["has_money"])


def _starts(base: Base) -> dict[str, Floats]:
    orders = np.log(np.maximum(base.orders, _TINY))
    spend = orders + np.log(np.maximum(base.worth, _TINY))
    come = np.log(np.maximum(1 - base.lapse, _TINY))
    return {"orders": orders, "spend": spend, "basket": spend - come}


def _interval_levels(gone: Floats) -> tuple[Floats, Floats, Floats]:
    """Levels of low, median and high: the interval starts at zero where zero is likely, and holds INTERVAL in all."""
    tail = (1 - INTERVAL) / 2
    low = np.where(gone >= tail, 0.0, tail)
    return low, np.full(len(gone), 0.5), np.where(gone >= tail, INTERVAL, 1 - tail)


def _nothing() -> tuple[Boosted, Season]:
    return Boosted(None, None), Season((), (), 0.0)


def _grown(
    inputs: NDArray[np.float32], cuts: NDArray[np.int64], y: Floats, start: Floats, objective: str
) -> tuple[Boosted, Season]:
    """Trees of a target with a log link, on its start and the level of each cut-off."""
    if not len(y) or y.sum() <= 0:
        return _nothing()
    levels = {}
    begin = start.copy()
    for cut in np.unique(cuts).tolist():
        rows = cuts == cut
        levels[cut] = float(np.clip(np.log(max(y[rows].sum(), _TINY) / max(np.exp(start[rows]).sum(), _TINY)), -3, 3))
        begin[rows] += levels[cut]
    scale = max(float(y.mean()), _TINY)
    return Boosted.fit(inputs, y / scale, begin - np.log(scale), objective), Season.of(
        list(levels), list(levels.values())
    )


def _scatter(inputs: NDArray[np.float32], cuts: NDArray[np.int64], y: Floats, start: Floats) -> tuple[Boosted, Season]:
    """Trees of a log of spend, by least squares on what is left after start and the level of each cut-off."""
    if not len(y):
        return _nothing()
    levels = {cut: float((y - start)[cuts == cut].mean()) for cut in np.unique(cuts).tolist()}
    left = y - start - np.array([levels[cut] for cut in cuts.tolist()])
    return Boosted.fit(inputs, left, None, "regression"), Season.of(list(levels), list(levels.values()))


def _spread(
    model: CustomerValue, inputs: NDArray[np.float32], base: Base, cuts: NDArray, orders: NDArray, spend: Floats
) -> Spread:
    """From the training rows themselves."""
    usual = np.linspace(-1.5, 1.5, 101)
    if len(orders) < 30 or len(set((orders == 0).tolist())) < 2:
        return Spread(-1.0, -0.5, usual)
    levels = {
        n: np.interp(cuts / 864e8, s.days, s.levels) if s.days else np.zeros(len(cuts))
        for n, s in model.seasons.items()
    }
    scores = model._scores(inputs, base, levels)
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression().fit(scores["orders"][:, None], orders == 0)
    paid = spend > 0
    if paid.sum() < 30:
        return Spread(float(fitted.coef_[0, 0]), float(fitted.intercept_[0]), usual)
    left = np.log(spend[paid]) - scores["basket"][paid]
    return Spread(float(fitted.coef_[0, 0]), float(fitted.intercept_[0]), np.quantile(left, np.linspace(0, 1, 101)))
