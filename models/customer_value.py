"""Customer value: expected orders; mean, median, an 80 % interval and the rank of spend, in the horizon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from models import churn as lapses
from models.btyd.mixture import Base, moments
from models.churn import Churn
from models.explain import Reason, explained
from models.frame import Frame
from models.scores.basis import Basis, newcomer
from models.scores.plain import Plain, positions
from models.scores.score import Score, Target
from models.scores.season import Season, believed
from models.scores.spend import TINY, fill_values, fill_views, starts
from models.scores.spread import Spread
from models.scores.standing import Standing
from models.trees.boosting import Boosted

Floats = NDArray[np.float64]


class Value(NamedTuple):
    """(rows,) each, low <= median <= high; spend in shop currency, orders in purchase days.

    The percentile is where spend is expected to rank among the shop's customers on the day of the training, 0 to 100;
    without money, where coming at all does; nan in models of versions that had none.
    """

    mean: Floats
    median: Floats
    low: Floats
    high: Floats
    orders: Floats
    percentile: Floats


@dataclass(frozen=True)
class CustomerValue:
    """Spend has two parts: none with the probability of churn, else what a buyer spends, scattered around its mean.

    So the mean is (1 - churn) times the buyer's, and the median is zero where churn is more likely than not. A
    buyer's mean is the geometric average of three views: what buyers spend, orders times what an order is worth, and
    a plain regression, whose weight falls the more buyers there were to learn from.
    """

    basis: Basis
    scores: dict[str, Score]  # churn (the model of that name), orders, basket (log spend of a buyer)
    plain: Plain
    prices: Season  # log of what came over what was expected, per purchase
    scale: float  # keeps the sum of spend at what buy-till-you-die models say, before prices
    spread: Spread
    standing: Standing
    has_money: bool

    @property
    def features(self) -> tuple[str, ...]:
        return self.basis.features

    @property
    def horizon_days(self) -> int:
        return self.basis.horizon_days

    @classmethod
    def fit(cls, frame: Frame, churn: Churn) -> CustomerValue:
        """With the churn model of the same frame."""
        basis = Basis.of(frame)
        has_money = bool(np.nansum(frame.X[:, frame.names.index("spend_total")]) > 0)
        paid = frame.spend > 0
        spent = np.where(paid, np.log(np.where(paid, frame.spend, 1.0)), np.nan)
        scores = {
            "churn": churn.score,
            "orders": Score.fit(frame, basis, Target("poisson", frame.orders.astype(float), _log_orders)),
            "basket": Score.fit(frame, basis, Target("regression", spent, _log_basket)),
        }
        latest = frame.X[frame.latest]
        inputs, base = basis.look(latest, int(frame.as_of[-1]))
        said = {name: score.raw(inputs, _STARTS[name](base)) for name, score in scores.items()}
        plain = Plain.fit(frame.X[frame.labelled], frame.names, spent[frame.labelled])
        location, often = _of_buyers(said, base, latest, plain, frame.names)
        prices, spread = _prices(frame, frame.labelled, frame.base), _spread(frame, scores, spent)
        scale, come = _scale(base, said["churn"], location), expit(-said["churn"])
        location = location + scale + prices.level(int(frame.as_of[-1]))
        standing = Standing.of(come, location, often, spread) if has_money else Standing.without_money(come)
        return cls(basis, scores, plain, prices, scale, spread, standing, has_money)

    def predict(self, X: NDArray[np.float32], as_of: int | NDArray[np.int64]) -> Value:
        """Of feature rows, for the horizon after as_of."""
        inputs, base = self.basis.look(X, as_of)
        out = np.empty((len(Value._fields), len(X)))
        fill_values(X, inputs, tuple(base), moments(as_of), self._arrays, out)
        if not self.has_money:
            out[: Value._fields.index("orders")] = 0.0
        return Value(*out)

    @cached_property
    def _arrays(self) -> tuple[Any, ...]:
        """All that the compiled prediction takes of the model."""
        scores = tuple(self.scores[name].arrays for name in ("churn", "orders", "basket"))
        plain = positions(self.features), self.plain.numbers
        shape = self.spread.edges, self.spread.quantiles, float(self.standing.gone), self.standing.levels
        return scores, *plain, self.prices.arrays, float(self.scale), *shape

    def fallback(self, as_of: int) -> Value:
        """The value of somebody whose first purchase was just now; numbers, not arrays."""
        return Value(*(column[0] for column in self.predict(newcomer(self.features), as_of)))

    def explain(
        self, X: NDArray[np.float32], as_of: int | NDArray[np.int64], top: int | None = 5
    ) -> list[list[Reason]]:
        """The strongest reasons of each row; effects are on the log of expected spend (orders without money)."""
        inputs, base = self.basis.look(X, as_of)
        usual = self.basis.usual(X, as_of)
        score = self.scores["orders"]
        ground, effects = score.slope * _log_orders(usual), score.contributions(inputs)
        level = score.slope * _log_orders(base) - ground + score.level
        if self.has_money:
            lost, basket = self.scores["churn"], self.scores["basket"]
            alone, slope = _coming(lost.slope * lapses.start(usual), lost.raw(inputs, lapses.start(base)))
            moved = lost.slope * (lapses.start(base) - lapses.start(usual)) + lost.level
            views = 2 + self.plain.weight
            rest = views - 1  # log P(a purchase) is in the view by orders already
            effects = effects + basket.contributions(inputs) + rest * slope[:, None] * lost.contributions(inputs)
            effects[:, : X.shape[1]] += self.plain.weight * self.plain.contributions(X, self.features)
            level = level + _log_basket(base) - _log_basket(usual) + basket.level + rest * slope * moved
            ground = (
                ground + _log_basket(usual) + _log_worth(base) + rest * alone + self.plain.weight * self.plain.level
            )
            effects, ground = effects / views, ground / views
            level = level / views + self.scale + self.prices.level(as_of)
        return explained(self.basis.inputs_names, inputs, effects, ground, level, top)

    def importance(self) -> dict[str, float]:
        names = self.basis.inputs_names
        trees = self.scores["basket" if self.has_money else "orders"].trees
        return dict(zip(names, trees.gain(len(names)).tolist(), strict=True))

    def save(self, folder: Path) -> None:
        self.basis.save(
            folder,
            scores={name: score.numbers for name, score in self.scores.items()},
            plain=asdict(self.plain),
            prices=asdict(self.prices),
            scale=self.scale,
            spread={"edges": self.spread.edges.tolist(), "quantiles": self.spread.quantiles.tolist()},
            standing={"gone": self.standing.gone, "levels": self.standing.levels.tolist()},
            has_money=self.has_money,
        )
        for name, score in self.scores.items():
            score.trees.save(folder / f"{name}.txt")

    @classmethod
    def load(cls, folder: Path) -> CustomerValue:
        basis, meta = Basis.load(folder)
        scores = {
            name: Score.of(Boosted.load(folder / f"{name}.txt"), numbers) for name, numbers in meta["scores"].items()
        }
        spread = Spread(np.array(meta["spread"]["edges"]), np.array(meta["spread"]["quantiles"]))
        standing = Standing.unknown()
        if stored := meta.get("standing"):  # earlier releases had none
            standing = Standing(stored["gone"], np.array(stored["levels"]))
        plain, prices = Plain.of(meta["plain"]), Season(**meta["prices"])
        return cls(basis, scores, plain, prices, meta["scale"], spread, standing, meta["has_money"])


def _log_orders(base: Base) -> Floats:
    return np.asarray(starts(*base)[1])


def _log_basket(base: Base) -> Floats:
    """Log of the expected spend of those who come."""
    return np.asarray(starts(*base)[2])


def _log_worth(base: Base) -> Floats:
    return np.log(np.maximum(base.worth, TINY))


_STARTS = {"churn": lapses.start, "orders": _log_orders, "basket": _log_basket}


def _of_buyers(
    said: dict[str, Floats], base: Base, X: NDArray[np.float32], plain: Plain, names: Sequence[str]
) -> tuple[Floats, Floats]:
    """Logs of the spend (before scale and prices) and of the orders of those who come, of feature rows."""
    out = np.empty((2, len(X)))
    fill_views(said["churn"], said["orders"], said["basket"], base.worth, X, positions(names), plain.numbers, out)
    return out[0], out[1]


def _coming(start: Floats, raw: Floats) -> tuple[Floats, Floats]:
    """log P(a purchase) at the logit `start` of churn, and what it changes per logit on the way to `raw`."""
    alone, moved = -np.logaddexp(0, start), raw - start
    near = np.abs(moved) < 1e-9
    return alone, np.where(near, -expit(start), (-np.logaddexp(0, raw) - alone) / np.where(near, 1.0, moved))


def _scale(base: Base, churn: Floats, location: Floats) -> float:
    total = (base.orders * base.worth).sum()
    made = (expit(-churn) * np.exp(location)).sum()
    return float(np.log(max(total, TINY) / max(made, TINY)))


def _prices(frame: Frame, known: NDArray[np.bool_], base: Base) -> Season:
    """Levels of what a purchase brings at each cut-off: seasons, inflation, and returns where spend is net."""
    cuts, levels, errors = [], [], []
    for cut in np.unique(frame.as_of[known]).tolist():
        rows = np.flatnonzero(known & (frame.as_of == cut) & (frame.orders > 0))
        level, error = _price(frame.spend[rows], frame.orders[rows] * base.worth[rows])
        if np.isfinite(level):
            cuts.append(cut)
            levels.append(level)
            errors.append(error)
    return Season.of(cuts, believed(levels, errors))


def _price(came: Floats, expected: Floats) -> tuple[float, float]:
    """Log of what came over what was expected, and its standard error; nan without either."""
    if came.sum() <= 0 or expected.sum() <= 0:
        return np.nan, np.nan
    ratio = came.sum() / expected.sum()
    error = np.sqrt(((came - ratio * expected) ** 2).sum()) / came.sum()
    return float(np.clip(np.log(ratio), -2, 2)), float(error)


def _spread(frame: Frame, scores: dict[str, Score], spent: Floats) -> Spread:
    """From the last label window, as it was forecast before it."""
    held = {name: score.held for name, score in scores.items() if score.held is not None}
    if frame.earlier is None or len(held) < len(scores):
        return Spread.usual()
    then, rows = frame.earlier, np.flatnonzero(frame.as_of == frame.earlier.as_of)
    known = frame.known_at(then.as_of)
    plain = Plain.fit(frame.X[known], frame.names, spent[known])
    base, prices = then.base.take(rows), _prices(frame, known, then.base)
    location, often = _of_buyers(held, base, frame.X[rows], plain, frame.names)
    location = location + _scale(base, held["churn"], location) + prices.level(then.as_of)
    paid = frame.spend[rows] > 0
    return Spread.fit(spent[rows][paid] - location[paid], often[paid], location[paid])
