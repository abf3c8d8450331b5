"""What every score of a customer starts from: the feature row and the buy-till-you-die forecast beside it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.btyd.mixture import COLUMN_NAMES, Base, BuyTillYouDie, positions
from models.frame import Frame

# Levels of the season are learned apart (see season.py): trees would take these for the number of the cut-off.
_HIDDEN = ("as_of_season_sin", "as_of_season_cos", "as_of_weekday")

_FEW = 32  # rows that are held until the next are looked at


@dataclass(frozen=True)
class Basis:
    """Names of the features in order, the buy-till-you-die models at as_of, and the windows in days."""

    features: tuple[str, ...]
    btyd: BuyTillYouDie
    horizon_days: int  # what is asked
    window_days: int  # what the trees were trained on
    as_of: int
    # The last few rows looked at: the models of a release share their basis, and are asked about them in turn.
    _last: list[tuple[NDArray[np.float32], object, tuple[NDArray[np.float32], Base]]] = field(
        default_factory=list, repr=False, compare=False
    )

    @classmethod
    def of(cls, frame: Frame) -> Basis:
        return cls(frame.names, frame.btyd, frame.horizon_days, frame.window_days, int(frame.as_of[-1]))

    @property
    def inputs_names(self) -> tuple[str, ...]:
        return (*self.features, *COLUMN_NAMES)

    def training_inputs(self, frame: Frame, rows: NDArray, base: Base) -> NDArray[np.float32]:
        """(rows, inputs) of a frame's rows and what the buy-till-you-die models say of them."""
        X = base.beside(frame.X[rows])
        X[:, [i for i, name in enumerate(self.features) if name in _HIDDEN]] = np.nan
        return X

    def look(self, X: NDArray[np.float32], as_of: int | NDArray[np.int64]) -> tuple[NDArray[np.float32], Base]:
        """Inputs of the trees, and the buy-till-you-die forecast for the horizon, of feature rows at as_of (us)."""
        for seen, then, made in self._last:
            if seen is X and then == as_of:
                return made
        made = self.btyd.look(X, self._at, as_of, self.horizon_days, self.window_days)
        if len(X) <= _FEW and isinstance(as_of, int):
            self._last[:] = [(X, as_of, made)]
        return made

    def usual(self, X: NDArray[np.float32], as_of: int | NDArray[np.int64]) -> Base:
        """The buy-till-you-die forecast for a horizon at the usual pace, whatever the season after as_of."""
        return self.btyd.forecast(X, self._at, as_of, self.horizon_days, usual=True)

    @cached_property
    def _at(self) -> tuple[int, ...]:
        return positions(self.features)

    def save(self, folder: Path, **more: object) -> None:
        meta = {
            "features": list(self.features),
            "btyd": self.btyd.to_dict(),
            "horizon_days": self.horizon_days,
            "window_days": self.window_days,
            "as_of": self.as_of,
        }
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.json").write_text(json.dumps(meta | more, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> tuple[Basis, dict]:
        """The basis and all that was saved with it."""
        meta = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        btyd = BuyTillYouDie.from_dict(meta["btyd"])
        return cls(tuple(meta["features"]), btyd, meta["horizon_days"], meta["window_days"], meta["as_of"]), meta


def newcomer(features: tuple[str, ...]) -> NDArray[np.float32]:
    """(1, features): the row of somebody whose first purchase was just now, all else unknown."""
    row = np.full((1, len(features)), np.nan, dtype=np.float32)
    known = {
        "purchases": 1.0,
        "frequency": 0.0,
        "recency": 0.0,
        "T": 0.0,
        "tenure_days": 0.0,
        "days_since_last_order": 0.0,
    }
    for name, value in known.items():
        if name in features:
            row[0, features.index(name)] = value
    return row
