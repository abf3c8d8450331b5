"""Churn: the probability of no purchase in the horizon."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from histories.compiled import compiled
from models.btyd.mixture import Base, log_odds, logit
from models.explain import Reason, explained
from models.frame import Frame
from models.scores.basis import Basis, newcomer
from models.scores.score import Score, Target, raw_score
from models.trees.boosting import Boosted

Floats = NDArray[np.float64]
# Buy-till-you-die models count orders better than they tell who comes: P(no purchase) leans on their Poisson.
_OFFSET = 0.5


@dataclass(frozen=True)
class Churn:
    """logit P = logit P(buy till you die, in the shop's own time) + weighted trees."""

    basis: Basis
    score: Score

    @property
    def features(self) -> tuple[str, ...]:
        return self.basis.features

    @property
    def horizon_days(self) -> int:
        return self.basis.horizon_days

    @classmethod
    def fit(cls, frame: Frame) -> Churn:
        basis = Basis.of(frame)
        gone = (frame.orders == 0).astype(float)
        return cls(basis, Score.fit(frame, basis, Target("binary", gone, start, _OFFSET)))

    def predict(self, X: NDArray[np.float32], as_of: int | NDArray[np.int64]) -> Floats:
        """(rows,) P(no purchase in the horizon after as_of) of feature rows."""
        inputs, base = self.basis.look(X, as_of)
        out = np.empty(len(X))
        _predict(inputs, base.lapse, self.score.arrays, out)
        return out

    def fallback(self, as_of: int) -> float:
        """The probability of somebody whose first purchase was just now."""
        return float(self.predict(newcomer(self.features), as_of)[0])

    def explain(
        self, X: NDArray[np.float32], as_of: int | NDArray[np.int64], top: int | None = 5
    ) -> list[list[Reason]]:
        """The strongest reasons of each row; effects are on the logit scale and positive towards churn."""
        inputs, base = self.basis.look(X, as_of)
        usual, effects = start(self.basis.usual(X, as_of)), self.score.contributions(inputs)
        level = self.score.slope * (start(base) - usual) + self.score.level
        return explained(self.basis.inputs_names, inputs, effects, self.score.slope * usual, level, top)

    def importance(self) -> dict[str, float]:
        names = self.basis.inputs_names
        return dict(zip(names, self.score.trees.gain(len(names)).tolist(), strict=True))

    def save(self, folder: Path) -> None:
        self.basis.save(folder, score=self.score.numbers)
        self.score.trees.save(folder / "churn.txt")

    @classmethod
    def load(cls, folder: Path) -> Churn:
        basis, meta = Basis.load(folder)
        return cls(basis, Score.of(Boosted.load(folder / "churn.txt"), meta["score"]))


def start(base: Base) -> Floats:
    return logit(base.lapse)


@compiled
def _predict(inputs, lapse, score, out):  # type: ignore[no-untyped-def]
    begin = np.empty(len(lapse))
    for i in range(len(lapse)):
        begin[i] = log_odds(lapse[i])
    raw_score(score, inputs, begin, out)
    for i in range(len(out)):
        out[i] = 1.0 / (1.0 + exp(-out[i]))
