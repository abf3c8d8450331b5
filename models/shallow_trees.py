"""Shallow trees over a few dozen rows at once: every row goes down level by level, without branches to guess wrong."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from histories.compiled import compiled, piece
from models.trees import Trees

_DEFAULT_LEFT, _NAN = 2, 2  # of LightGBM's decision_type, see models.trees
_HIGHEST = np.finfo(np.float32).max


class ShallowTrees(NamedTuple):
    """Nodes of all trees in one numbering; leaves point to themselves, so that all paths have the same length.

    Numbers are unsigned, which spares the compiled code a look for places counted from the end.
    """

    feature: NDArray[np.uint32]  # twice the feature's number, and one more where a missing value goes right
    threshold: NDArray[np.float32]  # the highest single not above LightGBM's double: the same side for every single
    child: NDArray[np.uint32]  # (2 * nodes,): left, right
    value: NDArray[np.float64]  # of a leaf
    root: NDArray[np.uint32]
    depth: NDArray[np.int32]  # of each tree

    @classmethod
    def of(cls, trees: Trees) -> ShallowTrees:
        nodes, leaves = len(trees.feature), len(trees.leaf)
        own = nodes + np.arange(leaves)
        pairs = np.stack([trees.left, trees.right], axis=1).astype(np.int64)
        pairs = np.where(pairs >= 0, pairs, nodes + ~pairs)
        child = np.concatenate([pairs, np.stack([own, own], axis=1)]).astype(np.uint32)
        root = np.where(trees.root >= 0, trees.root, nodes + ~trees.root).astype(np.uint32)
        return cls(
            feature=np.concatenate([2 * trees.feature + _nan_right(trees), np.zeros(leaves)]).astype(np.uint32),
            threshold=np.concatenate([_floor(trees.threshold), np.zeros(leaves)]).astype(np.float32),
            child=child.ravel(),
            value=np.concatenate([np.zeros(nodes), trees.leaf]),
            root=root,
            depth=np.array([_depth(int(node), child) for node in root], dtype=np.int32),
        )

    @classmethod
    def none(cls) -> ShallowTrees:
        """No trees at all."""
        empty = np.empty(0, np.uint32)
        return cls(empty, np.empty(0, np.float32), empty, np.empty(0), empty, np.empty(0, np.int32))

    def raw(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Raw score of each row of X (rows, features), summed in the order of the trees."""
        return _raw(self, np.ascontiguousarray(X, dtype=np.float32))


def _floor(threshold: NDArray[np.float64]) -> NDArray[np.float32]:
    single = np.minimum(threshold, _HIGHEST).astype(np.float32)  # infinite where only missing values go right
    return np.where(single > threshold, np.nextafter(single, np.float32(-np.inf)), single)


def _nan_right(trees: Trees) -> NDArray[np.bool_]:
    """Where a missing value goes: the default side, or that of zero where training saw none."""
    default = (trees.flags & _DEFAULT_LEFT) == 0
    return np.where(trees.flags >> 2 == _NAN, default, trees.threshold < 0)


def _depth(root: int, child: NDArray[np.uint32]) -> int:
    level, depth = {root}, 0
    while any(child[node, 0] != node for node in level):
        level = {int(child[node, side]) for node in level for side in (0, 1)}
        depth += 1
    return depth


@compiled
def _raw(trees, X):  # type: ignore[no-untyped-def]
    score = np.zeros(len(X))
    descend(trees, two_sided(X), score, 0, len(trees.root))
    return score


@piece
def two_sided(X):  # type: ignore[no-untyped-def]
    """(rows, 2 * features): each value twice; a missing one as below all thresholds, then as above all of them."""
    rows, width = X.shape
    both = np.empty((rows, 2 * width), np.float32)
    for row in range(rows):
        for feature in range(width):
            value = min(X[row, feature], _HIGHEST)
            missing = value != value
            both[row, 2 * feature] = np.float32(-np.inf) if missing else value
            both[row, 2 * feature + 1] = np.float32(np.inf) if missing else value
    return both


@piece
def descend(trees, both, score, first, last):  # type: ignore[no-untyped-def]
    """Adds each row's values of the trees first..last (exclusive) to `score` (rows,); `both` is of two_sided."""
    rows = len(both)
    width, flat = np.uint64(both.shape[1]), both.ravel()
    at = np.empty(rows, np.uint32)
    for tree in range(first, last):
        at[:] = trees.root[tree]
        for _ in range(trees.depth[tree]):
            for row in range(rows):
                node = np.uint64(at[row])
                x = flat[np.uint64(row) * width + np.uint64(trees.feature[node])]
                at[row] = trees.child[(node << np.uint64(1)) | np.uint64(x > trees.threshold[node])]
        for row in range(rows):
            score[row] += trees.value[np.uint64(at[row])]
