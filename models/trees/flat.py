"""LightGBM trees flattened into arrays and walked in compiled code: the same sums, without a call's overhead."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import lightgbm as lgb
import numpy as np
from numpy.typing import ArrayLike, NDArray

from histories.compiled import compiled, piece

# Bits of LightGBM's decision_type (include/LightGBM/tree.h).
_CATEGORICAL, _DEFAULT_LEFT = 1, 2
_ZERO, _NAN = 1, 2  # missing_type, in the bits above those two


@dataclass(frozen=True, slots=True)
class Trees:
    """One ensemble of numerical splits. Children at or above zero are nodes, below zero the leaf ~child."""

    feature: NDArray[np.int32]
    threshold: NDArray[np.float64]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    flags: NDArray[np.int8]  # LightGBM's decision_type
    leaf: NDArray[np.float64]
    root: NDArray[np.int32]  # (trees,)

    @classmethod
    def of(cls, booster: lgb.Booster) -> Trees:
        """Raises ValueError for what a plain walk cannot do: categorical splits, linear leaves, several classes."""
        return cls.parse(booster.model_to_string())

    @classmethod
    def parse(cls, text: str) -> Trees:
        """From LightGBM's model text."""
        if "\nnum_tree_per_iteration=1\n" not in text or "\naverage_output\n" in text:
            raise ValueError("only boosted models with one score per row can be flattened")
        parts: dict[str, list[NDArray]] = {name: [] for name in cls.__slots__}
        nodes = leaves = 0
        for tree in tree_blocks(text):
            children = {side: _numbers(tree, f"{side}_child", np.int32) for side in ("left", "right")}
            leaf = _numbers(tree, "leaf_value", np.float64)
            for side, child in children.items():
                parts[side].append(np.where(child >= 0, child + nodes, child - leaves))
            parts["feature"].append(_numbers(tree, "split_feature", np.int32))
            parts["threshold"].append(_numbers(tree, "threshold", np.float64))
            parts["flags"].append(_flags(tree))
            parts["leaf"].append(leaf)
            parts["root"].append(np.array([nodes if len(children["left"]) else ~leaves], dtype=np.int32))
            nodes, leaves = nodes + len(children["left"]), leaves + len(leaf)
        types = {"threshold": np.float64, "leaf": np.float64, "flags": np.int8}
        return cls(**{n: np.concatenate([*p, []]).astype(types.get(n, np.int32)) for n, p in parts.items()})

    @classmethod
    def none(cls) -> Trees:
        """No trees: every score is zero."""
        whole, real = np.empty(0, dtype=np.int32), np.empty(0)
        return cls(whole, real, whole, whole, np.empty(0, dtype=np.int8), real, whole)

    @classmethod
    def sum_of(cls, parts: Sequence[Trees], weights: Sequence[float]) -> Trees:
        """One ensemble whose score is the weighted sum; its trees alternate, so that the first few are of all parts."""
        nodes = np.cumsum([0, *(len(part.feature) for part in parts)])
        leaves = np.cumsum([0, *(len(part.leaf) for part in parts)])

        def moved(child: NDArray[np.int32], at: int) -> NDArray[np.int32]:
            return np.where(child >= 0, child + nodes[at], child - leaves[at]).astype(np.int32)

        turn = np.argsort(np.concatenate([np.arange(len(part.root)) for part in parts]), kind="stable")
        return cls(
            feature=np.concatenate([part.feature for part in parts]),
            threshold=np.concatenate([part.threshold for part in parts]),
            left=np.concatenate([moved(part.left, at) for at, part in enumerate(parts)]),
            right=np.concatenate([moved(part.right, at) for at, part in enumerate(parts)]),
            flags=np.concatenate([part.flags for part in parts]),
            leaf=np.concatenate([part.leaf * weight for part, weight in zip(parts, weights, strict=True)]),
            root=np.concatenate([moved(part.root, at) for at, part in enumerate(parts)])[turn],
        )

    @classmethod
    def load(cls, path: Path) -> Trees:
        return cls.parse(path.read_text())

    def raw(self, X: ArrayLike) -> NDArray[np.float64]:
        """Raw score (before any link) of each row of X (rows, features): what predict(raw_score=True) gives."""
        rows = np.ascontiguousarray(X, dtype=np.float32)
        score = np.empty(len(rows))
        _raw(self.arrays, rows, score)
        return score

    @property
    def arrays(self) -> tuple[NDArray, ...]:
        """The trees as compiled code takes them."""
        return self.feature, self.threshold, self.left, self.right, self.flags, self.leaf, self.root


def tree_blocks(text: str) -> Iterator[dict[str, str]]:
    for block in text.split("\nTree=")[1:]:
        fields = dict(line.split("=", 1) for line in block.split("\n\n")[0].splitlines() if "=" in line)
        if fields.get("is_linear", "0") != "0":
            raise ValueError("linear leaves cannot be flattened")
        yield fields


def _numbers(tree: dict[str, str], name: str, kind: type[np.generic]) -> NDArray:
    return np.array(tree.get(name, "").split(), dtype=kind)


def _flags(tree: dict[str, str]) -> NDArray[np.int8]:
    flags = _numbers(tree, "decision_type", np.int8)
    if (flags & _CATEGORICAL).any():
        raise ValueError("categorical splits cannot be flattened")
    return flags


@compiled
def _raw(trees, X, score):  # type: ignore[no-untyped-def]
    walk(trees, X, score)


@piece
def walk(trees, X, score):  # type: ignore[no-untyped-def]
    """Raw scores (rows,) of the rows of X; `trees` are the arrays of Trees."""
    feature, threshold, left, right, flags, leaf, root = trees
    for row in range(X.shape[0]):
        total = 0.0
        for node in root:
            while node >= 0:
                value: float = X[row, feature[node]]  # compared as a double
                missing = flags[node] >> 2
                if np.isnan(value) and missing != _NAN:
                    value = 0.0
                if (missing == _NAN and np.isnan(value)) or (missing == _ZERO and abs(value) <= 1e-35):
                    goes_left = (flags[node] & _DEFAULT_LEFT) != 0
                else:
                    goes_left = value <= threshold[node]
                node = left[node] if goes_left else right[node]
            total += leaf[~node]
        score[row] = total
