"""Shallow trees over a few dozen rows at once: every row goes down level by level, without branches to guess wrong."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from histories.compiled import compiled, piece
from models.trees import Trees

_DEFAULT_LEFT, _NAN = 2, 2  # of LightGBM's decision_type, see models.trees


class ShallowTrees(NamedTuple):
    """Nodes of all trees in one numbering; leaves point to themselves, so that all paths have the same length."""

    feature: NDArray[np.int32]
    threshold: NDArray[np.float32]  # the highest single not above LightGBM's double: the same side for every single
    nan_right: NDArray[np.bool_]
    child: NDArray[np.int32]  # (2 * nodes,): left, right
    value: NDArray[np.float64]  # of a leaf
    root: NDArray[np.int32]
    depth: NDArray[np.int32]  # of each tree

    @classmethod
    def of(cls, trees: Trees) -> ShallowTrees:
        nodes, leaves = len(trees.feature), len(trees.leaf)
        own = nodes + np.arange(leaves)
        pairs = np.stack([trees.left, trees.right], axis=1).astype(np.int64)
        pairs = np.where(pairs >= 0, pairs, nodes + ~pairs)
        child = np.concatenate([pairs, np.stack([own, own], axis=1)]).astype(np.int32)
        root = np.where(trees.root >= 0, trees.root, nodes + ~trees.root).astype(np.int32)
        return cls(
            feature=np.concatenate([trees.feature, np.zeros(leaves)]).astype(np.int32),
            threshold=np.concatenate([_floor(trees.threshold), np.zeros(leaves)]).astype(np.float32),
            nan_right=np.concatenate([_nan_right(trees), np.zeros(leaves, dtype=bool)]),
            child=child.ravel(),
            value=np.concatenate([np.zeros(nodes), trees.leaf]),
            root=root,
            depth=np.array([_depth(int(node), child) for node in root], dtype=np.int32),
        )

    def raw(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Raw score of each row of X (rows, features), summed in the order of the trees."""
        return _raw(self, np.ascontiguousarray(X, dtype=np.float32))


def _floor(threshold: NDArray[np.float64]) -> NDArray[np.float32]:
    single = threshold.astype(np.float32)
    return np.where(single > threshold, np.nextafter(single, np.float32(-np.inf)), single)


def _nan_right(trees: Trees) -> NDArray[np.bool_]:
    """Where a missing value goes: the default side, or that of zero where training saw none."""
    default = (trees.flags & _DEFAULT_LEFT) == 0
    return np.where(trees.flags >> 2 == _NAN, default, trees.threshold < 0)


def _depth(root: int, child: NDArray[np.int32]) -> int:
    level, depth = {root}, 0
    while any(child[node, 0] != node for node in level):
        level = {int(child[node, side]) for node in level for side in (0, 1)}
        depth += 1
    return depth


@compiled
def _raw(trees, X):  # type: ignore[no-untyped-def]
    score = np.zeros(len(X))
    descend(trees, X, score, 0, len(trees.root))
    return score


@piece
def descend(trees, X, score, first, last):  # type: ignore[no-untyped-def]
    """Adds each row's values of the trees first..last (exclusive) to `score` (rows,)."""
    rows, width = X.shape
    flat = X.ravel()
    at = np.empty(rows, np.int32)
    for tree in range(first, last):
        at[:] = trees.root[tree]
        for _ in range(trees.depth[tree]):
            for row in range(rows):
                node = at[row]
                x = flat[row * width + trees.feature[node]]
                right = (x > trees.threshold[node]) | ((x != x) & trees.nan_right[node])
                at[row] = trees.child[2 * node + right]
        for row in range(rows):
            score[row] += trees.value[at[row]]
