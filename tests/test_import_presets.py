"""Exports as shops write them, in every kind of file, become the same lines."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from histories.clock import to_text
from histories.importing.importer import import_files
from histories.storage.store import Store

SHOPIFY = """\
Name,Email,Financial Status,Paid at,Currency,Subtotal,Total,Discount Code,Discount Amount,Created at,\
Lineitem quantity,Lineitem name,Lineitem price,Lineitem sku,Lineitem discount,Cancelled at,Refunded Amount,Source
#1001,Ann@example.com,paid,2024-03-01 10:00:00 -0500,USD,45.00,50.00,TEN,5.00,2024-03-01 10:00:00 -0500,\
2,Tea,20.00,TEA,0.00,,0.00,web
#1001,ann@example.com,,,,,,,,2024-03-01 10:00:00 -0500,1,Mug,10.00,,0.00,,,
#1002,bob@example.com,refunded,,USD,30.00,30.00,,0.00,2024-03-02 10:00:00 -0500,\
3,Tea,10.00,TEA,0.00,2024-03-04 09:00:00 -0500,30.00,web
#1003,ann@example.com,partially_refunded,,USD,20.00,20.00,,0.00,2024-03-05 10:00:00 -0500,\
1,Tea,20.00,TEA,0.00,,5.00,pos
#1004,,paid,,USD,20.00,20.00,,0.00,2024-03-05 10:00:00 -0500,1,Tea,20.00,TEA,0.00,,0.00,web
"""
WOO = """\
order_id,order_number,date,status,order_currency,customer_id,billing_email,item_id,item_product_id,item_name,item_sku,\
item_quantity,item_subtotal,item_total
7,7,2024-03-01 10:00:00,completed,EUR,3,Eve@example.com,1,55,Tea,TEA,2,20.00,18.00
7,7,2024-03-01 10:00:00,completed,EUR,3,eve@example.com,2,56,Mug,,1,8.00,8.00
8,8,2024-03-02 10:00:00,failed,EUR,3,eve@example.com,3,55,Tea,TEA,2,20.00,20.00
"""
WOO_REFUNDED = """\
order_id,order_number,date,status,order_currency,customer_id,billing_email,item_id,item_product_id,item_name,item_sku,\
item_quantity,item_subtotal,item_total,item_refunded,item_refunded_qty
7,7,2024-03-01 10:00:00,completed,EUR,3,Eve@example.com,1,55,Tea,TEA,2,20.00,18.00,9.00,1
7,7,2024-03-01 10:00:00,completed,EUR,3,eve@example.com,2,56,Mug,,1,8.00,8.00,0.00,0
"""
WOO_ADVANCED = """\
Order Number,Order Status,Order Date,Email (Billing),SKU,Item Name,Quantity,Item Cost
7,Completed,2024-03-01 10:00,eve@example.com,TEA,Tea,2,9.00
7,,,,,Mug,1,8.00
8,Cancelled,2024-03-02 10:00,eve@example.com,TEA,Tea,2,10.00
"""
WOO_ADVANCED_NET = WOO_ADVANCED.replace("Quantity", "Quantity (- Refund)") + "7,,,,,Cup,0,5.00\n"
WOO_ANALYTICS = """\
Date,Order #,N. Revenue (formatted),Status,Customer,Customer type,Product(s),Items sold,Coupon(s),Net Sales,Attribution
2024-03-01 10:00:00,7,&euro;26.00,completed,Eve Made-Up,new,"2× Tea, 1× Mug",3,,26.00,Direct
"""
WOO_ANALYTICS_OLD = WOO_ANALYTICS.replace("Net Sales", "N. Revenue")


Opened = Callable[..., Store]


def put(tmp_path: Path, content: str, name: str = "orders.csv") -> str:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    return str(path)


def test_shopify(open_store: Opened, tmp_path: Path) -> None:
    store = open_store(currency="USD", timezone="America/New_York")
    report = import_files(store, store.settings, orders=put(tmp_path, SHOPIFY), preset="shopify")
    assert report.rejected["orders"] == [("customer_id", "is missing", 1)]
    ann, bob = store.history_of("ann@example.com"), store.history_of("bob@example.com")
    assert ann is not None
    assert bob is not None
    # The code's 5.00 is spread over 40 + 10: 36 + 9. The refund of 5.00 is a line without a product.
    assert sorted(ann.lines.amount.tolist()) == pytest.approx([-5.0, 9.0, 20.0, 36.0])
    assert ann.lines.discount.sum() == pytest.approx(5.0)
    assert set(ann.catalog.product_id) == {"TEA", "Mug"}
    assert bob.lines.amount.tolist() == pytest.approx([30.0, -30.0])
    assert [to_text(int(at)) for at in bob.lines.occurred_at] == ["2024-03-02T15:00:00Z", "2024-03-04T14:00:00Z"]
    again = import_files(store, store.settings, orders=put(tmp_path, SHOPIFY), preset="shopify")
    assert again.orders.new == 0


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (WOO, 2),
        (WOO_REFUNDED, 2),
        (WOO_ADVANCED, 2),
        (WOO_ADVANCED_NET, 2),
        (WOO_ANALYTICS, 1),
        (WOO_ANALYTICS_OLD, 1),
    ],
)
def test_woocommerce(open_store: Opened, tmp_path: Path, content: str, lines: int) -> None:
    store = open_store(currency="EUR")
    report = import_files(store, store.settings, orders=put(tmp_path, content), preset="woocommerce")
    assert report.orders.purchases == lines
    assert report.orders.orders == 1
    assert report.orders.sales == pytest.approx(26.0)


def test_what_woocommerce_paid_back_is_a_return(open_store: Opened, tmp_path: Path) -> None:
    store = open_store(currency="EUR")
    for new in (3, 0):
        report = import_files(store, store.settings, orders=put(tmp_path, WOO_REFUNDED), preset="woocommerce")
        assert report.orders.new == new
    eve = store.history_of("eve@example.com")
    assert eve is not None
    assert sorted(eve.lines.amount.tolist()) == [-9.0, 8.0, 18.0]
    assert (eve.lines.recorded_at > eve.lines.occurred_at).sum() == 1


def test_a_column_map(open_store: Opened, tmp_path: Path) -> None:
    content = "Kunde;Datum;Beleg;Menge;Betrag\n007;03.04.2024 18:30;B1;2;1.234,50\n8;05.06.2024;B2;1;10,00\n"
    columns = """
        [orders]
        customer_id = "Kunde"
        occurred_at = "Datum"
        order_id = "Beleg"
        quantity = "Menge"
        amount = "Betrag"
        [format]
        decimal = ","
        timezone = "Europe/Berlin"
        currency = "EUR"
    """
    store = open_store()
    report = import_files(
        store, store.settings, orders=put(tmp_path, content), columns=put(tmp_path, columns, "m.toml")
    )
    assert report.orders.sales == pytest.approx(1244.5)
    assert (store.zone, store.currency) == ("Europe/Berlin", "EUR")
    history = store.history_of("007")
    assert history is not None
    assert to_text(int(history.lines.occurred_at[0])) == "2024-04-03T16:30:00Z"


def frame() -> pd.DataFrame:
    when = pd.to_datetime(["2024-03-31 01:30:00", "2024-10-27 01:30:00", "2024-05-01 12:00:00"])
    return pd.DataFrame(
        {
            "customer_id": [13085.0, 13085.0, 13086.0],
            "occurred_at": when,
            "order_id": ["a", "b", "c"],
            "product_id": ["X", "X", "007"],
            "quantity": [1, -1, 2],
            "unit_price": [2.5, 2.5, 3.0],
        }
    )


def test_every_kind_of_file_gives_the_same_lines(open_store: Opened, tmp_path: Path) -> None:
    data = frame()
    data.to_parquet(tmp_path / "o.parquet")
    data.to_csv(tmp_path / "o.csv", index=False)
    data.to_csv(tmp_path / "o;.csv", index=False, sep=";")
    data.to_excel(tmp_path / "o.xlsx", index=False, sheet_name="Orders 2024")
    with sqlite3.connect(tmp_path / "o.sqlite") as database:
        database.execute("CREATE TABLE orders (customer_id, occurred_at, order_id, product_id, quantity, unit_price)")
        rows = [tuple(map(str, row)) for row in data.itertuples(index=False)]
        database.executemany("INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?)", rows)
    places = ["o.parquet", "o.csv", "o;.csv", "o.xlsx", "o.xlsx#Orders 2024"]
    urls = [f"sqlite:///{tmp_path}/o.sqlite#orders", f"sqlite:///{tmp_path}/o.sqlite#SELECT * FROM orders"]
    store = open_store(timezone="Europe/London")
    new = [import_files(store, store.settings, orders=p).orders.new for p in [str(tmp_path / p) for p in places] + urls]
    assert new == [3, 0, 0, 0, 0, 0, 0]
    history = store.history()
    assert history.customer_id.tolist() == ["13085", "13086"]
    # 01:30 was never shown on 31 March and moves on an hour; on 27 October it was shown twice: the first counts.
    assert [to_text(int(at)) for at in history.lines.occurred_at[:2]] == [
        "2024-03-31T01:30:00Z",
        "2024-10-27T00:30:00Z",
    ]
    assert sorted(history.catalog.product_id) == ["007", "X"]


def test_events_customers_and_products(open_store: Opened, tmp_path: Path) -> None:
    orders = put(
        tmp_path, "customer_id,occurred_at,product_id\nc1,2024-01-05,A\ncard9,2024-01-06,A\nstaff-1,2024-01-06,A\n"
    )
    events = put(
        tmp_path, "customer_id,kind,occurred_at,product_id\nc1,View,2024-01-04,B\nc1,poke,2024-01-04,\n", "e.csv"
    )
    people = "customer_id,age,city,consent_training,aliases\nc1,40,Ulm,no,card9;hash\nc2,,,,\n"
    products = "product_id,name,category,price,in_stock\nA,Tea,drinks,2.5,false\n"
    store = open_store(exclude_customers=("staff-*",))
    report = import_files(
        store,
        store.settings,
        orders=orders,
        events=events,
        customers=put(tmp_path, people, "c.csv"),
        products=put(tmp_path, products, "p.csv"),
    )
    assert report.excluded == 1
    history = store.history()
    assert history.customer_id.tolist() == ["c1", "c2"]
    assert np.diff(history.lines.offsets).tolist() == [2, 0]
    assert sorted(history.events.kind.tolist()) == [0, 7]
    assert history.attributes["city"].tolist() == ["Ulm", None]
    assert history.attributes["age"].tolist()[0] == 40.0
    assert store.history_of("hash") is not None
    assert not store.consent("c1")["training"]
    assert store.history(purpose="training").customer_id.tolist() == ["c2"]
    catalog = history.catalog
    tea = catalog.code_of["A"]
    assert (catalog.name[tea], catalog.price[tea], catalog.in_stock[tea]) == ("Tea", 2.5, False)
    assert catalog.categories[catalog.category[tea]] == "drinks"


def test_currencies(open_store: Opened, tmp_path: Path) -> None:
    content = (
        "customer_id,occurred_at,amount,currency\nc1,2024-01-05,10,EUR\nc1,2024-01-06,10,usd\nc1,2024-01-07,10,JPY\n"
    )
    store = open_store(currency="EUR", rates={"USD": 0.9})
    report = import_files(store, store.settings, orders=put(tmp_path, content))
    assert report.orders.sales == pytest.approx(19.0)
    assert report.rejected["orders"] == [("currency", "is another currency, without a rate", 1)]


def test_online_retail_ii(open_store: Opened, tmp_path: Path) -> None:
    folder = os.environ.get("REGULARS_DATA")
    path = Path(folder or ".") / "online_retail_ii.parquet"
    if not folder or not path.exists():
        pytest.skip("needs online_retail_ii.parquet in the folder REGULARS_DATA")
    store = open_store()
    report = import_files(store, store.settings, orders=str(path), preset="online-retail")
    found = report.orders
    assert (found.purchases, found.orders, found.customers, found.returns) == (791_044, 36_969, 5_878, 18_446)
    assert round(found.sales, 2) == 17_431_533.18
    before = store.digest()
    assert import_files(store, store.settings, orders=str(path), preset="online-retail").orders.new == 0
    assert store.digest() == before
