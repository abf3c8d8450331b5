"""Files and database tables of the shop, as one raw table each in a scratch DuckDB database, with line numbers."""

from __future__ import annotations

import codecs
import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa
from duckdb import DuckDBPyConnection
from sqlalchemy.engine import make_url

from histories.errors import BadInput

_BATCH = 50_000
_BLOCK = 1 << 20
_MEMORY = "1GB"
_DELIMITERS = ",;\t|"


@dataclass(frozen=True, slots=True)
class Source:
    """A readable source: `relation` is SQL for FROM with a column `line`; names and types of the others."""

    label: str  # how messages call it, without passwords
    relation: str
    types: dict[str, str]  # DuckDB type by column


@contextmanager
def workbench() -> Iterator[tuple[DuckDBPyConnection, Path]]:
    """A scratch database on disk with bounded memory, gone afterwards, and its folder."""
    with TemporaryDirectory(prefix="regulars-") as folder:
        config: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": _MEMORY,
            "threads": min(os.cpu_count() or 1, 4),
            "temp_directory": folder,
        }
        connection = duckdb.connect(str(Path(folder, "work.duckdb")), config=config)
        try:
            connection.execute("SET timezone = 'UTC'")
            yield connection, Path(folder)
        finally:
            connection.close()


def open_source(bench: DuckDBPyConnection, folder: Path, place: str, table: str) -> Source:
    """FILE.csv, .parquet, .xlsx (FILE.xlsx#Sheet), or a database URL with #table or #SELECT ... behind it."""
    if "://" in place:
        return _sql(bench, place, table)
    path = Path(place)
    sheet = None
    if ".xlsx#" in place.lower():
        cut = place.lower().index(".xlsx#") + len(".xlsx")
        path, sheet = Path(place[:cut]), place[cut + 1 :]
    _check_file(path)
    suffix = path.suffix.lower()
    if suffix in (".parquet", ".pq"):
        return _parquet(bench, path)
    if suffix in (".xlsx", ".xls", ".xlsb", ".ods"):
        return _sheet(bench, path, sheet, table)
    return _csv(bench, path, folder, table)


def skipped_lines(bench: DuckDBPyConnection, table: str) -> list[tuple[int, str, str]]:
    """Lines (line, column, reason) of a CSV file that are not of its shape."""
    known = bench.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = ?", [f"{table}_skipped"]).fetchone()
    if not known:
        return []
    reasons = {"MISSING COLUMNS": "too few fields", "TOO MANY COLUMNS": "too many fields"}
    rows = bench.execute(
        f"SELECT line, min(column_name), min(error_type) FROM {table}_skipped GROUP BY line ORDER BY 1"
    )
    return [(line, column or "", reasons.get(str(kind), "broken quotes")) for line, column, kind in rows.fetchall()]


def number_lines(bench: DuckDBPyConnection, table: str, raw: str) -> None:
    """Counts the lines that a CSV reader left out into the line numbers of those behind them."""
    gone = [line for line, _, _ in skipped_lines(bench, table)]
    if gone:
        shifts = pa.table({"start": [line - place for place, line in enumerate(gone)], "gone": range(1, len(gone) + 1)})
        bench.register("shifts", shifts)
        bench.execute(
            f"UPDATE {raw} SET line = line + coalesce((SELECT max(gone) FROM shifts WHERE start <= {raw}.line), 0)"
        )
        bench.unregister("shifts")


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise BadInput(f"{path}: is a directory; name a CSV, Parquet or XLSX file")
    if not path.exists():
        raise BadInput(f"{path}: no such file")
    try:
        with path.open("rb") as stream:
            if not stream.read(1):
                raise BadInput(f"{path}: is empty")
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from None


def _parquet(bench: DuckDBPyConnection, path: Path) -> Source:
    try:
        pq.read_schema(path)
        name = str(path).replace("'", "''")
        relation = f"(SELECT file_row_number + 1 AS line, * FROM read_parquet('{name}', file_row_number = true))"
        described = bench.execute(f"DESCRIBE SELECT * FROM read_parquet('{name}')").fetchall()
    except (pa.ArrowInvalid, pa.ArrowException, duckdb.Error, OSError):
        raise BadInput(f"{path}: is not a whole Parquet file") from None
    return Source(str(path), relation, {row[0]: row[1] for row in described})


def _csv(bench: DuckDBPyConnection, path: Path, folder: Path, table: str) -> Source:
    text = path if path.suffix == ".gz" else _as_utf8(path, folder)
    if path.suffix == ".gz":
        raise BadInput(f"{path}: unpack it first, or save it as Parquet")
    header, delimiter = _header(text, path)
    columns = ", ".join(f"{_literal(name)}: 'VARCHAR'" for name in header)
    options = (
        f"delim = {_literal(delimiter)}, quote = '\"', escape = '\"', header = true, auto_detect = false, "
        f"columns = {{{columns}}}, strict_mode = true, store_rejects = true, max_line_size = 10000000, "
        f"rejects_table = '{table}_skipped', rejects_scan = '{table}_scan', rejects_limit = 0"
    )
    relation = f"(SELECT row_number() OVER () + 1 AS line, * FROM read_csv({_literal(str(text))}, {options}))"
    return Source(str(path), relation, dict.fromkeys(header, "VARCHAR"))


