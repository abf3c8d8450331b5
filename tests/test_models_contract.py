"""One contract for the models of customers: one row is its row of the batch, saved is loaded, nothing is nan."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from features.attributes import AttributeEncoder
from histories.clock import end_of_day
from histories.history import History
from models.churn import Churn
from models.customer_value import CustomerValue
from models.frame import Frame, rows, training_frame
from models.next_purchase import NextPurchase
from models.segments import Segments
from models.when import When
from tests.shops import toy_history

AS_OF = end_of_day(date(2021, 3, 31), "UTC")
KINDS = ("churn", "customer_value", "segments", "when", "next_purchase")


class Shop(NamedTuple):
    history: History
    frame: Frame
    X: np.ndarray
    models: dict[str, Any]


def made_up(customers: int, orders: int, price: float = 5.0) -> History:
    """Customers with 1 to `orders` orders each in the 450 days before AS_OF."""
    rng = np.random.default_rng(customers)
    lines = []
    for customer in range(customers):
        for _ in range(int(rng.integers(1, orders + 1))):
            moment = datetime(2020, 1, 1, 12) + timedelta(days=int(rng.integers(0, 450)))  # noqa: DTZ001
            product = f"p{rng.integers(0, 6)}"
            row = {"customer_id": f"c{customer:03}", "occurred_at": moment.isoformat(), "product_id": product}
            lines.append(row | {"unit_price": price * rng.integers(1, 4)})
    return toy_history(lines)


def fitted(history: History) -> Shop:
    encoder = AttributeEncoder.fit(history)
    frame = training_frame(history, AS_OF, 90, encoder)
    churn = Churn.fit(frame)
    value = CustomerValue.fit(frame, churn)
    models = {
        "churn": churn,
        "customer_value": value,
        "segments": Segments.fit(frame, value),
        "when": When.fit(frame),
        "next_purchase": NextPurchase.fit(history, AS_OF, frame),
    }
    return Shop(history, frame, rows(history, AS_OF, encoder)[0], models)


def answers(shop: Shop, model: Any, X: np.ndarray) -> list[np.ndarray]:
    if isinstance(model, NextPurchase | When):
        lapse = shop.models["churn"].predict(X, AS_OF)
        answer = model.when(X, AS_OF, lapse) if isinstance(model, NextPurchase) else model.predict(X, AS_OF, lapse)
    else:
        answer = model.predict(X, AS_OF)
    return [np.asarray(part) for part in (answer if isinstance(answer, tuple) else (answer,))]


@pytest.fixture(scope="module")
def shop() -> Shop:
    return fitted(made_up(150, 8))


@pytest.mark.parametrize("kind", KINDS)
def test_one_row_is_its_row_of_the_batch(shop: Shop, kind: str) -> None:
    batch = answers(shop, shop.models[kind], shop.X)
    for row in range(20):
        alone = answers(shop, shop.models[kind], shop.X[row : row + 1])
        assert all((one[0] == many[row]).all() for one, many in zip(alone, batch, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_saved_is_loaded(shop: Shop, kind: str, tmp_path: Path) -> None:
    model = shop.models[kind]
    model.save(tmp_path / kind)
    again = type(model).load(tmp_path / kind)
    assert again.features == model.features
    assert not list(tmp_path.rglob("*.pkl"))
    for before, after in zip(answers(shop, model, shop.X), answers(shop, again, shop.X), strict=True):
        np.testing.assert_array_equal(before, after)


def test_reasons_name_known_features(shop: Shop) -> None:
    for kind in ("churn", "customer_value"):
        for reasons in shop.models[kind].explain(shop.X[:5], AS_OF, top=3):
            assert 0 < len(reasons) <= 3
            assert all(np.isfinite(reason.effect) and reason.text for reason in reasons)


def test_every_customer_is_in_one_segment_of_the_table(shop: Shop) -> None:
    model = shop.models["segments"]
    codes = model.predict(shop.X, AS_OF)
    sizes = {row["name"]: row["size"] for row in model.table}
    assert sizes == {name: int((codes == code).sum()) for code, name in enumerate(model.names)}
    assert sum(row["share_of_spend"] for row in model.table) == pytest.approx(1.0)
    assert sum(row["share_of_expected_spend"] for row in model.table) == pytest.approx(1.0)
    expected = shop.models["customer_value"].predict(shop.X, AS_OF).mean.sum()
    assert sum(row["size"] * row["expected_spend"] for row in model.table) == pytest.approx(expected)


def test_no_label_window_reaches_beyond_as_of(shop: Shop) -> None:
    frame = shop.frame
    ends = frame.as_of[frame.labelled] + frame.window_days * 86_400_000_000
    assert ends.max() <= AS_OF
    assert (frame.as_of[frame.latest] == AS_OF).all()


@pytest.mark.parametrize(("customers", "orders"), [(1, 1), (1, 5), (3, 1), (30, 1), (30, 6)])
def test_tiny_shops_get_sane_answers(customers: int, orders: int) -> None:
    shop = fitted(made_up(customers, orders))
    for kind in KINDS:
        # A date may lie beyond the horizon: inf.
        assert not any(np.isnan(part).any() for part in answers(shop, shop.models[kind], shop.X)), kind
    chance = shop.models["churn"].predict(shop.X, AS_OF)
    assert ((chance > 0) & (chance < 1)).all()
    value = shop.models["customer_value"].predict(shop.X, AS_OF)
    assert (value.mean > 0).all()
    assert (value.low <= value.median).all()
    assert (value.median <= value.high).all()
    assert all(np.isfinite(number) for number in shop.models["customer_value"].fallback(AS_OF))
