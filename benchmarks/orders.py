"""Order files of the documented format, read for the benchmarks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api.types import is_datetime64_any_dtype, is_numeric_dtype

from histories.arrays import sorted_events, sorted_lines
from histories.history import NO_CODE, Catalog, History

PRESET_ZONES = {"online-retail": "Europe/London"}


def read_history(path: Path, preset: str | None) -> History:
    """A History of the lines in a CSV or Parquet file. Raises ValueError naming a missing column."""
    table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, dtype={"customer_id": str})
    table = table.rename(columns={"occurred_at": "timestamp"})
    if preset == "online-retail":
        table = _online_retail(table)
    missing = {"customer_id", "timestamp"} - set(table.columns)
    if missing:
        raise ValueError(f"{path.name} has no column {', '.join(sorted(missing))}; it has {', '.join(table.columns)}")
    table = table[table["customer_id"].notna() & table["timestamp"].notna()]
    return _history(table, PRESET_ZONES.get(preset or "", "UTC"))


def _online_retail(table: pd.DataFrame) -> pd.DataFrame:
    table = table[table["Customer ID"].notna() & (table["Price"] > 0)]
    return pd.DataFrame(
        {
            "customer_id": table["Customer ID"].astype("int64").astype(str),
            "timestamp": table["InvoiceDate"],
            "order_id": table["Invoice"],
            "product_id": table["StockCode"].str.strip().str.upper(),
            "quantity": table["Quantity"],
            "unit_price": table["Price"],
        }
    )


def _history(table: pd.DataFrame, zone: str) -> History:
    customer, ids = pd.factorize(table["customer_id"].astype(str), sort=True)
    product, products = _codes(table, "product_id")
    stamp = _times(table["timestamp"])
    if stamp.dt.tz is None:
        stamp = stamp.dt.tz_localize(zone, ambiguous=False, nonexistent="shift_forward")
    instant = stamp.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy().astype("datetime64[us]").astype(np.int64)
    quantity = _numbers(table, "quantity", 1.0)
    price = _numbers(table, "unit_price", np.nan)
    amount = _numbers(table, "amount", np.nan)
    order = table["order_id"].astype(str).to_numpy(object) if "order_id" in table else np.full(len(table), None, object)
    rows = {
        "customer": customer.astype(np.int64),
        "line_id": np.arange(len(table), dtype=np.int64),
        "occurred_at": instant,
        "recorded_at": instant,
        "order_id": order,
        "product": product,
        "channel": np.full(len(table), NO_CODE, dtype=np.int16),
        "quantity": quantity,
        "unit_price": price,
        "amount": np.where(np.isnan(amount), np.nan_to_num(quantity * price), amount),
        "discount": np.zeros(len(table)),
    }
    return History(
        customer_id=np.asarray(ids, dtype=object),
        lines=sorted_lines(rows, len(ids), zone),
        events=_no_events(len(ids)),
        attributes={},
        catalog=_catalog(products),
        channels=(),
        zone=zone,
    )


def _times(column: pd.Series) -> pd.Series:
    """ISO 8601 with or without offsets, 20240131, seconds or milliseconds since 1970, 31/01/2024 or 01/31/2024.

    Raises ValueError where the column is none of these throughout.
    """
    if is_datetime64_any_dtype(column):
        return column
    if is_numeric_dtype(column):
        if column.between(1900_01_01, 2200_01_01).all():
            return pd.to_datetime(column.astype("int64").astype(str), format="%Y%m%d")
        return pd.to_datetime(column, unit="ms" if column.abs().median() > 1e11 else "s")
    text = column.astype(str).str.strip()
    days_first = text.str.extract(r"^(\d{1,2})[/.-](\d{1,2})[/.-]\d{2,4}")
    if days_first.notna().all(axis=None):
        first, second = (days_first[k].astype(int).max() for k in (0, 1))
        month_first = first <= 12 and (second > 12 or "/" in text.iloc[0])  # where both may be months, 1/2 is American
        return pd.to_datetime(text, format="mixed", dayfirst=not month_first)
    has_offset = text.str.contains(r"(?:[zZ]|\d[+-]\d{2}:?\d{2}|:\d{2}[+-]\d{2})$", regex=True)
    return pd.to_datetime(text, format="ISO8601", utc=bool(has_offset.any()))


def _codes(table: pd.DataFrame, name: str) -> tuple[np.ndarray, np.ndarray]:
    if name not in table:
        return np.full(len(table), NO_CODE, dtype=np.int32), np.array([], dtype=object)
    codes, values = pd.factorize(table[name].astype(str), sort=True)
    return codes.astype(np.int32), np.asarray(values, dtype=object)


def _numbers(table: pd.DataFrame, name: str, default: float) -> np.ndarray:
    return table[name].to_numpy(np.float64) if name in table else np.full(len(table), default)


def _no_events(customers: int):  # type: ignore[no-untyped-def]
    kinds = {"customer": np.int64, "occurred_at": np.int64, "recorded_at": np.int64, "kind": np.int8}
    empty = {name: np.array([], dtype=kind) for name, kind in kinds.items()}
    return sorted_events(empty | {"product": np.array([], np.int32), "value": np.array([], np.float64)}, customers)


def _catalog(products: np.ndarray) -> Catalog:
    return Catalog(
        product_id=products,
        name=products,
        category=np.full(len(products), NO_CODE, dtype=np.int32),
        categories=(),
        price=np.full(len(products), np.nan),
        in_stock=np.ones(len(products), dtype=bool),
        sellable=np.ones(len(products), dtype=bool),
        code_of={product: code for code, product in enumerate(products)},
    )
