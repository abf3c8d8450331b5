"""Reasons: exact Shapley values, effects that add up to the score, a sentence for every feature."""

from __future__ import annotations

import re

import lightgbm as lgb
import numpy as np
import pytest

from features.attributes import AttributeEncoder
from features.customers import FEATURES
from models.btyd.mixture import logit
from models.churn import Churn
from models.customer_value import CustomerValue
from models.explain import BTYD, explained
from models.frame import Frame, training_frame
from models.sentences import count, has_sentence, sentence
from models.trees.boosting import Boosted
from models.trees.shapley import Shapley
from tests.test_models_contract import AS_OF, made_up

VALUES = (0.0, 0.3, 0.5, 1.0, 1.4, 2.0, 3.0, 37.6, 12_345.6)


def booster(leaves: int, rounds: int, *, missing: bool, weights: bool = False) -> tuple[lgb.Booster, np.ndarray]:
    random = np.random.default_rng(leaves)
    X = random.normal(size=(1500, 8)).astype(np.float32)
    if missing:
        X[random.random(X.shape) < 0.2] = np.nan
    X[:, 5] = np.round(X[:, 5])
    y = np.nan_to_num(X[:, 0]) + np.nan_to_num(X[:, 1] * X[:, 5]) + random.normal(size=1500)
    parameters = {"objective": "regression", "num_leaves": leaves, "verbose": -1, "num_threads": 1, "bagging_freq": 1,
                  "bagging_fraction": 0.6, "min_data_in_leaf": 5}  # fmt: skip
    return lgb.train(parameters, lgb.Dataset(X, y), rounds), X


@pytest.mark.parametrize(("leaves", "missing"), [(2, True), (15, True), (15, False), (60, True)])
def test_shapley_values_are_those_of_lightgbm(leaves: int, missing: bool) -> None:
    model, X = booster(leaves, 25, missing=missing)
    asked = np.vstack([X[:100], np.full((1, 8), np.nan, np.float32), np.zeros((1, 8), np.float32)])
    theirs = np.asarray(model.predict(asked, pred_contrib=True))
    np.testing.assert_allclose(Shapley.of(model).contributions(asked), theirs, atol=1e-9)


def test_a_tree_without_a_split_is_expectation_alone() -> None:
    X, y = np.ones((50, 2), np.float32), np.linspace(0, 1, 50)
    model = lgb.train({"objective": "regression", "verbose": -1}, lgb.Dataset(X, y), 3)
    found = Shapley.of(model).contributions(X[:2])
    np.testing.assert_allclose(found, np.asarray(model.predict(X[:2], pred_contrib=True)), atol=1e-9)


def test_trees_without_a_booster_explain_nothing() -> None:
    assert not Boosted(None, None).contributions(np.ones((2, 3), np.float32)).any()


def test_a_game_by_hand() -> None:
    """v(nothing) = 4.5, v(a) = 8, v(b) = 6, v(both) = 10: what each brings, first and second, in the mean."""
    X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32).repeat(20, axis=0)
    y = np.array([0, 2, 6, 10], float).repeat(20)
    parameters = {"objective": "regression", "num_leaves": 4, "learning_rate": 1.0, "min_data_in_leaf": 1,
                  "verbose": -1, "lambda_l2": 0.0}  # fmt: skip
    found = Shapley.of(lgb.train(parameters, lgb.Dataset(X, y), 1)).contributions(np.ones((1, 2), np.float32))
    np.testing.assert_allclose(found, [[((8 - 4.5) + (10 - 6)) / 2, ((6 - 4.5) + (10 - 8)) / 2, 4.5]], atol=1e-6)


@pytest.fixture(scope="module")
def frame() -> Frame:
    history = made_up(400, 8)
    return training_frame(history, AS_OF, 90, AttributeEncoder.fit(history))


def test_reasons_add_up_to_the_scores(frame: Frame) -> None:
    X = frame.X[frame.latest][:50]
    churn = Churn.fit(frame)
    value = CustomerValue.fit(frame, churn)
    for reasons, raw in (
        (churn.explain(X, AS_OF, top=None), logit(churn.predict(X, AS_OF))),
        (value.explain(X, AS_OF, top=None), np.log(value.predict(X, AS_OF).mean)),
    ):
        assert any(len(row) > 3 for row in reasons)  # trees did learn something
        np.testing.assert_allclose([sum(reason.effect for reason in row) for row in reasons], raw, atol=1e-6)
    strongest = churn.explain(X, AS_OF, top=3)
    assert all(len(row) <= 3 for row in strongest)
    assert all(abs(row[0].effect) >= abs(row[-1].effect) for row in strongest)


def test_a_family_is_named_by_its_strongest_column() -> None:
    names = ("days_since_last_order", "recency_share", "purchases", "T", "attr_card", "btyd_alive")
    inputs = np.array([[12, 0.5, 4, 300, np.nan, 0.9]], dtype=np.float32)
    effects = np.array([[-0.5, 0.2, 0.0, 0.0, 0.1, 0.3, 1.0]])
    (reasons,) = explained(names, inputs, effects, np.array([-2.0]), np.array([0.05]), None)
    told = {reason.feature: (reason.value, round(reason.effect, 6), reason.text) for reason in reasons}
    assert told == {
        BTYD: (None, -0.7, "4 orders in 300 days, the last 12 days ago"),
        "days_since_last_order": (12.0, -0.3, "ordered 12 days ago"),
        "attr_card": (None, 0.1, "attribute card is not known"),
        "season_level": (None, 0.05, "time of the year"),
    }


@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_every_feature_has_a_sentence(feature: object) -> None:
    name = feature.name  # type: ignore[attr-defined]
    assert has_sentence(name)
    for value in VALUES:
        text = sentence(name, value)
        assert text
        assert "_" not in text
        assert name not in text.split()
        assert not re.search(r"(?<![\d.,])1 (days|orders|items|pieces|products|channels|times)\b", text), text
        assert not re.search(r"\b(nan|inf|None)\b", text), text
    assert "_" not in sentence(name, None)


def test_a_new_feature_without_a_sentence_is_seen() -> None:
    assert not has_sentence("orders_on_full_moon")
    assert not has_sentence("orders_ninety_days")


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("days_since_last_order", 0, "ordered today"),
        ("days_since_last_order", 1, "ordered yesterday"),
        ("purchases", 1, "1 order so far"),
        ("orders_90d", 0, "no orders in the last 90 days"),
        ("spend_365d", 1204.5, "spent 1,204.50 in the last 365 days"),
        ("gap_slope", 0.506, "breaks grow by 51 % from order to order"),
        ("gap_slope", -0.2, "breaks shrink by 20 % from order to order"),
        ("overdue", 2.5, "late: the silence is 2.5 times the average break"),
        ("overdue", 0.4, "not due yet: the silence is 40 % of the average break"),
        ("orders_recent_share_90d", 0.8, "orders rise: 80 % of the last 180 days fell in the last 90"),
        ("days_since_cart", 2.2, "put something into the cart 2 days ago"),
        ("cart_30d", 2, "2 products put into the cart in the last 30 days"),
        ("attr_loyalty_card", 2, "attribute loyalty card (2)"),
    ],
)
def test_sentences_by_hand(name: str, value: float, text: str) -> None:
    assert sentence(name, value) == text


def test_one_or_many() -> None:
    assert [count(n, "order") for n in (0, 1, 1.4, 2, 12.3, 1e4)] == [
        "no orders", "1 order", "1.4 orders", "2 orders", "12 orders", "10,000 orders"
    ]  # fmt: skip
