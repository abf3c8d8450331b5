"""Batch outputs that hold persons: kept in mind by the store, so that who is erased is erased from them, too."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histories import writing
from histories.tables import AUDIT, OUTPUTS

_COLUMN = "customer_id"
_ROWS = 50_000
Erased = Callable[[Sequence[str]], Sequence[bool]]  # which of these customer ids are of erased persons


class Output(NamedTuple):
    place: str  # a file, a folder of Parquet files, or URL#TABLE without a password
    release: str
    as_of: int  # us
    due: bool  # an erased person may still be in it: it could not be rewritten


def note(connection: Connection, place: str, release: str, as_of: int, began: int) -> bool:
    """Keeps an output in mind; True where somebody was erased since the run `began` (us), and may be in it."""
    erased = sa.select(sa.literal(1)).where(AUDIT.c.action == "erase", AUDIT.c.at >= began).limit(1)
    due = connection.execute(erased).first() is not None
    connection.execute(sa.delete(OUTPUTS).where(OUTPUTS.c.place == place))
    writing.insert(connection, OUTPUTS, [(place, release, as_of, due)])
    return due


def known(connection: Connection) -> list[Output]:
    return [Output(*row) for row in connection.execute(sa.select(OUTPUTS).order_by(OUTPUTS.c.place))]


def settle(connection: Connection, place: str, left: bool | None) -> None:
    """Notes what erase_from answered; an output that is gone is forgotten."""
    which = OUTPUTS.c.place == place
    change = sa.delete(OUTPUTS).where(which) if left is None else sa.update(OUTPUTS).where(which).values(due=left)
    connection.execute(change)


def erase_from(place: str, erased: Erased) -> bool | None:
    """Takes persons out of an output; whether some may be left (it could not be rewritten), None if it is gone."""
    try:
        if "://" in place:
            return _erase_rows(place, erased)
        files = sorted(Path(place).rglob("*.parquet")) if Path(place).is_dir() else [Path(place)]
        if not Path(place).exists():
            return None
        for file in files:
            _rewrite(file, erased)
    except (OSError, UnicodeError, KeyError, pa.ArrowException, sa.exc.SQLAlchemyError, ModuleNotFoundError):
        return True
    return False


def _rewrite(file: Path, erased: Erased) -> None:
    """The file without them, in one step; left alone where they are not in it."""
    unfinished = file.with_name(f".{file.name}.erasing")
    copy = _without_csv if file.suffix.lower() == ".csv" else _without_parquet
    try:
        if copy(file, unfinished, erased):
            unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)


def _without_parquet(file: Path, out: Path, erased: Erased) -> bool:
    with pq.ParquetFile(file) as source:
        ids = source.read([_COLUMN])[_COLUMN].to_pylist()
        if not any(erased(ids)):
            return False
        with pq.ParquetWriter(out, source.schema_arrow) as sink:
            for batch in source.iter_batches(_ROWS):
                stays = [not gone for gone in erased(batch.column(_COLUMN).to_pylist())]
                sink.write_batch(batch.filter(pa.array(stays)))
    return True


def _without_csv(file: Path, out: Path, erased: Erased) -> bool:
    """Byte for byte what it was, but for their records."""
    found = False
    with file.open(encoding="utf-8", newline="") as source, out.open("w", encoding="utf-8", newline="") as sink:
        records = _records(source)
        header, text = next(records, ([], ""))
        column = header.index(_COLUMN) if header else 0
        sink.write(text)
        for record, text in records:
            if erased([record[column]])[0]:
                found = True
            else:
                sink.write(text)
    return found


def _records(lines: Iterable[str]) -> Iterator[tuple[list[str], str]]:
    """Each record, and the text that it was read from."""
    text: list[str] = []

    def noted() -> Iterator[str]:
        for line in lines:
            text.append(line)
            yield line

    for record in csv.reader(noted()):
        yield record, "".join(text)
        text.clear()


def _erase_rows(place: str, erased: Erased) -> bool | None:
    url, _, name = place.partition("#")
    engine = sa.create_engine(url)
    try:
        if not sa.inspect(engine).has_table(name):
            return None
        customer: sa.ColumnClause[str] = sa.column(_COLUMN)
        with engine.begin() as connection:
            ids = list(connection.execute(sa.select(customer).select_from(sa.table(name)).distinct()).scalars())
            gone = [name_ for name_, out in zip(ids, erased(ids), strict=True) if out]
            for start in range(0, len(gone), _ROWS):
                which = customer.in_(gone[start : start + _ROWS])
                connection.execute(sa.delete(sa.table(name)).where(which))
    finally:
        engine.dispose()
    return False
