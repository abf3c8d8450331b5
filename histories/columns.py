"""The canonical columns of orders, events, customers and products, and tables built from plain rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from zoneinfo import ZoneInfo

import pyarrow as pa

from histories.clock import to_instant
from histories.errors import BadInput

INSTANT = pa.timestamp("us", tz="UTC")
Row = Mapping[str, object]

ORDERS = pa.schema(
    [
        ("customer_id", pa.string()),
        ("occurred_at", INSTANT),
        ("recorded_at", INSTANT),
        ("order_id", pa.string()),
        ("product_id", pa.string()),
        ("quantity", pa.float64()),  # negative: a return
        ("unit_price", pa.float64()),
        ("amount", pa.float64()),  # used where unit_price is missing
        ("discount", pa.float64()),  # of the line, already inside unit_price
        ("channel", pa.string()),
        ("category", pa.string()),
        ("product_name", pa.string()),
        ("currency", pa.string()),
        ("id", pa.string()),
    ]
)
EVENTS = pa.schema(
    [
        ("customer_id", pa.string()),
        ("kind", pa.string()),
        ("occurred_at", INSTANT),
        ("recorded_at", INSTANT),
        ("product_id", pa.string()),
        ("channel", pa.string()),
        ("campaign", pa.string()),
        ("value", pa.float64()),
        ("id", pa.string()),
    ]
)
PRODUCTS = pa.schema(
    [
        ("product_id", pa.string()),
        ("name", pa.string()),
        ("category", pa.string()),
        ("price", pa.float64()),
        ("in_stock", pa.bool_()),
        ("sellable", pa.bool_()),
    ]
)
PURPOSES = ("prediction", "recommendation", "training")
CONSENT_COLUMNS = {f"consent_{purpose}": purpose for purpose in PURPOSES}
REQUIRED = {
    "orders": ("customer_id", "occurred_at"),
    "events": ("customer_id", "kind", "occurred_at"),
    "customers": ("customer_id",),
    "products": ("product_id",),
}

# Other names under which the same thing is found without a map, the likeliest first; case and punctuation do not count.
SYNONYMS = {
    "customer_id": (
        *("customer", "user_id", "client_id", "cust_id", "customer_no", "customer_number", "customer_key", "user"),
        *("client", "member_id", "buyer_id", "shopper_id", "account_id", "customer_email", "email", "email_address"),
        *("billing_email", "e_mail"),
    ),
    "occurred_at": (
        *("timestamp", "order_date", "order_datetime", "order_timestamp", "ordered_at", "order_time", "invoice_date"),
        *("purchase_date", "purchased_at", "order_purchase_timestamp", "transaction_date", "event_time", "created_at"),
        *("datetime", "date_time", "date", "time", "date_created"),
    ),
    "order_id": (
        *("order", "order_number", "order_no", "invoice", "invoice_id", "invoice_no", "invoice_number", "basket_id"),
        *("transaction_id", "receipt_id", "basket"),
    ),
    "product_id": (
        *("product", "sku", "product_sku", "item_sku", "product_code", "item_id", "item_code", "stock_code"),
        *("article_id", "article", "item"),
    ),
    "quantity": ("qty", "units", "quantity_ordered", "qty_ordered", "item_quantity", "order_quantity"),
    "unit_price": ("price", "item_price", "price_per_unit", "unit_amount", "price_each", "selling_price"),
    "amount": (
        *("line_total", "line_amount", "total", "total_price", "total_amount", "item_total", "net_amount", "sales"),
        *("revenue", "spend", "value"),
    ),
    "product_name": ("description", "item_name", "product_description", "product_title"),
    "category": ("product_category", "category_name"),
    "name": ("product_name", "title"),
    "kind": ("event", "event_type", "type"),
}


def as_instant(value: object, zone: str) -> int:
    """Microseconds in UTC of an int (already that), a datetime, a date, or ISO 8601 text; naive is shop-local."""
    if isinstance(value, int):
        return value
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if not isinstance(value, datetime):
        raise BadInput("times are ISO 8601 text, datetimes or microseconds since 1970")
    return to_instant(value if value.tzinfo else value.replace(tzinfo=ZoneInfo(zone)))


def table(rows: Sequence[Row], schema: pa.Schema, zone: str = "UTC") -> pa.Table:
    """An Arrow table of plain rows; keys beyond the schema are ignored, absent ones are null."""
    columns = {}
    for field in schema:
        values = [row.get(field.name) for row in rows]
        if field.type == INSTANT:
            values = [None if value is None else as_instant(value, zone) for value in values]
            columns[field.name] = pa.array(values, type=pa.int64()).cast(INSTANT)
        else:
            columns[field.name] = pa.array(values, type=field.type)
    return pa.table(columns)


def complete(given: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with exactly the schema's columns: missing ones null, types cast."""
    columns = [
        given[field.name].cast(field.type) if field.name in given.column_names else pa.nulls(len(given), field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)
