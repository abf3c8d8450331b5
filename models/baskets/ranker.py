"""The second stage: small LightGBM trees that order a customer's candidates and say how likely each is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from models.baskets.candidates import NAMES
from models.baskets.ranking import Judge
from models.trees.flat import Trees
from models.trees.shallow import ShallowTrees

OBJECTIVES = ("cross_entropy", "lambdarank")
TREES = 120  # of each
FEWEST_TARGETS, FEWEST_HITS = 50, 50
HELD_BACK = 0.1  # of the targets, for the calibration


@dataclass(frozen=True, slots=True)
class Rows:
    """Candidates of many targets, grouped: target t owns rows start[t]:start[t + 1]."""

    X: NDArray[np.float32]  # (rows, len(NAMES))
    hit: NDArray[np.bool_]  # whether the target basket holds the candidate
    start: NDArray[np.int64]  # (targets + 1,)
    size: NDArray[np.int64]  # products in the target basket, candidates or not

    def enough(self) -> bool:
        """Whether a ranker can learn from them at all."""
        return len(self.size) >= FEWEST_TARGETS and int(self.hit.sum()) >= FEWEST_HITS

    def of(self, targets: NDArray[np.int64]) -> Rows:
        counts = np.diff(self.start)[targets]
        rows = np.concatenate([np.arange(self.start[t], self.start[t + 1]) for t in targets] or [np.empty(0, int)])
        start = np.concatenate([[0], np.cumsum(counts)])
        return Rows(self.X[rows], self.hit[rows], start, self.size[targets])


@dataclass(frozen=True, slots=True)
class Ranker:
    """The sum of two boosters over candidates, each at unit spread, and the line that turns it into probabilities."""

    texts: tuple[str, ...]  # LightGBM's, one per objective
    weights: tuple[float, ...]
    slope: float
    intercept: float
    trees: ShallowTrees

    @classmethod
    def fit(cls, rows: Rows, *, seed: int, threads: int) -> Ranker:
        order = np.random.default_rng(seed).permutation(len(rows.size))
        held = int(len(order) * HELD_BACK)
        texts = _boost(rows.of(np.sort(order[held:])), seed, threads)
        back, parts = rows.of(np.sort(order[:held])), [Trees.parse(text) for text in texts]
        weights = tuple(1.0 / max(float(part.raw(back.X).std()), 1e-6) if len(back.X) else 1.0 for part in parts)
        trees = ShallowTrees.of(Trees.sum_of(parts, weights))
        return cls(texts, weights, *_calibrate(trees.raw(back.X), back.hit), trees)

    @property
    def judge(self) -> Judge:
        return Judge(self.trees, self.slope, self.intercept)

    def save(self, folder: Path) -> None:
        for objective, text in zip(OBJECTIVES, self.texts, strict=True):
            (folder / f"{objective}.txt").write_text(text)
        line = {"weights": self.weights, "slope": self.slope, "intercept": self.intercept}
        (folder / "ranker.json").write_text(json.dumps(line | {"features": list(NAMES)}))

    @classmethod
    def load(cls, folder: Path) -> Ranker:
        """Raises ValueError where it was trained on other features than this version computes."""
        meta = json.loads((folder / "ranker.json").read_text())
        if meta["features"] != list(NAMES):
            raise ValueError(f"{folder}: the ranker was trained on other features than this version computes")
        texts = tuple((folder / f"{objective}.txt").read_text() for objective in OBJECTIVES)
        trees = ShallowTrees.of(Trees.sum_of([Trees.parse(text) for text in texts], meta["weights"]))
        return cls(texts, tuple(meta["weights"]), meta["slope"], meta["intercept"], trees)


def _boost(rows: Rows, seed: int, threads: int) -> tuple[str, ...]:
    """Soft labels, where a hit counts 1 / size of its basket as recall does, and LambdaMART for the first places.

    Each does one thing better; see docs/results-next-basket.md.
    """
    counts, names = np.diff(rows.start), list(NAMES)
    soft = (rows.hit / np.repeat(np.maximum(rows.size, 1), counts)).astype(np.float32)
    data = (
        lgb.Dataset(rows.X, soft, feature_name=names),
        lgb.Dataset(rows.X, rows.hit.astype(np.float32), group=counts[counts > 0], feature_name=names),
    )
    return tuple(
        lgb.train(_parameters(seed, threads) | {"objective": objective}, each, TREES).model_to_string()
        for objective, each in zip(OBJECTIVES, data, strict=True)
    )


def _parameters(seed: int, threads: int) -> dict[str, object]:
    return {
        "lambdarank_truncation_level": 20,
        "num_leaves": 31,
        "max_depth": 6,  # see models.trees.shallow
        "learning_rate": 0.07,
        "min_data_in_leaf": 100,
        "feature_fraction": 0.6,
        "bagging_fraction": 0.7,
        "bagging_freq": 1,
        "lambda_l2": 10.0,
        "max_bin": 127,
        "deterministic": True,
        "force_row_wise": True,
        "seed": seed,
        "num_threads": threads,
        "verbose": -1,
    }


def _calibrate(raw: NDArray[np.float64], hit: NDArray[np.bool_]) -> tuple[float, float]:
    """Platt's line; with nothing to learn from, a slope of one."""
    if hit.all() or not hit.any():
        return 1.0, 0.0
    line = LogisticRegression(C=1e6).fit(raw[:, None], hit)
    return float(line.coef_[0, 0]), float(line.intercept_[0])
