"""Batch outputs that hold persons: kept in mind by the store, so that who is erased is erased from them, too.

Scores, feature rows and snapshots (export.py), and the parts of scorings that were killed.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from histories.errors import Refused
from histories.storage import writing
from histories.storage.locks import held_file
from histories.storage.tables import AUDIT, OUTPUTS

_COLUMN = "customer_id"
_ROWS = 50_000
STATE: Final = "state.json"  # in the folder of a run in parts (service/parts.py), and nowhere else
NO_RELEASE: Final = ""  # of outputs that are no scores
Erased = Callable[[Sequence[str]], Sequence[bool]]  # which of these customer ids are of erased persons


class Output(NamedTuple):
    place: str  # a file, a folder of Parquet files, or URL#TABLE without a password
    release: str  # or NO_RELEASE
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
        path = Path(place)
        if (path / STATE).exists():
            _remove_parts(path)
        files = _files(path)
        for file in files or ():
            _rewrite(file, erased)
        return None if files is None else False
    except Refused:  # whose parts these are is at work, and clears its output when it ends
        return True
    except (OSError, UnicodeError, KeyError, pa.ArrowException, sa.exc.SQLAlchemyError, ModuleNotFoundError):
        return True


def _files(path: Path) -> list[Path] | None:
    """What an output consists of, and what a killed run left of it; None if it is gone."""
    if path.is_dir():
        return sorted(path.rglob("*.parquet"))
    return [each for each in (path, unfinished_of(path)) if each.exists()] or None


def unfinished_of(file: Path) -> Path:
    """Where an output is written before it appears."""
    return file.with_name(f".{file.name}.unfinished")


def lock_of(parts: Path) -> Path:
    """The file that a run holds while it works in this folder."""
    return parts.with_suffix(".lock")


def _remove_parts(parts: Path) -> None:
    """Those of a killed run, with all that it had not finished: after an erasure the next run starts anew anyway."""
    with held_file(lock_of(parts), "erase", passing=True):
        shutil.rmtree(parts)


def _rewrite(file: Path, erased: Erased) -> None:
    """The file without them, in one step; left alone where they are not in it."""
    unfinished = file.with_name(f".{file.name}.erasing")
    copy = _without_csv if file.suffix.lower() == ".csv" else _without_parquet
    try:
        if copy(file, unfinished, erased):
            unfinished.replace(file)
            file.with_name(f".{file.name}.crc").unlink(missing_ok=True)  # Spark's, of the file that was
    finally:
        unfinished.unlink(missing_ok=True)


def _without_parquet(file: Path, out: Path, erased: Erased) -> bool:
    """Row group by row group, as it was written; a snapshot's catalog knows no customers."""
    with pq.ParquetFile(file) as source:
        if _COLUMN not in source.schema_arrow.names or not any(erased(source.read([_COLUMN])[_COLUMN].to_pylist())):
            return False
        with pq.ParquetWriter(out, source.schema_arrow) as sink:
            for number in range(source.num_row_groups):
                group = source.read_row_group(number)
                stays = [not gone for gone in erased(group[_COLUMN].to_pylist())]
                sink.write_table(group.filter(pa.array(stays, pa.bool_())))
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
