"""How shops call the canonical columns: presets for exports as they come, and maps that users write in TOML."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from histories.columns import CONSENT_COLUMNS, EVENTS, ORDERS, PRODUCTS
from histories.errors import BadInput

# What Online Retail II books that is no product: postage, carriage, manual entries, fees, tests, vouchers.
NO_PRODUCT = (
    r"POST|DOT|C[23]|M|D|S|B|CRUK|BANK CHARGES|AMAZONFEE|ADJUST[0-9]*|TEST[0-9]*|GIFT.*|DCGSSBOY|DCGSSGIRL|SP1002"
)
TABLES = {
    "orders": tuple(ORDERS.names),
    "events": tuple(EVENTS.names),
    "products": tuple(PRODUCTS.names),
    "customers": ("customer_id", "aliases", *CONSENT_COLUMNS),
}


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """Names and formats of one shop's files. `reshape` is SQL from {raw} to `line` and canonical columns."""

    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # table: canonical: the file's name
    units: Mapping[str, float] = field(default_factory=dict)  # canonical: factor, as in cents = 0.01
    date_format: str | None = None  # strptime, epoch_s or epoch_ms; found out when None
    decimal: str | None = None  # . or ,; found out when None
    timezone: str | None = None  # used where the settings leave it unset
    currency: str | None = None
    zero_price: str = "reject"
    upper: bool = False  # product ids without case
    unsellable: str | None = None  # regular expression over whole product ids
    reshape: str | None = None
    needs: tuple[str, ...] = ()  # the file's columns that `reshape` reads


ONLINE_RETAIL = ColumnMap(
    columns={
        "orders": {
            "customer_id": "Customer ID",
            "occurred_at": "InvoiceDate",
            "order_id": "Invoice",
            "product_id": "StockCode",
            "product_name": "Description",
            "quantity": "Quantity",
            "unit_price": "Price",
        }
    },
    timezone="Europe/London",
    currency="GBP",
    upper=True,
    unsellable=NO_PRODUCT,
)

# Shopify's orders_export.csv: one row per line item; only the first row of an order carries what is the order's.
# A discount code lowers the subtotal, not the line prices: it is spread over the lines. Cancelled, voided and
# fully refunded orders come back as returns; a partial refund is one return line, learned of when it is imported.
_SHOPIFY = """
WITH filled AS (
    SELECT line, "Name" AS order_id, "Lineitem name" AS product_name,
        coalesce(nullif(trim("Lineitem sku"), ''), "Lineitem name") AS product_id,
        TRY_CAST("Lineitem quantity" AS DOUBLE) AS quantity, TRY_CAST("Lineitem price" AS DOUBLE) AS price,
        coalesce(TRY_CAST("Lineitem discount" AS DOUBLE), 0) AS line_discount,
        row_number() OVER lines AS place,
        first_value(nullif(lower(trim("Email")), '') IGNORE NULLS) OVER whole AS customer_id,
        first_value(nullif("Created at", '') IGNORE NULLS) OVER whole AS occurred_at,
        first_value(nullif("Cancelled at", '') IGNORE NULLS) OVER whole AS cancelled_at,
        first_value(nullif("Financial Status", '') IGNORE NULLS) OVER whole AS status,
        first_value(nullif("Currency", '') IGNORE NULLS) OVER whole AS currency,
        first_value(nullif("Source", '') IGNORE NULLS) OVER whole AS channel,
        first_value(TRY_CAST("Subtotal" AS DOUBLE) IGNORE NULLS) OVER whole AS subtotal,
        first_value(TRY_CAST("Discount Amount" AS DOUBLE) IGNORE NULLS) OVER whole AS code_discount,
        first_value(TRY_CAST("Refunded Amount" AS DOUBLE) IGNORE NULLS) OVER whole AS refunded,
        "Lineitem quantity" AS quantity_text, "Lineitem price" AS price_text
    FROM {raw}
    WINDOW lines AS (PARTITION BY "Name" ORDER BY line),
        whole AS (PARTITION BY "Name" ORDER BY line ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
), priced AS (
    SELECT *, sum(quantity * price - line_discount) OVER (PARTITION BY order_id) AS net FROM filled
), paid AS (
    SELECT *, CASE WHEN code_discount > 0 AND net > 0 AND subtotal BETWEEN 0 AND net THEN subtotal / net ELSE 1 END
        * CASE WHEN quantity > 0 THEN price - line_discount / quantity ELSE price END AS paid_price,
        cancelled_at IS NOT NULL OR status IN ('voided', 'refunded') AS undone
    FROM priced
)
SELECT line, customer_id, occurred_at, NULL AS recorded_at, order_id, product_id, product_name,
    coalesce(CAST(quantity AS VARCHAR), quantity_text) AS quantity,
    coalesce(CAST(paid_price AS VARCHAR), price_text) AS unit_price, NULL AS amount,
    CAST(quantity * (price - paid_price) AS VARCHAR) AS discount, channel, currency, NULL AS id
FROM paid
UNION ALL
SELECT line, customer_id, coalesce(cancelled_at, occurred_at), NULL, order_id, product_id, product_name,
    CAST(-quantity AS VARCHAR), CAST(paid_price AS VARCHAR), NULL, NULL, channel, currency, NULL
FROM paid WHERE undone AND quantity > 0 AND paid_price > 0
UNION ALL
SELECT line, customer_id, occurred_at, '{now}', order_id, NULL, NULL,
    '-1', NULL, CAST(-least(refunded, greatest(net, 0)) AS VARCHAR), NULL, channel, currency, 'refund ' || order_id
FROM paid WHERE NOT undone AND refunded > 0 AND net > 0 AND place = 1
"""
SHOPIFY = ColumnMap(
    reshape=_SHOPIFY,
    needs=(
        "Name",
        "Email",
        "Financial Status",
        "Currency",
        "Subtotal",
        "Discount Amount",
        "Created at",
        "Lineitem quantity",
        "Lineitem name",
        "Lineitem price",
        "Lineitem sku",
        "Lineitem discount",
        "Cancelled at",
        "Refunded Amount",
        "Source",
    ),
    zero_price="keep",
)

