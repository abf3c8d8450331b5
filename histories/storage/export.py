"""Writing a snapshot of the store: see snapshot.py for what it holds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq

from histories.errors import BadInput
from histories.history import History
from histories.storage.erasure import noting
from histories.storage.snapshot import pack, products
from histories.storage.store import Store

CHUNK: Final = 4_000  # customers in memory, and in a row group
_PER_FILE: Final = 10  # chunks


def write(
    store: Store,
    url: str,
    progress: Callable[[int], None] = lambda customers: None,
    *,
    chunk: int = CHUNK,
    since: int | None = None,
) -> int:
    """Everybody in the store into a new folder, here or where pyarrow.fs can write; returns how many.

    With `since` only those of whom something was recorded at or after that instant (us). The store keeps a folder of
    this machine in mind, so that erasing a person reaches it.
    Raises BadInput where the folder holds something already or cannot be written.
    """
    if next(store.chunks(1), None) is None:
        raise BadInput("the store holds nobody yet: import order lines first (regulars import --orders FILE)")
    try:
        files, folder = _folder(url)
        at_hand = isinstance(files, pyarrow.fs.LocalFileSystem)
        try:
            with noting(store, str(Path(folder).absolute())) if at_hand else nullcontext():
                return _fill(store, files, folder, progress, chunk, since)
        except BaseException:
            files.delete_dir(folder)
            raise
    except (OSError, pa.ArrowInvalid) as error:
        raise BadInput(f"{url} cannot be written: {error}") from None


def _fill(store: Store, files: Any, folder: str, progress: Callable[[int], None], chunk: int, since: int | None) -> int:
    customers = 0
    for table in _files(store.chunks(chunk) if since is None else _with_news(store, chunk, since)):
        path = f"{folder}/histories/part-{customers:012}.parquet"
        pq.write_table(table, path, filesystem=files, row_group_size=chunk, compression="zstd")
        customers += len(table)
        progress(customers)
    anyone = next(store.chunks(1))  # read last: codes are only ever added
    pq.write_table(products(anyone.catalog), f"{folder}/products/part-0.parquet", filesystem=files)
    with files.open_output_stream(f"{folder}/shop.json") as out:
        out.write(json.dumps(_card(store, anyone, customers)).encode())
    return customers


def _with_news(store: Store, chunk: int, since: int) -> Iterator[History]:
    """At least one piece, if of nobody: Spark wants a file to read."""
    ids = store.learned_since(since)
    return (store.of(ids[first : first + chunk]) for first in range(0, max(len(ids), 1), chunk))


def _folder(url: str) -> tuple[pyarrow.fs.FileSystem, str]:
    files, path = pyarrow.fs.FileSystem.from_uri(url) if "://" in url else (pyarrow.fs.LocalFileSystem(), url)
    if files.get_file_info(pyarrow.fs.FileSelector(path, allow_not_found=True)):
        raise BadInput(f"{url} holds something already; name a new folder")
    for part in ("histories", "products"):
        files.create_dir(f"{path}/{part}")
    return files, path


def _files(histories: Iterator[History]) -> Iterator[pa.Table]:
    """What goes into one file at a time."""
    tables: list[pa.Table] = []
    for history in histories:
        tables.append(pack(history))
        if len(tables) == _PER_FILE:
            yield pa.concat_tables(tables)
            tables = []
    if tables:
        yield pa.concat_tables(tables)


def _card(store: Store, history: History, customers: int) -> dict[str, Any]:
    return {
        "zone": history.zone,
        "currency": store.currency,
        "channels": history.channels,
        "categories": history.catalog.categories,
        "attributes": {
            name: "number" if values.dtype.kind == "f" else "text" for name, values in history.attributes.items()
        },
        "customers": customers,
        "span": store.span(),
        "imported": store.span(0),
        "digest": store.digest(),
    }
