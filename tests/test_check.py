"""What can be predicted, and what each gap costs."""

from __future__ import annotations

from pathlib import Path

from histories.check import check
from histories.columns import ORDERS, table
from histories.settings import Settings
from histories.storage.store import Store

NOW = 1_720_000_000_000_000


def test_an_empty_store_can_predict_nothing(tmp_path: Path) -> None:
    report = check(Store.open(f"sqlite:///{tmp_path}/shop.db", Settings()), 90)
    assert not any(model.possible for model in report.models)
    assert "there are no order lines" in report.text()


def test_short_histories_and_missing_columns_are_named(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path}/shop.db", Settings())
    rows = [{"customer_id": "c1", "occurred_at": f"2024-0{month}-01T00:00:00Z", "amount": 5.0} for month in (1, 2, 5)]
    store.add(table(rows, ORDERS), now=NOW)
    report = check(store, 90)
    possible = {model.name: model.possible for model in report.models}
    assert possible == {"churn": True, "customer_value": True, "next_purchase": False, "segments": True}
    assert "buy-till-you-die models alone" in report.text()
    assert {("orders", "product_id", 3), ("orders", "order_id", 3)} <= {
        (g.table, g.column, g.count) for g in report.gaps
    }
    assert not any(model.possible for model in check(store, 365).models)


def test_every_model_is_told_of_at_every_horizon(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path}/shop.db", Settings())
    days = [f"2024-{month:02}-{day:02}T00:00:00Z" for month in range(1, 6) for day in (1, 11)]
    rows: list[dict[str, object]] = [{"customer_id": "c1", "occurred_at": day, "amount": 5.0} for day in days]
    rows[0]["product_id"] = "p1"
    store.add(table(rows, ORDERS), now=NOW)
    report = check(store, 90)
    how = {horizon: {model.name: model.how for model in models} for horizon, models in report.outlook}
    assert [how[horizon]["churn"] for horizon in (7, 60, 90, 180, 365)] == [
        "learned",
        "learned",
        "by rates",
        "no",
        "no",
    ]
    assert {tuple(models) for models in how.values()} == {("churn", "customer_value", "next_purchase", "segments")}
    (recommender,) = (model for model in report.models if model.name == "next_purchase")
    assert recommender.reason.endswith("; 9 of 10 rows of orders are without a product_id")
    text = report.text()
    assert "by horizon in days" in text
    assert max(map(len, text.splitlines())) < 160