def _header(text: Path, path: Path) -> tuple[list[str], str]:
    with text.open(encoding="utf-8-sig", newline="") as stream:
        first = stream.readline(_BLOCK)
        delimiter = max(_DELIMITERS, key=first.count)
        stream.seek(0)
        header = next(csv.reader(stream, delimiter=delimiter), [])
    return _checked_header([name.strip() for name in header], str(path)), delimiter


def _checked_header(header: Sequence[str], label: str) -> list[str]:
    if not any(header):
        raise BadInput(f"{label}: the first line holds no column names")
    names = [name or f"column {place}" for place, name in enumerate(header, 1)]
    seen: set[str] = set()
    for name in names:
        if name.lower() in seen or name.lower() == "line_":
            raise BadInput(f"{label}: line 1: column {name!r} is there twice")
        seen.add(name.lower())
    return names


def _as_utf8(path: Path, folder: Path) -> Path:
    """The file itself when it is UTF-8, else a copy that is: from UTF-16 by its mark or zeros, else from cp1252."""
    encoding = _encoding(path)
    if encoding == "utf-8":
        return path
    copy = folder / f"{path.stem}.utf8.csv"
    try:
        with path.open(encoding=encoding, newline="") as source, copy.open("w", encoding="utf-8", newline="") as out:
            while block := source.read(_BLOCK):
                out.write(block)
    except UnicodeError:
        raise BadInput(f"{path}: is neither UTF-8, UTF-16 nor Windows-1252 text") from None
    return copy


def _encoding(path: Path) -> str:
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as stream:
        head = stream.read(4096)
        if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16"
        if head.startswith(b"PAR1") or head.startswith(b"PK\x03\x04"):
            raise BadInput(f"{path}: is no text; name it .parquet or .xlsx if that is what it is")
        if b"\0" in head:
            return "utf-16-le" if head[1:2] == b"\0" else "utf-16-be"
        try:
            decoder.decode(head)
            while block := stream.read(_BLOCK):
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "cp1252"
    return "utf-8"


def _sheet(bench: DuckDBPyConnection, path: Path, sheet: str | None, table: str) -> Source:
    from python_calamine import CalamineError, CalamineWorkbook, WorksheetNotFound

    try:
        book = CalamineWorkbook.from_path(str(path))
        page = book.get_sheet_by_name(sheet) if sheet else book.get_sheet_by_index(0)
    except WorksheetNotFound:
        raise BadInput(f"{path}: has no sheet {sheet!r}; there are {', '.join(book.sheet_names)}") from None
    except (CalamineError, OSError):
        raise BadInput(f"{path}: is not a whole spreadsheet file") from None
    rows = iter(page.iter_rows())
    header = _checked_header([str(cell).strip() for cell in next(rows, [])], str(path))
    return _from_rows(bench, str(path), header, rows, table)


def _sql(bench: DuckDBPyConnection, place: str, table: str) -> Source:
    address, _, what = place.partition("#")
    try:
        url = make_url(address)
        label = url.render_as_string(hide_password=True)
        if not what:
            raise BadInput(f"{label}: say what to read, as in {label}#orders or {label}#SELECT ...")
        if url.get_backend_name() == "sqlite":
            _check_file(Path(url.database or ""))
        elif url.drivername == "postgresql":
            url = url.set(drivername="postgresql+psycopg")
        engine = sa.create_engine(url)
        query = (
            what if what.lstrip().lower().startswith(("select", "with")) else f"SELECT * FROM {_named(engine, what)}"
        )
        with engine.connect().execution_options(stream_results=True, yield_per=_BATCH) as connection:
            result = connection.exec_driver_sql(query)
            source = _from_rows(bench, label, _checked_header(list(result.keys()), label), result, table)
            bench.execute(f"CREATE TABLE {table}_text AS SELECT * FROM {source.relation}")
        engine.dispose()
    except sa.exc.DBAPIError as error:
        raise BadInput(f"{label}: {(str(error.orig).splitlines() or [''])[0]}") from None
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ModuleNotFoundError):
        raise BadInput(f"{address.split('://')[0]}://...: not a database URL that can be opened here") from None
    return Source(label, f"{table}_text", source.types)


def _named(engine: sa.Engine, what: str) -> str:
    return ".".join(engine.dialect.identifier_preparer.quote(part) for part in what.split("."))


def _from_rows(
    bench: DuckDBPyConnection, label: str, header: list[str], rows: Iterable[Sequence[Any]], table: str
) -> Source:
    schema = pa.schema([("line", pa.int64()), *((name, pa.string()) for name in header)])
    bench.register(f"{table}_rows", pa.RecordBatchReader.from_batches(schema, _batches(schema, iter(rows))))
    return Source(label, f"{table}_rows", dict.fromkeys(header, "VARCHAR"))


def _batches(schema: pa.Schema, rows: Iterator[Sequence[Any]]) -> Iterator[pa.RecordBatch]:
    width, line = len(schema) - 1, 2
    while part := list(islice(rows, _BATCH)):
        cells = [[_text(cell) for cell in column] for column in zip(*part, strict=True)]
        cells += [[None] * len(part)] * (width - len(cells))
        lines = pa.array(range(line, line + len(part)), type=pa.int64())
        yield pa.record_batch([lines, *(pa.array(column, type=pa.string()) for column in cells)], schema=schema)
        line += len(part)


def _text(cell: Any) -> str | None:
    if cell is None or cell == "":
        return None
    if isinstance(cell, datetime):
        return cell.isoformat(sep=" ")
    if isinstance(cell, date | time):
        return cell.isoformat()
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))
    return str(cell)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
