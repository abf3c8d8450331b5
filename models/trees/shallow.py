"""Shallow trees over a few dozen rows at once: every row goes down level by level, without branches to guess wrong."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from histories.compiled import compiled, piece
from models.trees.flat import Trees

_DEFAULT_LEFT, _NAN = 2, 2  # of LightGBM's decision_type, see models.trees.flat
_HIGHEST = np.finfo(np.float32).max
_LOWEST_KEY, _HIGHEST_KEY = np.iinfo(np.int32).min, np.iinfo(np.int32).max
_MOST = 1 << 16  # nodes of a tree; half as many features


class ShallowTrees(NamedTuple):
    """A node is one word, read at once: threshold, its left child (the right one is next to it) and a feature.

    Leaves are their own left child, with a threshold above all values, so that all paths have the same length. Numbers
    are unsigned, which spares the compiled code a look for places counted from the end.
    """

    node: NDArray[np.uint64]  # threshold's key << 32 | child, counted from the tree's first node, << 16 | feature
    value: NDArray[np.float64]  # of a leaf
    root: NDArray[np.uint64]  # the first node of each tree
    depth: NDArray[np.int32]  # of each tree

    @classmethod
    def of(cls, trees: Trees) -> ShallowTrees:
        """Raises ValueError for trees too large for their words."""
        nodes, values, depths = [], [], []
        feature = np.append(2 * trees.feature.astype(np.int64) + _nan_right(trees), 0)
        key = np.append(_keys(_floor(trees.threshold)), np.int32(_HIGHEST_KEY))
        for root in trees.root.tolist():
            order, left, depth = _by_level(root, trees)
            nodes.append(_words(order, left, feature, key))
            values.append(np.where(order < 0, trees.leaf[np.where(order < 0, ~order, 0)], 0.0))
            depths.append(depth)
        sizes = np.array([len(part) for part in nodes], dtype=np.int64)
        if sizes.max(initial=0) > _MOST or feature.max(initial=0) >= _MOST:
            raise ValueError(f"a tree has more than {_MOST} nodes, or there are more than {_MOST // 2} features")
        return cls(
            node=np.concatenate([*nodes, np.empty(0, np.uint64)]),
            value=np.concatenate([*values, np.empty(0)]),
            root=(np.cumsum(sizes) - sizes).astype(np.uint64),
            depth=np.array(depths, dtype=np.int32),
        )

    @classmethod
    def none(cls) -> ShallowTrees:
        """No trees at all."""
        return cls(np.empty(0, np.uint64), np.empty(0), np.empty(0, np.uint64), np.empty(0, np.int32))

    def raw(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """Raw score of each row of X (rows, features), summed in the order of the trees."""
        return np.asarray(_raw(self, np.ascontiguousarray(X, dtype=np.float32)))


def _by_level(root: int, trees: Trees) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Of one tree: its nodes and leaves (below zero, as in Trees) from the root on, siblings side by side; where the
    left child of each stands, itself for a leaf; and how many steps there are to the deepest.
    """
    order, left, level, depth = [root], [0], [0], 0
    for at, node in enumerate(order):  # grows as it goes
        if node < 0:
            left[at] = at
            continue
        left[at] = len(order)
        order += [int(trees.left[node]), int(trees.right[node])]
        left += [0, 0]
        level += [level[at] + 1] * 2
        depth = level[-1]
    return np.array(order), np.array(left), depth


def _words(
    order: NDArray[np.int64], left: NDArray[np.int64], feature: NDArray[np.int64], key: NDArray[np.int32]
) -> NDArray[np.uint64]:
    """`feature` and `key`, of a threshold, are of all nodes, and last of any leaf."""
    at = np.where(order >= 0, order, -1)
    high = key[at].view(np.uint32).astype(np.uint64) << np.uint64(32)
    return np.asarray(high | left.astype(np.uint64) << np.uint64(16) | feature[at].astype(np.uint64))


def _floor(threshold: NDArray[np.float64]) -> NDArray[np.float32]:
    """The highest single not above LightGBM's double: the same side for every single."""
    single = np.minimum(threshold, _HIGHEST).astype(np.float32)  # infinite where only missing values go right
    return np.where(single > threshold, np.nextafter(single, np.float32(-np.inf)), single)


def _nan_right(trees: Trees) -> NDArray[np.bool_]:
    """Where a missing value goes: the default side, or that of zero where training saw none."""
    default = (trees.flags & _DEFAULT_LEFT) == 0
    return np.where(trees.flags >> 2 == _NAN, default, trees.threshold < 0)


def _keys(values: NDArray[np.float32]) -> NDArray[np.int32]:
    """Whole numbers in the order of the values: the bits of a single are, but for the sign's."""
    return np.asarray(_rank.py_func((values.astype(np.float32) + np.float32(0.0)).view(np.int32)))


@piece
def _rank(bits):  # type: ignore[no-untyped-def]
    """From the bits of a single that is no zero below zero."""
    return bits ^ ((bits >> 31) & np.int32(_HIGHEST_KEY))


@compiled
def _raw(trees, X):  # type: ignore[no-untyped-def]
    score = np.zeros(len(X))
    descend(trees, two_sided(X), score, 0, len(trees.root))
    return score


@piece
def two_sided(X):  # type: ignore[no-untyped-def]
    """(rows, 2 * features) keys: of each value twice; a missing one as below all thresholds, then as above them."""
    rows, width = X.shape
    keys = np.empty((rows, 2 * width), np.int32)
    for row in range(rows):
        bits = (np.minimum(X[row], np.float32(_HIGHEST)) + np.float32(0.0)).view(np.int32)
        for feature in range(width):
            missing = X[row, feature] != X[row, feature]
            key = _rank(bits[feature])
            keys[row, 2 * feature] = np.int32(_LOWEST_KEY) if missing else key
            keys[row, 2 * feature + 1] = np.int32(_HIGHEST_KEY) if missing else key
    return keys


@piece
def descend(trees, keys, score, first, last):  # type: ignore[no-untyped-def]
    """Adds each row's values of the trees first..last (exclusive) to `score` (rows,); `keys` are of two_sided."""
    rows = len(keys)
    width, flat = np.uint64(keys.shape[1]), keys.ravel()
    at = np.empty(rows, np.uint64)
    for tree in range(first, last):
        root = trees.root[tree]
        at[:] = 0
        for _ in range(trees.depth[tree]):
            for row in range(rows):
                word = trees.node[root + at[row]]
                key = np.int64(flat[np.uint64(row) * width + (word & np.uint64(0xFFFF))])
                goes_right = np.uint64(key > np.int64(word) >> 32)
                at[row] = (word >> np.uint64(16) & np.uint64(0xFFFF)) + goes_right
        for row in range(rows):
            score[row] += trees.value[root + at[row]]
