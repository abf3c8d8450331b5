"""What can be predicted, and what each gap costs."""

from __future__ import annotations

from pathlib import Path

from histories.check import check
from histories.columns import ORDERS, table
from histories.settings import Settings
from histories.store import Store

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
