"""Exact Shapley values of boosted trees: the numbers of LightGBM's pred_contrib, several times as fast.

The game is that of Lundberg, Erion and Lee (2018), "Consistent Individualized Feature Attribution for Tree Ensembles":
a feature that is left out goes both ways, as often as the training rows did. A leaf's share in it is a product of one
factor per feature of its path, and the Shapley value of such a product is Owen's (1972) integral of a polynomial of
degree below the number of features, which Gauss-Legendre quadrature takes exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from histories.compiled import compiled
from models.trees.flat import tree_blocks

_DEFAULT_LEFT, _ZERO, _NAN = 2, 1, 2  # of LightGBM's decision_type, see models.trees.flat
_MOST_POINTS = 32  # of the quadrature: paths of up to 64 features


class _Range(NamedTuple):
    """Which values of one feature stay on the path of a leaf: low < value <= high, or none if that stays, too."""

    low: float = -np.inf
    high: float = np.inf
    missing: bool = True
    share: float = 1.0  # of the training rows that stayed

    def narrowed(self, other: _Range) -> _Range:
        low, high = max(self.low, other.low), min(self.high, other.high)
        return _Range(low, high, self.missing and other.missing, self.share * other.share)


Path = dict[int, _Range]


@dataclass(frozen=True, slots=True)
class Shapley:
    """The paths of all leaves, one after the other; one entry per feature of a path."""

    start: NDArray[np.int64]  # (leaves + 1,)
    value: NDArray[np.float64]  # (leaves,)
    feature: NDArray[np.int32]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    missing: NDArray[np.bool_]
    at: NDArray[np.int64]  # (entries,) where its row of the two tables begins; it is as long as the leaf has points
    factor: NDArray[np.float64]  # (points of all entries, 2) of the leaf's share: value off the path, on it
    effect: NDArray[np.float64]  # the same of the Shapley value, over the factor
    expectation: float  # of the score, over the training rows

    @classmethod
    def of(cls, booster: lgb.Booster) -> Shapley:
        """Raises ValueError for what a plain walk cannot do: see Trees."""
        leaves = [leaf for tree in tree_blocks(booster.model_to_string()) for leaf in _leaves(tree)]
        sizes = [len(path) for path, _ in leaves]
        entries = [(feature, *span) for path, _ in leaves for feature, span in path.items()]
        feature, low, high, missing, share = zip(*entries, strict=True) if entries else ((),) * 5
        orders = np.repeat((np.array(sizes, dtype=np.int64) + 1) // 2, sizes)
        return cls(
            start=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            value=np.array([value for _, value in leaves], dtype=np.float64),
            at=np.concatenate([[0], np.cumsum(orders)]).astype(np.int64)[:-1],
            **_tables(np.array(share, dtype=np.float64), orders),
            feature=np.array(feature, dtype=np.int32),
            low=np.array(low, dtype=np.float64),
            high=np.array(high, dtype=np.float64),
            missing=np.array(missing, dtype=np.bool_),
            expectation=sum(value * float(np.prod([s.share for s in path.values()])) for path, value in leaves),
        )

    def contributions(self, X: NDArray[np.float32]) -> NDArray[np.float64]:
        """(rows, features + 1): what each feature adds to the raw score, the last column the expectation."""
        out = np.zeros((len(X), X.shape[1] + 1))
        paths = (self.start, self.feature, self.low, self.high, self.missing)
        _attribute(paths, self.value, self.at, self.factor, self.effect, _WEIGHTS, np.ascontiguousarray(X), out)
        out[:, -1] = self.expectation
        return out


def _leaves(tree: Mapping[str, str]) -> Iterator[tuple[Path, float]]:
    values = [float(text) for text in tree["leaf_value"].split()]
    if len(values) == 1:
        yield {}, values[0]
        return
    yield from _below(_Nodes.of(tree), 0, {}, values)


class _Nodes(NamedTuple):
    """The columns of a tree as LightGBM writes it."""

    split_feature: list[int]
    threshold: list[float]
    decision_type: list[int]
    left_child: list[int]
    right_child: list[int]
    internal_count: list[int]
    leaf_count: list[int]

    @classmethod
    def of(cls, tree: Mapping[str, str]) -> _Nodes:
        thresholds = [float(text) for text in tree["threshold"].split()]
        whole = {n: [int(text) for text in tree[n].split()] for n in cls._fields if n != "threshold"}
        nodes = cls(threshold=thresholds, **whole)
        if any(flags >> 2 == _ZERO for flags in nodes.decision_type):
            raise ValueError("trees that take zero for missing cannot be explained")
        return nodes

    def count(self, child: int) -> int:
        return self.internal_count[child] if child >= 0 else self.leaf_count[~child]

    def left(self, node: int) -> _Range:
        """What goes left."""
        missing, share = self._missing_left(node), self.count(self.left_child[node]) / self.internal_count[node]
        return _Range(high=self.threshold[node], missing=missing, share=share)

    def right(self, node: int) -> _Range:
        missing, share = self._missing_left(node), self.count(self.right_child[node]) / self.internal_count[node]
        return _Range(low=self.threshold[node], missing=not missing, share=share)

    def _missing_left(self, node: int) -> bool:
        """Without a side of its own, a missing value is a zero."""
        flags = self.decision_type[node]
        return bool(flags & _DEFAULT_LEFT) if flags >> 2 == _NAN else self.threshold[node] >= 0


def _below(nodes: _Nodes, node: int, path: Path, values: list[float]) -> Iterator[tuple[Path, float]]:
    """The leaves under a node that `path` leads to."""
    if node < 0:
        yield path, values[~node]
        return
    feature = nodes.split_feature[node]
    sides = ((nodes.left_child[node], nodes.left(node)), (nodes.right_child[node], nodes.right(node)))
    for child, span in sides:
        yield from _below(nodes, child, path | {feature: path.get(feature, _Range()).narrowed(span)}, values)


def _quadrature() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points and weights on [0, 1]: row n - 1 holds n of them."""
    points, weights = np.zeros((_MOST_POINTS, _MOST_POINTS)), np.zeros((_MOST_POINTS, _MOST_POINTS))
    for n in range(1, _MOST_POINTS + 1):
        x, w = np.polynomial.legendre.leggauss(n)
        points[n - 1, :n], weights[n - 1, :n] = (x + 1) / 2, w / 2
    return points, weights


