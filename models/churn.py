"""Churn: the probability of no purchase in the horizon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from models.basis import Basis, newcomer
from models.boosting import Boosted
from models.btyd import logit
from models.explain import Reason, explained
from models.frame import Frame
from models.season import Season

Floats = NDArray[np.float64]
TREES_WEIGHT = 0.7  # of what the trees add; the rest of the way the buy-till-you-die models are right as they are


@dataclass(frozen=True)
class Churn:
    """logit P = logit P(buy till you die) + level of the season + weighted trees."""

    basis: Basis
    trees: Boosted
    season: Season

    @property
    def features(self) -> tuple[str, ...]:
        return self.basis.features

    @property
    def horizon_days(self) -> int:
        return self.basis.horizon_days

    @classmethod
    def fit(cls, frame: Frame) -> Churn:
        basis = Basis.of(frame)
        rows = np.flatnonzero(frame.labelled)
        gone = frame.orders[rows] == 0
        start = logit(frame.base.lapse[rows])
        levels = _levels(frame.as_of[rows], start, gone)
        begin = start + np.array([levels[cut] for cut in frame.as_of[rows].tolist()])
        trees = Boosted.fit(basis.training_inputs(frame, rows), gone, begin, "binary")
        return cls(basis, trees, Season.of(list(levels), list(levels.values())))

    def predict(self, X: NDArray[np.float32], as_of: int | NDArray[np.int64]) -> Floats:
        """(rows,) P(no purchase in the horizon after as_of) of feature rows."""
        inputs, base = self.basis.look(X)
        raw = logit(base.lapse) + self.season.level(as_of, len(X)) + TREES_WEIGHT * self.trees.raw(inputs)
        return 1 / (1 + np.exp(-raw))

    def fallback(self, as_of: int) -> float:
        """The probability of somebody whose first purchase was just now."""
        return float(self.predict(newcomer(self.features), as_of)[0])

    def explain(self, X: NDArray[np.float32], as_of: int | NDArray[np.int64], top: int = 5) -> list[list[Reason]]:
        """The strongest reasons of each row; effects are on the logit scale and positive towards churn."""
        inputs, base = self.basis.look(X)
        effects = TREES_WEIGHT * self.trees.contributions(inputs)
        level = self.season.level(as_of, len(X))
        return explained(self.basis.inputs_names, inputs, effects, logit(base.lapse), level, top)

    def importance(self) -> dict[str, float]:
        names = self.basis.inputs_names
        return dict(zip(names, self.trees.gain(len(names)).tolist(), strict=True))

    def save(self, folder: Path) -> None:
        self.basis.save(folder, season=asdict(self.season))
        self.trees.save(folder / "churn.txt")

    @classmethod
    def load(cls, folder: Path) -> Churn:
        basis, meta = Basis.load(folder)
        return cls(basis, Boosted.load(folder / "churn.txt"), Season(**meta["season"]))


def _levels(cuts: NDArray[np.int64], start: Floats, gone: NDArray[np.bool_]) -> dict[int, float]:
    """Per cut-off, what to add to the scores so that their mean is the share that was gone."""
    levels: dict[int, float] = {}
    for cut in np.unique(cuts).tolist():
        rows = cuts == cut
        share = np.clip(gone[rows].mean(), 0.5 / rows.sum(), 1 - 0.5 / rows.sum())
        levels[cut] = float(brentq(_excess, -15, 15, args=(start[rows], share)))
    return levels


def _excess(level: float, start: Sequence[float], share: float) -> float:
    return float((1 / (1 + np.exp(-(np.asarray(start) + level)))).mean() - share)
