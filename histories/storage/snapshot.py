"""A store's histories as Parquet, one customer a row: what an engine of many machines reads.

<folder>/histories/*.parquet   SCHEMA: customers in order of their ids, the columns of their lines and events as lists
<folder>/products/*.parquet    the catalog, in order of the codes that lines and events carry
<folder>/shop.json             what all customers share; written last, so that a folder without it is not complete

A row is a whole history: whoever reads some rows has some customers, and nothing needs to be grouped or sorted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
import pyarrow as pa

from histories.columns import PURPOSES
from histories.history import Catalog, Events, History, Lines, column_types
from histories.storage.reading import attribute_arrays

Table = TypeVar("Table", Lines, Events)


def _dtypes(table: Any) -> dict[str, np.dtype]:
    """The columns of Lines or Events, without the offsets, which a list has by itself."""
    return {name: dtype for name, dtype in column_types(table).items() if name != "offsets"}


_TABLES: Final[tuple[tuple[str, Any], ...]] = (("lines", Lines), ("events", Events))
SCHEMA: Final = pa.schema(
    [
        ("customer_id", pa.string()),
        *((f"allows_{purpose}", pa.bool_()) for purpose in PURPOSES),
        ("attributes", pa.string()),  # JSON object
        *(
            (f"{prefix}_{name}", pa.list_(pa.from_numpy_dtype(dtype)))
            for prefix, table in _TABLES
            for name, dtype in _dtypes(table).items()
        ),
    ]
)


@dataclass(frozen=True)
class Shop:
    """What all customers of a snapshot share."""

    catalog: Catalog
    channels: tuple[str, ...]
    attributes: Mapping[str, str]  # name: number or text
    zone: str
    currency: str
    customers: int
    span: tuple[int, int] | None  # us, of the lines that were due when the snapshot was made
    imported: tuple[int, int] | None  # us, of the lines that were due when they were imported
    digest: str  # of the store


def pack(history: History) -> pa.Table:
    """The rows of SCHEMA, one per customer in the order of the history."""
    columns: dict[str, pa.Array] = {"customer_id": pa.array(history.customer_id, pa.string())}
    columns |= {f"allows_{purpose}": pa.array(history.consent[purpose]) for purpose in PURPOSES}
    columns["attributes"] = pa.array(_attribute_texts(history), pa.string())
    for prefix, table in (("lines", history.lines), ("events", history.events)):
        offsets = pa.array(table.offsets.astype(np.int32))
        for name in _dtypes(type(table)):
            columns[f"{prefix}_{name}"] = pa.ListArray.from_arrays(offsets, pa.array(getattr(table, name)))
    return pa.table(columns, schema=SCHEMA)


def unpack(rows: pa.RecordBatch | pa.Table, shop: Shop) -> History:
    """The history of these rows, equal to what was packed."""
    column = {name: _whole(rows[name]) for name in SCHEMA.names}
    return History(
        customer_id=column["customer_id"].to_numpy(zero_copy_only=False).astype(object),
        lines=_unlisted(Lines, "lines", column),
        events=_unlisted(Events, "events", column),
        attributes=attribute_arrays(column["attributes"].to_pylist(), shop.attributes),
        catalog=shop.catalog,
        channels=shop.channels,
        zone=shop.zone,
        consent={each: column[f"allows_{each}"].to_numpy(zero_copy_only=False) for each in PURPOSES},
    )


def _whole(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _unlisted(table: type[Table], prefix: str, column: Mapping[str, pa.Array]) -> Table:
    dtypes = _dtypes(table)
    lengths = column[f"{prefix}_occurred_at"].value_lengths().to_numpy(zero_copy_only=False)
    flat = {name: column[f"{prefix}_{name}"].flatten().to_numpy(zero_copy_only=False) for name in dtypes}
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return table(offsets=offsets, **{name: np.ascontiguousarray(flat[name], dtype) for name, dtype in dtypes.items()})


def _attribute_texts(history: History) -> list[str]:
    names, columns = list(history.attributes), [values.tolist() for values in history.attributes.values()]
    if not names:
        return ["{}"] * len(history)
    rows = (dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True))
    return [json.dumps({name: value for name, value in row.items() if value is not None and value == value})
            for row in rows]  # fmt: skip


_CATALOG: Final = ("product_id", "name", "category", "price", "in_stock", "sellable")


def products(catalog: Catalog) -> pa.Table:
    texts = {name: pa.array(getattr(catalog, name), pa.string()) for name in _CATALOG[:2]}
    return pa.table(texts | {name: pa.array(getattr(catalog, name)) for name in _CATALOG[2:]})


def shop_of(card: str, products: pa.Table) -> Shop:
    """From the text of shop.json and the table of products."""
    told = json.loads(card)
    column = {name: _whole(products[name]).to_numpy(zero_copy_only=False) for name in _CATALOG}
    ids = column["product_id"].astype(object)
    catalog = Catalog(
        product_id=ids,
        name=column["name"].astype(object),
        category=column["category"].astype(np.int32),
        categories=tuple(told["categories"]),
        price=column["price"].astype(np.float64),
        in_stock=column["in_stock"].astype(bool),
        sellable=column["sellable"].astype(bool),
        code_of={product: code for code, product in enumerate(ids)},
    )
    return Shop(
        catalog=catalog,
        channels=tuple(told["channels"]),
        attributes=told["attributes"],
        zone=told["zone"],
        currency=told["currency"],
        customers=told["customers"],
        span=told["span"] and (told["span"][0], told["span"][1]),
        imported=told["imported"] and (told["imported"][0], told["imported"][1]),
        digest=told["digest"],
    )
