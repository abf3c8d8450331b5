"""When the next order comes, given that it has not come yet."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.basis import Basis, newcomer
from models.boosting import Boosted
from models.btyd import positions
from models.frame import Frame
from models.season import Season

Floats = NDArray[np.float64]
WEEKS = 4
LONGEST_DAYS = 730.0
_GRID = np.array([0, 7, 14, 21, 28, 45, 60, 90, 120, 150, 180, 240, 300, 365, 540, LONGEST_DAYS])


@dataclass(frozen=True)
class When:
    """The survival curve of buy-till-you-die, made steeper or flatter by trees: S(t) = S0(t) ** exp(trees)."""

    basis: Basis
    trees: Boosted
    season: Season

    @property
    def features(self) -> tuple[str, ...]:
        return self.basis.features

    @classmethod
    def fit(cls, frame: Frame) -> When:
        """Trees of the hazard of a purchase within the window, proportional to that of buy-till-you-die."""
        basis = Basis.of(frame)
        rows = np.flatnonzero(frame.labelled)
        hazard = -np.log(np.clip(frame.base.lapse[rows], 1e-6, 1 - 1e-6))
        came = (frame.orders[rows] > 0).astype(float)
        trees = Boosted.fit(basis.training_inputs(frame, rows), came, np.log(hazard), "poisson")
        return cls(basis, trees, Season((), (), 0.0))

    def predict(self, X: NDArray[np.float32], as_of: int | NDArray[np.int64]) -> tuple[Floats, Floats]:
        """Expected days to the next order (rows,), and the probabilities of the next weeks (rows, 4).

        Expected among the times up to LONGEST_DAYS. Both are conditional on no order from the last one to as_of.
        """
        inputs, _ = self.basis.look(X)
        power = np.exp(np.clip(self.trees.raw(inputs) + self.season.level(as_of, len(X)), -4, 4))
        survival = self._survival(X) ** power[:, None]
        weeks = survival[:, :WEEKS] - survival[:, 1 : WEEKS + 1]
        middle = (_GRID[1:] + _GRID[:-1]) / 2
        falls = survival[:, :-1] - survival[:, 1:]
        mass = np.maximum(1 - survival[:, -1], 1e-12)
        return (falls * middle).sum(axis=1) / mass, weeks

    def _survival(self, X: NDArray[np.float32]) -> Floats:
        """(rows, len(_GRID)): P(no purchase by then) of buy-till-you-die, falling."""
        at = positions(self.features)
        curve = [np.ones(len(X)), *(self.basis.btyd.forecast(X, at, t).lapse for t in _GRID[1:].tolist())]
        return np.minimum.accumulate(np.clip(np.stack(curve, axis=1), 1e-12, 1), axis=1)

    def fallback(self, as_of: int) -> tuple[float, list[float]]:
        days, weeks = self.predict(newcomer(self.features), as_of)
        return float(days[0]), weeks[0].tolist()

    def save(self, folder: Path) -> None:
        self.basis.save(folder, season=asdict(self.season))
        self.trees.save(folder / "when.txt")

    @classmethod
    def load(cls, folder: Path) -> When:
        basis, meta = Basis.load(folder)
        return cls(basis, Boosted.load(folder / "when.txt"), Season(**meta["season"]))
