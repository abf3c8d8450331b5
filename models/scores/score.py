"""A score: what buy-till-you-die models say, corrected by a line, moved by trees as far as a backtest trusts them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize_scalar
from scipy.special import expit

from histories.compiled import compiled, piece
from models.btyd.mixture import Base
from models.frame import Frame
from models.scores.basis import Basis
from models.scores.line import Line, Where, line_of
from models.scores.season import returning
from models.trees.boosting import MIN_ROWS, Boosted
from models.trees.flat import Trees, walk

Floats = NDArray[np.float64]
_BELIEF, _DOUBT = 0.75, 0.25  # the weight of the trees before a backtest, and the standard deviation of that
_UNTRIED = 0.5  # the same where no backtest fits into the history: trees that no later time has tried are believed less
_FEW = 100  # customers in the backtest's window at which trees are believed half as much as those of many
_FOLDS = 8  # of the customers, who then take the place of a later time
_CROSSED_ROWS = 30_000  # are enough for that
# Small ones: what is left beside the buy-till-you-die models is nearly additive.
_TREES: dict[str, Any] = {"num_leaves": 5, "learning_rate": 0.06, "feature_fraction": 0.3}
# Smaller steps and two kinds of trees rank who comes better; orders and money they told no better.
_BY_OBJECTIVE: dict[str, dict[str, Any]] = {"binary": {"learning_rate": 0.03, "rounds": 240, "mixed": True}}
_TINY = 1e-9
_NO_LINE = Line()


class Target(NamedTuple):
    """What a score is of: y of every row of the frame, and the raw score that the buy-till-you-die models give.

    Rows whose y is nan have no part in it.
    """

    objective: Literal["binary", "poisson", "regression"]
    y: Floats
    start: Callable[[Base], Floats]
    offset: float = 1.0  # share of start that the trees begin at; the rest of it they learn anew


@dataclass(frozen=True)
class Score:
    """raw = slope * start + level + line + weight * trees; a logit for binary, a log for poisson, y for regression.

    That is the average, by weight, of start corrected by a line and of trees that begin at a share of start.
    """

    trees: Boosted
    weight: float
    slope: float
    level: float  # keeps the sum over all customers at what start and the season say: trees tell customers apart
    line: Line = _NO_LINE  # its columns, by their share of the average; what it makes of start is in the slope
    # Raw scores of the rows at the last labelled cut-off by a fit that knew nothing after it; not saved.
    held: Floats | None = field(default=None, repr=False, compare=False)

    @classmethod
    def fit(cls, frame: Frame, basis: Basis, target: Target) -> Score:
        """The weight is chosen on the last label window of the frame, with trees of the windows before it."""
        learned = _learned(frame, basis, target, np.flatnonzero(frame.labelled), frame.base)
        weight, held = _tried(frame, basis, target)
        latest = np.flatnonzero(frame.latest)
        inputs, base = basis.look(frame.X[latest], frame.as_of[latest])
        start = target.start(base)
        level = _kept(target.objective, start, learned.raw(inputs, start, weight))
        level += _foreseen(frame, target, frame.labelled, frame.base, int(frame.as_of[-1]))
        return learned.score(weight, level, held)

    def raw(self, inputs: NDArray[np.float32], start: Floats) -> Floats:
        out = np.empty(len(inputs))
        _raw(self.arrays, inputs, start, out)
        return out

    @cached_property
    def arrays(self) -> tuple[Any, ...]:
        """The score as compiled code takes it, see raw_score."""
        trees = (self.trees.trees or Trees.none()).arrays
        return trees, float(self.weight), float(self.slope), float(self.level), self.line.arrays

    @property
    def numbers(self) -> tuple[Any, ...]:
        """What is saved beside the trees."""
        return self.weight, self.slope, self.level, asdict(self.line)

    @classmethod
    def of(cls, trees: Boosted, stored: Sequence[Any]) -> Score:
        """From numbers as saved; earlier releases had no line."""
        weight, slope, level, *more = stored
        return cls(trees, weight, slope, level, Line.of(more[0]) if more else _NO_LINE)

    def contributions(self, inputs: NDArray[np.float32]) -> Floats:
        """(rows, inputs + 1): exact shares of what line and trees add to start, the last column their expectation."""
        shares = self.weight * self.trees.contributions(inputs)
        shares[:, :-1] += self.line.contributions(inputs)
        return shares


@compiled
def _raw(score, inputs, start, out):  # type: ignore[no-untyped-def]
    raw_score(score, inputs, start, out)


@piece
def raw_score(score, inputs, start, out):  # type: ignore[no-untyped-def]
    """Fills out (rows,) with the raw scores of rows of inputs that begin at start; `score` is arrays of Score."""
    trees, weight, slope, level, line = score
    walk(trees, inputs, out)
    for i in range(len(out)):
        out[i] = slope * start[i] + level + line_of(inputs[i], line) + weight * out[i]


class _Learned(NamedTuple):
    """What label windows teach: two views, which are averaged by a weight."""

    line: Line
    trees: Boosted
    offset: float

    def views(self, inputs: NDArray[np.float32], start: Floats) -> tuple[Floats, Floats]:
        """(rows,) each: start corrected by the line, and trees that begin at a share of start."""
        lined = self.line.raw(inputs, start)
        return lined, self.offset * start + self.trees.raw(inputs) if self.trees.booster else lined

    def raw(self, inputs: NDArray[np.float32], start: Floats, weight: float) -> Floats:
        lined, grown = self.views(inputs, start)
        return lined + weight * (grown - lined)

    def score(self, weight: float, level: float, held: Floats | None) -> Score:
        share = weight if self.trees.booster else 0.0
        line = self.line.times(1 - share)
        return Score(self.trees, weight, 1 - share * (1 - self.offset) + line.slope, level, line, held)


def _tried(frame: Frame, basis: Basis, target: Target) -> tuple[float, Floats | None]:
    """The weight of the trees that a backtest chooses, and the scores of its customers."""
    then = frame.earlier
    if then is None:
        return _crossed(frame, basis, target), None
    rows = np.flatnonzero(frame.as_of == then.as_of)
    base = then.base.take(rows)
    known = frame.known_at(then.as_of)
    start, level = target.start(base), _foreseen(frame, target, known, then.base, then.as_of)
    learned = _learned(frame, basis, target, np.flatnonzero(known), then.base)
    lined, grown = learned.views(basis.training_inputs(frame, rows, base), start)
    if learned.trees.booster is None:
        weight = _crossed(frame, basis, target)
    else:
        weight = _weight(target.objective, target.y[rows], lined, grown - lined, _belief(_BELIEF, len(rows)))
    raw = lined + weight * (grown - lined)
    return weight, raw + _kept(target.objective, start + level, raw)


def _belief(belief: float, customers: int) -> float:
    """In trees, before a backtest: what few customers teach is often noise, however many windows have seen them."""
    return belief * customers / (customers + _FEW)


def _crossed(frame: Frame, basis: Basis, target: Target) -> float:
    """The weight that the last label window chooses for trees of all windows, each part of the customers tried with
    trees of the others. A young shop has no more: of regular customers they are soon right, of few they learn noise.
    """
    known = frame.labelled & ~np.isnan(target.y)
    fold, some = frame.customer % _FOLDS, 1 + int(known.sum()) // _CROSSED_ROWS
    known &= frame.customer // _FOLDS % some == 0
    last = known & (frame.as_of == frame.as_of[known].max(initial=0))
    lined, grown = np.zeros(len(fold)), np.zeros(len(fold))
    for k in range(_FOLDS):
        learned = _learned(frame, basis, target, np.flatnonzero(known & (fold != k)), frame.base)
        if learned.trees.booster is None:
            return _UNTRIED
        rows = np.flatnonzero(last & (fold == k))
        base = frame.base.take(rows)
        inputs = basis.training_inputs(frame, rows, base)
        lined[rows], grown[rows] = learned.views(inputs, target.start(base))
    belief = _belief(_UNTRIED, int(last.sum()))
    return _weight(target.objective, target.y[last], lined[last], (grown - lined)[last], belief)


def _learned(frame: Frame, basis: Basis, target: Target, rows: NDArray[np.int64], base: Base) -> _Learned:
    """On the starting scores and the level of each cut-off."""
    rows = rows[~np.isnan(target.y[rows])]
    return _Learned(_lined(frame, target, rows, base), _grown(frame, basis, target, rows, base), target.offset)


def _lined(frame: Frame, target: Target, rows: NDArray[np.int64], base: Base) -> Line:
    """None for regression: what buyers spend has a plain view of its own (models/scores/plain.py)."""
    if target.objective == "regression":
        return Line()
    start, where = target.start(base.take(rows)), Where(frame.as_of[rows], frame.customer[rows])
    return Line.fit(target.objective, frame.X[rows], frame.names, target.y[rows], start, where)


def _grown(frame: Frame, basis: Basis, target: Target, rows: NDArray[np.int64], base: Base) -> Boosted:
    if len(rows) < MIN_ROWS or not target.y[rows].any():
        return Boosted(None, None)
    base, y, cuts = base.take(rows), target.y[rows], frame.as_of[rows]
    start = target.offset * target.start(base)
    for cut, level in _levels(target.objective, y, start, cuts).items():
        start[cuts == cut] += level
    how = _TREES | _BY_OBJECTIVE.get(target.objective, {})
    return Boosted.fit(basis.training_inputs(frame, rows, base), y, start, target.objective, **how)


def _foreseen(frame: Frame, target: Target, known: NDArray[np.bool_], base: Base, as_of: int) -> float:
    """The level of churn after as_of, beside what the shop's own time makes of it.

    Customers are more regular than the models think, and who comes at all has seasons of its own. The sums of orders
    and spend are left to the shop's own time.
    """
    rows = np.flatnonzero(known)
    if target.objective != "binary" or not len(rows):
        return 0.0
    found = _levels("binary", target.y[rows], target.start(base.take(rows)), frame.as_of[rows])
    return returning(list(found), list(found.values()), as_of)


def _levels(objective: str, y: Floats, raw: Floats, cuts: NDArray[np.int64]) -> dict[int, float]:
    """By cut-off."""
    return {cut: _level(objective, y[cuts == cut], raw[cuts == cut]) for cut in np.unique(cuts).tolist()}


def _level(objective: str, y: Floats, raw: Floats) -> float:
    """What to add to raw so that the forecasts add up to y."""
    if objective == "binary":
        share = float(np.clip(y.mean(), 0.5 / len(y), 1 - 0.5 / len(y)))
        return float(brentq(lambda level: float(expit(raw + level).mean()) - share, -15, 15))
    if objective == "regression":
        return float((y - raw).mean())
    return float(np.clip(np.log(max(y.sum(), _TINY) / max(np.exp(raw).sum(), _TINY)), -3, 3))


def _kept(objective: str, start: Floats, raw: Floats) -> float:
    """What to add to raw so that the forecasts add up to those of start."""
    inverse = {"binary": expit, "poisson": np.exp, "regression": np.asarray}[objective]
    return _level(objective, inverse(start), raw)


def _weight(objective: str, y: Floats, start: Floats, moved: Floats, belief: float) -> float:
    """The most probable weight given y: the level is free, as the next season's will be another one."""
    said = ~np.isnan(y)
    y, start, moved = y[said], start[said], moved[said]
    if not len(y):
        return _UNTRIED

    def loss(weight: float) -> float:
        raw = start + weight * moved
        return float(_losses(objective, y, raw + _level(objective, y, raw)).sum())

    noise = _dispersion(objective, y, start + _level(objective, y, start))

    def cost(weight: float) -> float:
        return loss(weight) / noise + ((weight - belief) / _DOUBT) ** 2 / 2

    return float(minimize_scalar(cost, bounds=(0.0, 1.25), method="bounded", options={"xatol": 1e-3}).x)


def _losses(objective: str, y: Floats, raw: Floats) -> Floats:
    """Negative log-likelihoods, up to constants and dispersion."""
    if objective == "binary":
        return np.logaddexp(0, raw) - y * raw
    return np.exp(raw) - y * raw if objective == "poisson" else (y - raw) ** 2 / 2


def _dispersion(objective: str, y: Floats, raw: Floats) -> float:
    """How much noisier y is than the likelihood says, by Pearson's estimate."""
    if objective == "binary":
        return 1.0
    mean = np.maximum(np.exp(raw), _TINY)
    noise = ((y - mean) ** 2 / mean).mean() if objective == "poisson" else ((y - raw) ** 2).mean()
    return max(float(noise), _TINY)
