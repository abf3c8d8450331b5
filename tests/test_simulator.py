"""The simulated shop: reproducible, labelled, true to its own truth."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from simulator.shop import BLOCK, simulate

FILES = ("orders", "events", "customers", "products", "truth")


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    shop = simulate(3000, 7, tmp_path_factory.mktemp("shop"))
    read = {name: pd.read_parquet(shop.file(name)) for name in FILES}
    assert (shop.lines, shop.events) == (len(read["orders"]), len(read["events"]))
    return read


@pytest.fixture(scope="module")
def purchases(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    orders = tables["orders"]
    return orders[orders.quantity > 0]


def test_same_seed_same_files(tmp_path: Path) -> None:
    first, again, other = (simulate(40, seed, tmp_path / name) for seed, name in ((1, "a"), (1, "b"), (2, "c")))
    for name in FILES:
        assert first.file(name).read_bytes() == again.file(name).read_bytes()
    assert first.file("orders").read_bytes() != other.file("orders").read_bytes()


def test_a_customer_is_the_same_in_a_larger_shop(tmp_path: Path) -> None:
    few, many = (simulate(n, 3, tmp_path / str(n)) for n in (BLOCK + 5, BLOCK + 60))
    for name in ("orders", "events", "customers", "truth"):
        small, large = pd.read_parquet(few.file(name)), pd.read_parquet(many.file(name))
        kept = large[large.customer_id.isin(set(small.customer_id))].reset_index(drop=True)
        pd.testing.assert_frame_equal(small, kept)


def test_everything_says_that_it_is_simulated(tmp_path: Path) -> None:
    shop = simulate(3, 0, tmp_path)
    for name in FILES:
        assert pq.read_schema(shop.file(name)).metadata[b"simulated"] == b"true"
    assert "SIMULATED" in (tmp_path / "NOTICE.txt").read_text()
    assert pd.read_parquet(shop.file("products")).name.str.startswith("Simulated ").all()
    assert pd.read_parquet(shop.file("customers")).customer_id.str.startswith("sim-").all()


def test_files_hold_what_was_known_at_the_end(tmp_path: Path) -> None:
    shop = simulate(300, 5, tmp_path, ends=date(2025, 3, 1), days=200)
    orders, events = pd.read_parquet(shop.file("orders")), pd.read_parquet(shop.file("events"))
    end = pd.Timestamp("2025-03-02", tz="UTC")
    assert orders.recorded_at.max() < end
    assert events.occurred_at.max() < end
    assert orders.occurred_at.min() >= end - pd.Timedelta(days=200)


def test_a_shop_needs_customers(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 1 customer"):
        simulate(0, 1, tmp_path)


def test_nobody_buys_after_being_lost(tables: dict[str, pd.DataFrame], purchases: pd.DataFrame) -> None:
    lost = tables["truth"].set_index("customer_id").dropout_at
    last = purchases.groupby("customer_id").occurred_at.max()
    # The day of the loss is still a day of shopping.
    assert (last.dt.floor("D") <= lost.reindex(last.index)).all()


def test_truth_knows_what_comes_after_the_files(tmp_path: Path) -> None:
    later = pd.read_parquet(simulate(400, 9, tmp_path / "later", ends=date(2026, 6, 30)).file("truth"))
    assert (later.purchase_days_ahead[~later.alive] <= 1).all()
    assert ((later.purchase_days_ahead > 0) == (later.spend_ahead > 0)).all()
    assert 0.1 < (later.purchase_days_ahead > 0).mean() < 0.6


def test_rates_differ_between_customers_as_the_truth_says(
    tables: dict[str, pd.DataFrame], purchases: pd.DataFrame
) -> None:
    truth = tables["truth"].set_index("customer_id")
    steady = truth[truth.group.isin(["loyal", "regular", "occasional"]) & truth.cycle_days.isna()]
    end = pd.Timestamp("2026-07-01", tz="UTC")
    exposure = (steady.dropout_at.clip(upper=end) - steady.acquired_at).dt.total_seconds() / 86_400
    counted = purchases.groupby("customer_id").order_id.nunique().reindex(steady.index).fillna(1) - 1
    assert counted.sum() / (steady.orders_per_day * exposure).sum() == pytest.approx(1.05, abs=0.15)
    assert np.corrcoef(counted, steady.orders_per_day * exposure)[0, 1] > 0.8


def test_replenishment_is_regular(tables: dict[str, pd.DataFrame], purchases: pd.DataFrame) -> None:
    truth = tables["truth"].dropna(subset="cycle_days")
    staple = purchases.merge(truth[["customer_id", "staple", "cycle_days"]], on="customer_id")
    staple = staple[staple.product_id == staple.staple].sort_values(["customer_id", "occurred_at"])
    gap = staple.groupby("customer_id").occurred_at.diff().dt.total_seconds() / 86_400
    ratio = (gap / staple.cycle_days).dropna()
    assert 0.85 < ratio.median() < 1.1


def test_december_is_the_peak_and_gifts_sell_then(tables: dict[str, pd.DataFrame], purchases: pd.DataFrame) -> None:
    year = purchases[purchases.occurred_at.dt.year == 2025]
    orders = year.groupby(year.occurred_at.dt.month).order_id.nunique()
    assert orders.idxmax() in (11, 12)
    gifts = (year.category == "gifts").groupby(year.occurred_at.dt.month).mean()
    assert gifts[12] > 1.5 * gifts[6]


def test_returns_follow_a_purchase_of_the_product(tables: dict[str, pd.DataFrame], purchases: pd.DataFrame) -> None:
    orders = tables["orders"]
    back = orders[orders.quantity < 0]
    assert 0.02 < len(back) / len(orders) < 0.06
    key = ["customer_id", "order_id", "product_id"]
    pair = back.merge(purchases, on=key, suffixes=("", "_bought"), how="left")
    known = pair.dropna(subset="occurred_at_bought")
    assert len(known) / len(back) > 0.97  # the purchase of the others was recorded too late for the files
    assert (known.occurred_at > known.occurred_at_bought).all()
    assert (-known.quantity <= known.quantity_bought).all()


def test_some_lines_are_recorded_days_late(tables: dict[str, pd.DataFrame]) -> None:
    orders = tables["orders"]
    delay = orders.recorded_at - orders.occurred_at
    assert (delay >= pd.Timedelta(0)).all()
    assert 0.01 < (delay > pd.Timedelta(hours=6)).mean() < 0.06


def test_tastes_repeat(purchases: pd.DataFrame) -> None:
    seen = purchases.sort_values("occurred_at").duplicated(["customer_id", "product_id"])
    assert 0.3 < seen.mean() < 0.7


def test_views_precede_orders_and_tickets_losses(tables: dict[str, pd.DataFrame]) -> None:
    events, truth = tables["events"], tables["truth"].set_index("customer_id")
    assert set(events.kind) == {"view", "cart", "email_open", "support_ticket"}
    tickets = events[events.kind == "support_ticket"]
    before = tickets.customer_id.map(truth.dropout_at) - tickets.occurred_at
    assert before.between(pd.Timedelta(0), pd.Timedelta(days=40)).mean() > 0.25


def test_attributes_say_little(tables: dict[str, pd.DataFrame]) -> None:
    joined = tables["customers"].merge(tables["truth"], on="customer_id")
    frequent = joined.group.isin(["loyal", "regular"]).groupby(joined.age_band).mean()
    assert 0.05 < frequent.max() - frequent.min() < 0.5
    assert joined.household_size.isna().mean() > 0.1


def test_staff_and_test_accounts_can_be_told_by_their_ids(tables: dict[str, pd.DataFrame]) -> None:
    odd = tables["customers"].customer_id.str.contains("staff|test")
    assert odd.sum() == 6
    assert (tables["truth"].group[odd.to_numpy()] == "staff").all()