# WooCommerce has three common exports. Analytics > Orders (one row per order, the customer by name) is of the core;
# the other two are the export extensions, one row per item. Orders that never were, or were undone, are left out.
_UNPAID = "('pending', 'failed', 'cancelled', 'checkout-draft', 'trash', 'pending payment', 'draft')"
_WOO_STATUS = """replace(lower(trim("status")), 'wc-', '')"""
_WOO_ITEMS = f"""
SELECT line, coalesce(nullif(lower(trim("billing_email")), ''), nullif(trim("customer_id"), '0')) AS customer_id,
    "date" AS occurred_at, NULL AS recorded_at, "order_number" AS order_id,
    coalesce(nullif(trim("item_sku"), ''), "item_product_id") AS product_id, "item_name" AS product_name,
    "item_quantity" AS quantity, NULL AS unit_price, "item_total" AS amount,
    CAST(TRY_CAST("item_subtotal" AS DOUBLE) - TRY_CAST("item_total" AS DOUBLE) AS VARCHAR) AS discount,
    NULL AS channel, "order_currency" AS currency, NULL AS id
FROM {{raw}} WHERE {_WOO_STATUS} NOT IN {_UNPAID}"""
# What was paid back of an item has no date in the export: a return line, learned of when it is imported.
_WOO_REFUNDED = f"""
UNION ALL
SELECT line, coalesce(nullif(lower(trim("billing_email")), ''), nullif(trim("customer_id"), '0')),
    "date", '{{now}}', "order_number", coalesce(nullif(trim("item_sku"), ''), "item_product_id"), "item_name",
    CAST(-greatest(abs(coalesce(TRY_CAST("item_refunded_qty" AS DOUBLE), 0)), 1) AS VARCHAR), NULL,
    CAST(-abs(TRY_CAST("item_refunded" AS DOUBLE)) AS VARCHAR), NULL, NULL, "order_currency",
    'refund ' || "order_number" || ' ' || "item_id"
FROM {{raw}} WHERE {_WOO_STATUS} NOT IN {_UNPAID} AND abs(TRY_CAST("item_refunded" AS DOUBLE)) > 0"""
_WOO_ITEM_COLUMNS = (
    "order_number", "date", "status", "customer_id", "billing_email", "order_currency", "item_product_id", "item_name",
    "item_sku", "item_quantity", "item_subtotal", "item_total",
)  # fmt: skip


