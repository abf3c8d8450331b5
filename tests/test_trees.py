"""The flattened walk gives LightGBM's own sums."""

from __future__ import annotations

import lightgbm as lgb
import numpy as np
import pytest
from numpy.typing import NDArray

from models.trees.flat import Trees
from models.trees.shallow import ShallowTrees


def grown(X: NDArray, y: NDArray, rounds: int = 30, **more: object) -> lgb.Booster:
    parameters = {"objective": "regression", "num_leaves": 15, "verbose": -1, "seed": 1, "num_threads": 1}
    return lgb.train(parameters | more, lgb.Dataset(X, y), rounds)


@pytest.fixture(scope="module")
def table() -> tuple[NDArray, NDArray]:
    """Numbers with gaps, exact zeros and a column that is missing only when predicting."""
    rng = np.random.default_rng(7)
    X = rng.normal(size=(2000, 6)).astype(np.float32)
    X[rng.random(X.shape) < 0.2] = 0
    X[:, :4][rng.random((2000, 4)) < 0.15] = np.nan
    y = np.nan_to_num(X[:, 0]) * 2 + np.isnan(X[:, 1]) + X[:, 5] ** 2
    return X, y


@pytest.mark.parametrize("more", [{}, {"zero_as_missing": True}, {"use_missing": False}])
def test_sums_are_identical(table: tuple[NDArray, NDArray], more: dict[str, bool]) -> None:
    X, y = table
    booster = grown(X, y, **more)
    asked = X.copy()
    asked[::7, 4:] = np.nan
    np.testing.assert_array_equal(Trees.of(booster).raw(asked), booster.predict(asked, raw_score=True))


@pytest.mark.parametrize("more", [{}, {"use_missing": False}, {"max_depth": 6}])
def test_shallow_trees_give_the_same_sums(table: tuple[NDArray, NDArray], more: dict[str, int]) -> None:
    X, y = table
    trees = Trees.of(grown(X, y, **more))
    asked = X.copy()
    asked[::7, 4:] = np.nan
    asked[:3, 0] = [np.inf, -np.inf, np.nan]
    np.testing.assert_array_equal(ShallowTrees.of(trees).raw(asked), trees.raw(asked))


def test_one_row_is_its_row_of_the_batch(table: tuple[NDArray, NDArray]) -> None:
    X, y = table
    trees = Trees.of(grown(X, y))
    assert [trees.raw(X[i : i + 1])[0] for i in range(50)] == trees.raw(X[:50]).tolist()


def test_a_tree_without_a_split() -> None:
    X = np.ones((40, 2), dtype=np.float32)
    booster = grown(X, np.full(40, 3.5), rounds=2)
    np.testing.assert_array_equal(Trees.of(booster).raw(X[:3]), booster.predict(X[:3], raw_score=True))


def test_what_cannot_be_flattened_is_refused(table: tuple[NDArray, NDArray]) -> None:
    X, y = table
    classes = np.digitize(y, [0.0, 1.0])
    with pytest.raises(ValueError, match="one score per row"):
        Trees.of(grown(X, classes, objective="multiclass", num_class=3))
    codes = np.nan_to_num(np.round(X * 3)).astype(int).clip(0)
    booster = lgb.train(
        {"verbose": -1, "min_data_per_group": 1, "cat_smooth": 0}, lgb.Dataset(codes, y, categorical_feature=[0, 5]), 3
    )
    with pytest.raises(ValueError, match="categorical"):
        Trees.of(booster)
