"""Boosted trees on top of a starting score, the same way for every target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from models.trees.flat import Trees
from models.trees.shapley import Shapley

Floats = NDArray[np.float64]
_PARAMETERS = {
    "num_leaves": 15,
    "learning_rate": 0.04,
    "min_data_in_leaf": 100,
    "feature_fraction": 0.4,
    "bagging_fraction": 0.7,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "max_bin": 127,
    "deterministic": True,
    "force_col_wise": True,
    "verbose": -1,
}
ROUNDS = 120
MIN_ROWS = 400  # labelled rows below which trees would only learn noise


@dataclass(frozen=True)
class Boosted:
    """A LightGBM model and its flattened trees. Without a booster every score is zero."""

    booster: lgb.Booster | None
    trees: Trees | None = field(repr=False)

    @classmethod
    def fit(
        cls,
        X: NDArray[np.float32],
        y: NDArray,
        start: Floats | None,
        objective: str,
        *,
        seed: int = 1,
        rounds: int = ROUNDS,
        mixed: bool = False,
        **more: Any,
    ) -> Boosted:
        """Trees that add to the score `start` of each row; none with fewer than MIN_ROWS rows or a constant y.

        `mixed`: every second one splits at random places (Geurts, Ernst and Wehenkel 2006, "Extremely randomized
        trees"): two kinds of trees err less alike than one.
        """
        if len(y) < MIN_ROWS or (y == y[0]).all():
            return cls(None, None)
        parameters = _PARAMETERS | {"objective": objective, "seed": seed, "num_threads": 1} | more
        table = lgb.Dataset(X, y, init_score=start, free_raw_data=True)
        callbacks = [_every_second_at_random(seed)] if mixed else None
        return cls._of(lgb.train(parameters, table, rounds, callbacks=callbacks))

    @classmethod
    def _of(cls, booster: lgb.Booster) -> Boosted:
        return cls(booster, Trees.of(booster))

    def raw(self, X: NDArray[np.float32]) -> Floats:
        return np.zeros(len(X)) if self.trees is None else self.trees.raw(X)

    def contributions(self, X: NDArray[np.float32]) -> Floats:
        """(rows, features + 1): exact SHAP values of the raw score, the last column the expectation."""
        if self.booster is None:
            return np.zeros((len(X), X.shape[1] + 1))
        return self._shapley.contributions(X)

    @cached_property
    def _shapley(self) -> Shapley:
        """Made when the first score is explained."""
        assert self.booster is not None
        return Shapley.of(self.booster)

    def gain(self, width: int) -> Floats:
        """(width,): how much each input lowered the loss."""
        return np.zeros(width) if self.booster is None else self.booster.feature_importance("gain")

    def save(self, path: Path) -> None:
        if self.booster is not None:
            self.booster.save_model(path)

    @classmethod
    def load(cls, path: Path) -> Boosted:
        return cls._of(lgb.Booster(model_file=path)) if path.exists() else cls(None, None)


def _every_second_at_random(seed: int) -> Callable[..., None]:
    """Setting a parameter begins LightGBM's random numbers anew, so each round has seeds of its own."""

    def seed_of(number: int) -> int:
        return seed + number

    return lgb.reset_parameter(
        extra_trees=lambda number: number % 2 == 1, extra_seed=seed_of, feature_fraction_seed=seed_of
    )