def _woo_advanced(quantity: str) -> ColumnMap:
    """Advanced Order Export; its own choice of columns holds the quantity without what was refunded."""
    query = f"""
    SELECT line, first_value(nullif(lower(trim("Email (Billing)")), '') IGNORE NULLS) OVER whole AS customer_id,
        first_value(nullif("Order Date", '') IGNORE NULLS) OVER whole AS occurred_at, NULL AS recorded_at,
        "Order Number" AS order_id, coalesce(nullif(trim("SKU"), ''), "Item Name") AS product_id,
        "Item Name" AS product_name, "{quantity}" AS quantity, "Item Cost" AS unit_price, NULL AS amount,
        NULL AS discount, NULL AS channel, NULL AS currency, NULL AS id
    FROM {{raw}}
    WINDOW whole AS (
        PARTITION BY "Order Number" ORDER BY line ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
    QUALIFY coalesce(TRY_CAST("{quantity}" AS DOUBLE) <> 0, true)
        AND replace(lower(trim(first_value(nullif("Order Status", '') IGNORE NULLS) OVER whole)), 'wc-', '')
        NOT IN {_UNPAID}"""
    needs = ("Order Number", "Order Status", "Order Date", "Email (Billing)", "SKU", "Item Name", quantity, "Item Cost")
    return ColumnMap(reshape=query, needs=needs, zero_price="keep")


def _woo_analytics(net: str) -> ColumnMap:
    """Analytics > Orders; the column of net sales has had two names."""
    query = f"""
    SELECT line, lower(trim("Customer")) AS customer_id, "Date" AS occurred_at, NULL AS recorded_at,
        "Order #" AS order_id, NULL AS product_id, NULL AS product_name, "Items sold" AS quantity,
        NULL AS unit_price, "{net}" AS amount, NULL AS discount, NULL AS channel, NULL AS currency, NULL AS id
    FROM {{raw}} WHERE {_WOO_STATUS.replace("status", "Status")} NOT IN {_UNPAID}"""
    needs = ("Date", "Order #", "Status", "Customer", "Items sold", net)
    return ColumnMap(reshape=query, needs=needs, zero_price="keep")


WOOCOMMERCE = (
    ColumnMap(
        reshape=_WOO_ITEMS + _WOO_REFUNDED,
        needs=(*_WOO_ITEM_COLUMNS, "item_id", "item_refunded", "item_refunded_qty"),
        zero_price="keep",
    ),
    ColumnMap(reshape=_WOO_ITEMS, needs=_WOO_ITEM_COLUMNS, zero_price="keep"),
    _woo_advanced("Quantity"),
    _woo_advanced("Quantity (- Refund)"),
    _woo_analytics("Net Sales"),
    _woo_analytics("N. Revenue"),
)
PRESETS: Mapping[str, tuple[ColumnMap, ...]] = {
    "online-retail": (ONLINE_RETAIL,),
    "shopify": (SHOPIFY,),
    "woocommerce": WOOCOMMERCE,
}


def column_maps(preset: str | None, path: str | None) -> tuple[ColumnMap, ...]:
    """The maps to try in turn. Raises BadInput for an unknown preset, for both at once, or for a map amiss.

    An export that reshapes is known by its columns: by their plain names alone, its order totals would count as lines.
    """
    if preset and path:
        raise BadInput("give --preset or --columns, not both")
    if path:
        return (_load(Path(path)),)
    if preset and preset not in PRESETS:
        raise BadInput(f"preset {preset!r} is unknown; there are {', '.join(PRESETS)}")
    return PRESETS[preset] if preset else (SHOPIFY, *WOOCOMMERCE, ColumnMap())


def _load(path: Path) -> ColumnMap:
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file") from None
    except (OSError, UnicodeError, tomllib.TOMLDecodeError) as error:
        raise BadInput(f"{path}: {error}") from None
    return _column_map(said, str(path))


def _column_map(said: dict[str, Any], label: str) -> ColumnMap:
    flat = {name: said.pop(name) for name in list(said) if isinstance(said[name], str)}
    form, units = said.pop("format", {}), said.pop("units", {})
    columns = {"orders": flat} if flat else {}
    for table, names in said.items():
        if table not in TABLES:
            raise BadInput(f"{label}: [{table}] is unknown; there are {', '.join([*TABLES, 'format', 'units'])}")
        columns[table] = columns.get(table, {}) | names
    for table, names in columns.items():
        for name in names:
            if name not in TABLES[table] and table != "customers":
                raise BadInput(f"{label}: [{table}] {name} is unknown; there are {', '.join(TABLES[table])}")
    known = {"date": "date_format", "decimal": "decimal", "timezone": "timezone", "currency": "currency"}
    known |= {"zero_price": "zero_price", "upper": "upper", "unsellable": "unsellable"}
    if unknown := sorted(form.keys() - known.keys()):
        raise BadInput(f"{label}: [format] {unknown[0]} is unknown; there are {', '.join(known)}")
    return ColumnMap(columns=columns, units=units, **{known[name]: value for name, value in form.items()})
