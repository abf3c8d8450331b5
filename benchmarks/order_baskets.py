"""A basket file for benchmarks.next_basket, made of any table of order lines, Parquet or CSV.

    python -m benchmarks.order_baskets --orders FILE [--products FILE] --columns CUSTOMER BASKET TIME ITEM --out OUT

ITEM may be several columns joined by +, for baskets of categories, and TIME of a day's resolution. Lines with a
quantity of zero or below, where there is such a column, are left out. `--baskets 3 50` keeps customers with that many.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

MOST = 1_000_000_000


def order_baskets(
    lines: pd.DataFrame, columns: list[str], baskets: tuple[int, int], buyers: int
) -> dict[str, list[list[str]]]:
    """{customer: [[item, ...], ...]} oldest first, of items that at least so many customers bought."""
    customer, basket, time, item = columns
    lines = lines.assign(item=_joined(lines, item.split("+"))).dropna(subset=[customer, "item"])
    for quantity in {"quantity", "Quantity"} & set(lines.columns):
        lines = lines[lines[quantity] > 0]
    lines = lines[lines.groupby("item")[customer].transform("nunique") >= buyers]
    found: dict[str, list[list[str]]] = {}
    ordered = lines.sort_values([customer, time, basket], kind="stable")
    for (owner, _), items in ordered.groupby([customer, basket], sort=False)["item"]:
        found.setdefault(str(owner), []).append(sorted(set(items)))
    return {owner: orders for owner, orders in found.items() if baskets[0] <= len(orders) <= baskets[1]}


def _joined(lines: pd.DataFrame, columns: list[str]) -> pd.Series:
    joined = lines[columns[0]].astype("string")
    for column in columns[1:]:
        joined = joined + "|" + lines[column].astype("string")
    return joined


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.order_baskets")
    parser.add_argument("--orders", type=Path, required=True)
    parser.add_argument("--products", type=Path, help="joined by product_id")
    parser.add_argument("--columns", nargs=4, required=True, metavar=("CUSTOMER", "BASKET", "TIME", "ITEM"))
    parser.add_argument("--baskets", nargs=2, type=int, default=(3, MOST), metavar=("FEWEST", "MOST"))
    parser.add_argument("--buyers", type=int, default=1, help="of an item, at least")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    try:
        lines = _read(options.orders)
        if options.products:
            lines = lines.merge(_read(options.products, ["product_id"]), on="product_id", how="left")
        _check(lines, options.orders, [name for column in options.columns for name in column.split("+")])
    except ValueError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    found = order_baskets(lines, options.columns, tuple(options.baskets), options.buyers)
    options.out.write_text(json.dumps(found))


def _read(path: Path, needed: Sequence[str] = ()) -> pd.DataFrame:
    """Raises ValueError naming the file."""
    try:
        table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: {str(error).splitlines()[0]}") from None
    _check(table, path, needed)
    return table


def _check(table: pd.DataFrame, path: Path, needed: Sequence[str]) -> None:
    missing = [name for name in needed if name not in table.columns]
    if missing:
        raise ValueError(f"{path}: no column {', '.join(missing)}; there are {', '.join(map(str, table.columns))}")


if __name__ == "__main__":
    main()
