"""When the next order comes, given that it has not come yet and how likely it is to come in the horizon at all."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from math import exp, log
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histories.clock import DAY
from histories.compiled import compiled, piece
from models.btyd.bg_nbd import BgNbd
from models.btyd.mixture import moments
from models.btyd.own_time import OwnTime, own_day
from models.frame import Frame
from models.hazard import COLUMNS, at_risk, edges_of, look_ahead, look_ahead_of
from models.trees.boosting import Boosted
from models.trees.flat import Trees, walk

Floats = NDArray[np.float64]
WEEKS = 4
NOT_COMING = 0.02  # what a customer who does not come weighs, against one who comes, in the choice of the date
_SURE = 1e-6
_FIT_ON = 50_000  # customers
_LEAVES, _RATE, _ROUNDS = 8, 0.08, 60


@dataclass(frozen=True)
class When:
    """S(t) = churn ** B(t): B shares out the hazard over the horizon, B(horizon) = 1.

    The share of a bin is that of buy-till-you-die, corrected by trees that see the customer's own rhythm, and by the
    pace of the shop's own time, the clock of the churn model. The less likely a customer is to come, the less is made
    of a rhythm of his own: his hazard is shared out as everybody's.
    """

    features: tuple[str, ...]
    horizon_days: int
    prior: tuple[BgNbd, BgNbd]  # BG/NBD and MBG/NBD at the frame's as_of
    trees: Boosted
    common: Floats  # (bins,) shares of everybody's hazard
    time: OwnTime

    @classmethod
    def fit(cls, frame: Frame) -> When:
        """On what came after the cut-offs of the frame, as far as it can see: beyond that is censored."""
        edges = edges_of(frame.horizon_days)
        prior = _prior(frame)
        unfitted = cls(frame.names, frame.horizon_days, prior, Boosted(None, None), np.diff(edges), frame.btyd.time)
        fitted = replace(unfitted, trees=unfitted._learn(frame))
        come = 1 - frame.base.lapse[frame.latest]
        return replace(fitted, common=come @ fitted._shares(frame.X[frame.latest]) / max(come.sum(), _SURE))

    def _learn(self, frame: Frame) -> Boosted:
        """Trees of the hazard in a bin, on that of buy-till-you-die and the pace of the time."""
        table = at_risk(frame, self.edges)
        rows, place = np.unique(table.row, return_inverse=True)
        start, inputs = look_ahead(self._customers(frame.X[rows]), self._parameters, self.edges)
        cell = place * start.shape[1] + table.bin
        paces = _paces(frame.as_of[rows] / DAY, self.time.begins, self.time.passed, self.edges)
        begin = (start + paces).ravel()[cell]
        more: dict[str, Any] = {"num_leaves": _LEAVES, "learning_rate": _RATE, "feature_fraction": 0.7}
        return Boosted.fit(inputs[cell], table.came, begin, "poisson", rounds=_ROUNDS, **more)

    def predict(self, X: NDArray[np.float32], as_of: int | NDArray[np.int64], lapse: Floats) -> tuple[Floats, Floats]:
        """Days to the next order (rows,), and its probability in each of the next weeks (rows, 4).

        `lapse`: the churn model's probability of no order in the horizon, of the same rows. Days are the median time
        of an order within the horizon, not coming counted as its end with a weight of NOT_COMING: it moves to the end
        of the horizon as an order gets unlikely, and is inf where one is less likely than 1 in 51. The weeks
        are of S(t); beyond a horizon of less than four weeks the hazard stays as it was on average.
        """
        days, weeks = np.empty(len(X)), np.empty((len(X), WEEKS))
        _predict(self._customers(X), moments(as_of), np.asarray(lapse, np.float64), self._compiled, days, weeks)
        return days, weeks

    def _scores(self, X: NDArray[np.float32]) -> Floats:
        """(rows, bins): log hazards at an even pace."""
        return np.asarray(_scores(self._customers(X), *self._compiled[:3]))

    def _shares(self, X: NDArray[np.float32]) -> Floats:
        hazard = np.exp(self._scores(X))
        return np.asarray(hazard / hazard.sum(axis=1, keepdims=True))

    def _customers(self, X: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.ascontiguousarray(X[:, self._positions])

    @cached_property
    def edges(self) -> Floats:
        """Days from as_of at which the bins of the hazard end, the first at 0."""
        return edges_of(self.horizon_days)

    @cached_property
    def _positions(self) -> NDArray[np.intp]:
        return np.array([self.features.index(name) for name in COLUMNS])

    @cached_property
    def _compiled(self) -> tuple[Any, ...]:
        """All that the compiled prediction takes of the model."""
        trees = (self.trees.trees or Trees.none()).arrays
        return self._parameters, self.edges, trees, np.log(self.common), self.time.begins, self.time.passed

    @cached_property
    def _parameters(self) -> Floats:
        return np.array([[m.r, m.alpha, m.a, m.b] for m in self.prior])

    def save(self, folder: Path) -> None:
        meta: dict[str, Any] = {
            "features": list(self.features),
            "horizon_days": self.horizon_days,
            "prior": [asdict(model) for model in self.prior],
            "common": self.common.tolist(),
            "time": asdict(self.time),
        }
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.json").write_text(json.dumps(meta, indent=1), encoding="utf-8")
        self.trees.save(folder / "when.txt")

    @classmethod
    def load(cls, folder: Path) -> When:
        meta = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        bg, mbg = (BgNbd(**model) for model in meta["prior"])
        time = OwnTime(meta["time"]["begins"], tuple(meta["time"]["pace"]))
        trees = Boosted.load(folder / "when.txt")
        return cls(tuple(meta["features"]), meta["horizon_days"], (bg, mbg), trees, np.array(meta["common"]), time)


def _prior(frame: Frame) -> tuple[BgNbd, BgNbd]:
    """On the frame's latest rows, in days of the calendar."""
    X = frame.X[frame.latest]
    X = X[:: max(1, len(X) // _FIT_ON)]
    frequency, recency, T = (X[:, frame.names.index(name)].astype(np.float64) for name in COLUMNS[:3])
    return BgNbd.fit(frequency, recency, T), BgNbd.fit(frequency, recency, T, modified=True)


@compiled
def _predict(customers, moments, lapse, model, days, weeks):  # type: ignore[no-untyped-def]
    """Fills days and weeks; `moments` (1 or rows,) in days since 1970."""
    parameters, edges, trees, common, begins, passed = model
    scores = _log_hazards(customers, parameters, edges, trees)
    rows, bins = scores.shape
    share, pace = np.empty(bins), np.empty(bins)
    for i in range(rows):
        if i < len(moments):
            _pace(moments[i], begins, passed, edges, pace)
        stays = min(max(lapse[i], _SURE), 1.0 - _SURE)
        _share_out(scores[i], pace, common, 1.0 - stays, share)
        days[i] = _date(stays, share, edges)
        before = 1.0
        for week in range(WEEKS):
            after = stays ** _spent(7.0 * (week + 1), share, edges)
            weeks[i, week] = before - after
            before = after


@compiled
def _scores(customers, parameters, edges, trees):  # type: ignore[no-untyped-def]
    return _log_hazards(customers, parameters, edges, trees)


@piece
def _log_hazards(customers, parameters, edges, trees):  # type: ignore[no-untyped-def]
    """(rows, bins) at an even pace."""
    scores, inputs = look_ahead_of(customers, parameters, edges)
    moved = np.empty(len(inputs))
    walk(trees, inputs, moved)
    return scores + moved.reshape(scores.shape)


@compiled
def _paces(moments, begins, passed, edges):  # type: ignore[no-untyped-def]
    """(moments, bins): what _pace says of each moment."""
    paces = np.empty((len(moments), len(edges) - 1))
    for i in range(len(moments)):
        _pace(moments[i], begins, passed, edges, paces[i])
    return paces


@piece
def _pace(moment, begins, passed, edges, pace):  # type: ignore[no-untyped-def]
    """Log of how fast the shop's own time runs in each bin after the moment."""
    before = own_day(begins, passed, moment)
    for k in range(len(pace)):
        after = own_day(begins, passed, moment + edges[k + 1])
        pace[k] = log((after - before) / (edges[k + 1] - edges[k]))
        before = after


@piece
def _share_out(score, pace, common, comes, share):  # type: ignore[no-untyped-def]
    """Shares of the hazard per bin: everybody's, bent towards the customer's own by comes ** 2, times the pace."""
    top, total = score.max(), 0.0
    for k in range(len(score)):
        total += exp(score[k] - top)
    own = comes * comes
    whole = 0.0
    for k in range(len(score)):
        deviation = score[k] - top - log(total) - common[k]
        share[k] = exp(common[k] + own * deviation + pace[k])
        whole += share[k]
    share /= whole


@piece
def _date(stays, share, edges):  # type: ignore[no-untyped-def]
    level = 0.5 * (1.0 + NOT_COMING * stays / (1.0 - stays))  # of those who come in the horizon
    if level >= 1.0:
        return np.inf
    left = log(1.0 - (1.0 - stays) * level) / log(stays)
    for k in range(len(share)):
        if left <= share[k]:
            # An order of day 1 lies between the edges 0 and 1.
            return max(edges[k] + (edges[k + 1] - edges[k]) * left / share[k] + 0.5, 1.0)
        left -= share[k]
    return edges[-1]


@piece
def _spent(day, share, edges):  # type: ignore[no-untyped-def]
    """B(day): the share of the horizon's hazard up to it; beyond the horizon as on average before."""
    if day >= edges[-1]:
        return day / edges[-1]
    spent = 0.0
    for k in range(len(share)):
        if day <= edges[k + 1]:
            return spent + share[k] * (day - edges[k]) / (edges[k + 1] - edges[k])
        spent += share[k]
    return spent
