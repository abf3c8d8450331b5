"""Where scores go: a Parquet or CSV file, a folder of Parquet files per day, a table of a database.

Each takes the parts of a finished run, in order, and shows them whole or not at all; doing it again changes nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import sqlalchemy as sa

from histories.errors import BadInput
from service.scoring import SCHEMA

_ROWS: Final = 5_000  # of one INSERT
Manifest = Mapping[str, Any]


class Sink(Protocol):
    @property
    def name(self) -> str:
        """What people may read: no password in it."""

    @property
    def place(self) -> str:
        """The same from any folder: how the store keeps it in mind."""

    def work(self, home: Path) -> Path:
        """The folder of the unfinished run; `home` is for sinks that are no folder themselves."""

    def put(self, parts: Sequence[Path], manifest: Manifest, *, changed_only: bool) -> None:
        """Show the rows of the parts, and the manifest beside them."""


def sink_of(out: str, table: str = "scores") -> Sink:
    """Raises BadInput for what is none, or lies nowhere."""
    if "://" in out:
        return _table_of(out, table)
    path = Path(out)
    if out.endswith("/") or path.is_dir():
        _needs_parent(path)
        return ParquetFolder(path)
    if path.suffix.lower() not in (".parquet", ".csv"):
        raise BadInput(f"{path.name}: must end in .parquet or .csv, in / for a folder, or be a database's URL")
    _needs_parent(path)
    return OneFile(path)


@dataclass(frozen=True)
class _OnDisk:
    path: Path

    @property
    def name(self) -> str:
        return str(self.path)

    @property
    def place(self) -> str:
        return str(self.path.absolute())


class OneFile(_OnDisk):
    """FILE.parquet or FILE.csv, and FILE.manifest.json."""

    def work(self, home: Path) -> Path:
        return self.path.with_name(f".{self.path.name}.parts")

    def put(self, parts: Sequence[Path], manifest: Manifest, *, changed_only: bool) -> None:
        unfinished = self.work(self.path) / "whole"
        write = _write_csv if self.path.suffix.lower() == ".csv" else _write_parquet
        write(parts, unfinished)
        unfinished.replace(self.path)
        _write_json(self.path.with_name(f"{self.path.name}.manifest.json"), manifest)


class ParquetFolder(_OnDisk):
    """FOLDER/day=YYYY-MM-DD/part-NNNNN.parquet, a partition per day of as_of: the last run of a day stands for it."""

    def work(self, home: Path) -> Path:
        return self.path / "_parts"  # readers of partitioned data pass over names that begin with _

    def put(self, parts: Sequence[Path], manifest: Manifest, *, changed_only: bool) -> None:
        day = self.path / f"day={manifest['as_of'][:10]}"
        built, old = (self.work(self.path) / name for name in ("whole", "replaced"))
        for folder in (built, old):
            shutil.rmtree(folder, ignore_errors=True)
        built.mkdir()
        for part in parts:
            os.link(part, built / part.name)
        _write_json(built / "_manifest.json", manifest)
        if day.exists():
            day.rename(old)
        built.rename(day)


@dataclass(frozen=True)
class SqlTable:
    """A table and its TABLE_manifest, replaced in one transaction; only the rows scored where only the changed were."""

    url: sa.URL
    table: str

    @property
    def name(self) -> str:
        return f"{self.url.render_as_string()} table {self.table}"

    @property
    def place(self) -> str:
        """Without the password: the driver finds it where it looks by itself (PGPASSWORD, ~/.pgpass)."""
        database = self.url.database or ""
        at_home = self.url.get_backend_name() == "sqlite" and database not in ("", ":memory:")
        url = self.url.set(database=str(Path(database).absolute())) if at_home else self.url.set(password=None)
        return f"{url.render_as_string()}#{self.table}"

    def work(self, home: Path) -> Path:
        which = hashlib.sha256(self.place.encode()).hexdigest()[:8]
        return home / f".{self.table}-{which}.parts"

    def put(self, parts: Sequence[Path], manifest: Manifest, *, changed_only: bool) -> None:
        engine = sa.create_engine(self.url)
        try:
            metadata = sa.MetaData()
            rows, about = _tables(self.table, metadata)
            metadata.create_all(engine)
            with engine.begin() as connection:
                _widen(connection, rows)
                for table in _read(parts) if changed_only else ():
                    _forget(connection, rows, table["customer_id"].to_pylist())
                if not changed_only:
                    connection.execute(sa.delete(rows))
                for table in _read(parts):
                    _insert(connection, rows, table)
                connection.execute(sa.delete(about))
                connection.execute(sa.insert(about).values(manifest=json.dumps(manifest)))
        except sa.exc.DBAPIError as error:
            raise BadInput(f"{self.name} cannot be written: {str(error.orig).splitlines()[0]}") from None
        finally:
            engine.dispose()


def flat(table: pa.Table) -> pa.Table:
    """Lists joined by ; for what has no lists."""
    for field in SCHEMA:
        if pa.types.is_list(field.type):
            texts = table[field.name].cast(pa.list_(pa.string()))
            table = table.set_column(table.schema.get_field_index(field.name), field.name, pc.binary_join(texts, ";"))
    return table


def _table_of(out: str, table: str) -> SqlTable:
    try:
        url = sa.make_url(out)
        url.get_dialect()
    except sa.exc.ArgumentError:
        raise BadInput("out: not a URL; use sqlite:///FILE or postgresql://USER@HOST/DATABASE") from None
    except ModuleNotFoundError as error:
        raise BadInput(f"out: {error.name} is not installed; install regulars[postgres]") from None
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    if not table.isidentifier():
        raise BadInput(f"table {table!r}: use letters, digits and _")
    return SqlTable(url, table)


def _needs_parent(path: Path) -> None:
    if not path.absolute().parent.is_dir():
        raise BadInput(f"{path.parent}: no such folder")


def _read(parts: Sequence[Path]) -> Iterator[pa.Table]:
    return (pq.read_table(part) for part in parts)


def _write_parquet(parts: Sequence[Path], out: Path) -> None:
    with pq.ParquetWriter(out, SCHEMA) as file:
        for table in _read(parts):
            file.write_table(table)


def _write_csv(parts: Sequence[Path], out: Path) -> None:
    with pyarrow.csv.CSVWriter(str(out), flat(SCHEMA.empty_table()).schema) as file:
        for table in _read(parts):
            file.write_table(flat(table))


def _write_json(path: Path, content: Manifest) -> None:
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    unfinished.replace(path)


def _tables(name: str, metadata: sa.MetaData) -> tuple[sa.Table, sa.Table]:
    kinds: dict[pa.DataType, Any] = {pa.float64(): sa.Double(), SCHEMA.field("as_of").type: sa.DateTime(timezone=True)}
    columns = [
        sa.Column(field.name, kinds.get(field.type, sa.Text()), primary_key=field.name == "customer_id")
        for field in SCHEMA
    ]
    return sa.Table(name, metadata, *columns), sa.Table(f"{name}_manifest", metadata, sa.Column("manifest", sa.Text))


def _widen(connection: sa.Connection, rows: sa.Table) -> None:
    """A table that an earlier version made lacks the columns that came since."""
    there = {column["name"] for column in sa.inspect(connection).get_columns(rows.name)}
    quote = connection.dialect.identifier_preparer.quote
    for column in rows.columns:
        if column.name not in there:
            kind = column.type.compile(connection.dialect)
            connection.exec_driver_sql(f"ALTER TABLE {quote(rows.name)} ADD COLUMN {quote(column.name)} {kind}")


def _forget(connection: sa.Connection, rows: sa.Table, customers: Sequence[str]) -> None:
    for first in range(0, len(customers), 500):
        connection.execute(sa.delete(rows).where(rows.c.customer_id.in_(customers[first : first + 500])))


def _insert(connection: sa.Connection, rows: sa.Table, table: pa.Table) -> None:
    for batch in flat(table).to_batches(max_chunksize=_ROWS):
        connection.execute(sa.insert(rows), batch.to_pylist())
