"""The second stage: small LightGBM trees that order a customer's candidates and say how likely each is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from models.candidates import NAMES
from models.trees import Trees

TREES = 100
FEWEST_TARGETS, FEWEST_HITS = 50, 50
HELD_BACK = 0.15  # of the targets, for the calibration


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
    """Mean of a listwise and a pointwise booster, and the line that turns their scores into probabilities."""

    listwise: str  # LightGBM text
    pointwise: str
    slope: float
    intercept: float
    walkers: tuple[Trees, Trees]

    @classmethod
    def fit(cls, rows: Rows, *, seed: int, threads: int) -> Ranker:
        order = np.random.default_rng(seed).permutation(len(rows.size))
        held = int(len(order) * HELD_BACK)
        kept, back = rows.of(np.sort(order[held:])), rows.of(np.sort(order[:held]))
        listwise = _boost_listwise(kept, seed, threads)
        pointwise = _boost_pointwise(kept, seed, threads)
        walkers = (Trees.parse(listwise), Trees.parse(pointwise))
        slope, intercept = _calibrate(_raw(walkers, back.X), back.hit)
        return cls(listwise, pointwise, slope, intercept, walkers)

    def predict(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Probability (rows,) that the customer's next basket holds the candidate; each row by itself."""
        return 1.0 / (1.0 + np.exp(-(self.slope * _raw(self.walkers, X) + self.intercept)))

    def save(self, folder: Path) -> None:
        (folder / "listwise.txt").write_text(self.listwise)
        (folder / "pointwise.txt").write_text(self.pointwise)
        meta = {"slope": self.slope, "intercept": self.intercept, "features": list(NAMES)}
        (folder / "ranker.json").write_text(json.dumps(meta))

    @classmethod
    def load(cls, folder: Path) -> Ranker:
        meta = json.loads((folder / "ranker.json").read_text())
        if meta["features"] != list(NAMES):
            raise ValueError(f"{folder}: the ranker was trained on other features than this version computes")
        listwise, pointwise = (folder / "listwise.txt").read_text(), (folder / "pointwise.txt").read_text()
        walkers = (Trees.parse(listwise), Trees.parse(pointwise))
        return cls(listwise, pointwise, meta["slope"], meta["intercept"], walkers)


def plain_scores(X: NDArray[np.float32]) -> NDArray[np.float64]:
    """Without a ranker: the share of the customer's orders with the product, newer ones more, drawn to everybody's."""
    orders, mine, share = (X[:, NAMES.index(name)].astype(float) for name in ("orders", "own_decay_90", "item_share"))
    weight = (1 - 0.9**orders) / (1 - 0.9)
    return (np.nan_to_num(mine) + np.clip(np.nan_to_num(share), 0, 1)) / (weight + 1)


def _raw(walkers: tuple[Trees, Trees], X: NDArray[np.float32]) -> NDArray[np.float64]:
    return walkers[0].raw(X) + walkers[1].raw(X)


def _parameters(seed: int, threads: int) -> dict[str, object]:
    return {
        "num_leaves": 31,
        "learning_rate": 0.08,
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


def _boost_listwise(rows: Rows, seed: int, threads: int) -> str:
    parameters = _parameters(seed, threads) | {
        "objective": "lambdarank",
        "lambdarank_truncation_level": 20,
        "label_gain": [0, 1],
    }
    data = lgb.Dataset(rows.X, rows.hit.astype(np.float32), group=np.diff(rows.start), feature_name=list(NAMES))
    return lgb.train(parameters, data, TREES).model_to_string()


def _boost_pointwise(rows: Rows, seed: int, threads: int) -> str:
    """Soft labels: a hit counts 1 / size of its basket, as recall does."""
    label = rows.hit / np.repeat(np.maximum(rows.size, 1), np.diff(rows.start))
    parameters = _parameters(seed, threads) | {"objective": "cross_entropy"}
    data = lgb.Dataset(rows.X, label.astype(np.float32), feature_name=list(NAMES))
    return lgb.train(parameters, data, TREES).model_to_string()


def _calibrate(raw: NDArray[np.float64], hit: NDArray[np.bool_]) -> tuple[float, float]:
    """Platt's line; with nothing to learn from, a slope of one."""
    if hit.all() or not hit.any():
        return 1.0, 0.0
    line = LogisticRegression(C=1e6).fit(raw[:, None], hit)
    return float(line.coef_[0, 0]), float(line.intercept_[0])