_POINTS, _WEIGHTS = _quadrature()


def _tables(share: NDArray[np.float64], orders: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """What each entry multiplies its leaf by at the points of the quadrature, off and on the path."""
    if not len(share):
        return {"factor": np.empty((0, 2)), "effect": np.empty((0, 2))}
    t = np.concatenate([_POINTS[order - 1, :order] for order in orders])
    z = np.repeat(share, orders)
    factor = np.column_stack([(1 - t) * z, t + (1 - t) * z])
    return {"factor": factor, "effect": np.column_stack([-z, 1 - z]) / factor}


@compiled
def _attribute(paths, value, at, factor, effect, weights, X, out):  # type: ignore[no-untyped-def]
    start, feature, low, high, missing = paths
    on = np.empty(2 * len(weights), np.int64)
    product = np.empty(len(weights))
    for row in range(len(X)):
        for leaf in range(len(value)):
            first, last = start[leaf], start[leaf + 1]
            order = (last - first + 1) // 2
            for q in range(order):
                product[q] = value[leaf] * weights[order - 1, q]
            for e in range(first, last):
                x = X[row, feature[e]]
                side = int((low[e] < x) & (x <= high[e]) | (np.isnan(x) & missing[e]))
                on[e - first] = side
                for q in range(order):
                    product[q] *= factor[at[e] + q, side]
            for e in range(first, last):
                side, total = on[e - first], 0.0
                for q in range(order):
                    total += product[q] * effect[at[e] + q, side]
                out[row, feature[e]] += total
