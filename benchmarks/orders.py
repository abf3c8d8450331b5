"""Order files of the documented format, read for the benchmarks."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from histories.arrays import sorted_events, sorted_lines
from histories.clock import from_local, to_text
from histories.history import NO_CODE, Catalog, History
from histories.importing.files import workbench
from histories.importing.mapping import check_file, rejected
from histories.importing.presets import ColumnMap, column_maps

_COLUMNS = ("customer_id", "product_id", "quantity", "unit_price", "amount")


def read_history(path: Path, preset: str | None) -> History:
    """A History of the lines in a CSV or Parquet file, read as an import reads it; stderr tells how many are left out.

    Raises BadInput naming what is missing or cannot be read.
    """
    maps = column_maps(preset, None) if preset else (ColumnMap(zero_price="keep"),)
    with workbench() as (bench, folder):
        checked = check_file(bench, folder, str(path), "orders", maps, None, to_text(0))
        for column, reason, lines in rejected(bench, checked):
            print(f"{path.name}: {lines:,} lines left out: {column} {reason}", file=sys.stderr)
        names = [name for name in _COLUMNS if name in checked.columns]
        query = (
            f"SELECT occurred_at, occurred_at_aware, {', '.join(names)} FROM orders WHERE problem IS NULL ORDER BY line"
        )
        return _history(bench.sql(query).to_arrow_table(), checked.map.timezone or "UTC")


def _history(table: pa.Table, zone: str) -> History:
    customer, ids = pd.factorize(table["customer_id"].to_numpy(), sort=True)
    product, products = _codes(table, "product_id")
    shown, aware = table["occurred_at"].to_numpy(), table["occurred_at_aware"].to_numpy()
    instant = np.where(aware, shown, from_local(shown, zone))
    quantity = np.nan_to_num(_numbers(table, "quantity"), nan=1.0)
    price, amount = _numbers(table, "unit_price"), _numbers(table, "amount")
    lines = len(table)
    rows = {
        "customer": customer.astype(np.int64),
        "line_id": np.arange(lines, dtype=np.int64),
        "occurred_at": instant,
        "recorded_at": instant,
        "product": product,
        "channel": np.full(lines, NO_CODE, dtype=np.int16),
        "quantity": quantity,
        "unit_price": price,
        "amount": np.where(np.isnan(amount), np.nan_to_num(quantity * price), amount),
        "discount": np.zeros(lines),
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


def _codes(table: pa.Table, name: str) -> tuple[np.ndarray, np.ndarray]:
    if name not in table.column_names:
        return np.full(len(table), NO_CODE, dtype=np.int32), np.array([], dtype=object)
    codes, values = pd.factorize(table[name].to_numpy(), sort=True)  # without one: -1, which is NO_CODE
    return codes.astype(np.int32), np.asarray(values, dtype=object)


def _numbers(table: pa.Table, name: str) -> np.ndarray:
    return table[name].to_numpy().astype(np.float64) if name in table.column_names else np.full(len(table), np.nan)


def _no_events(customers: int):  # type: ignore[no-untyped-def]
    kinds = {"customer": np.int64, "occurred_at": np.int64, "recorded_at": np.int64, "kind": np.int8}
    empty = {name: np.array([], dtype=kind) for name, kind in kinds.items()}
    return sorted_events(empty, customers)


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
