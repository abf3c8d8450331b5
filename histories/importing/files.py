"""Files and database tables of the shop, as one raw table each in a scratch DuckDB database, with line numbers."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time
from itertools import chain, islice
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
from histories.importing.text import checked_names, head_of, joined_text, names_at, plain_text

_BATCH = 50_000
_MEMORY = "1GB"
_KINDS = (".csv", ".csv.gz", ".tsv", ".txt", ".parquet", ".pq")  # of the files of a folder
_TOP = 20  # rows of a sheet among which the column names are looked for
_BREAKS = 20  # lines that one record may go over
_SHAPES = {"MISSING COLUMNS": "too few fields", "TOO MANY COLUMNS": "too many fields"}


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
    """FILE.csv[.gz], .parquet, .xlsx (FILE.xlsx#Sheet), a folder or a pattern of CSV or of Parquet files, or a database
    URL with #table or #SELECT ... behind it.
    """
    if "://" in place:
        return _sql(bench, place, table)
    if ".xlsx#" in place.lower():
        cut = place.lower().index(".xlsx#") + len(".xlsx")
        _check_file(Path(place[:cut]))
        return _sheet(bench, Path(place[:cut]), place[cut + 1 :], table)
    paths = _files(place)
    kinds = {path.suffix.lower() for path in paths}
    if kinds <= {".parquet", ".pq"}:
        return _parquet(bench, paths, place)
    if len(paths) == 1 and kinds <= {".xlsx", ".xls", ".xlsb", ".ods"}:
        return _sheet(bench, paths[0], None, table)
    return _csv(bench, paths, folder, table, place)


def skipped_lines(bench: DuckDBPyConnection, table: str) -> list[tuple[int, str, str]]:
    """Lines (line, column, reason) of a CSV file that are not of its shape.

    Raises BadInput for a quote that took many lines with it: they would be missing, and one line would tell.
    """
    known = bench.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = ?", [f"{table}_skipped"]).fetchone()
    if not known:
        return []
    rows = bench.execute(f"""
        SELECT line, min(column_name), min(error_type), max(length(csv_line) - length(replace(csv_line, chr(10), '')))
        FROM {table}_skipped GROUP BY line ORDER BY 1
    """).fetchall()
    for line, _, _, breaks in rows:
        if breaks > _BREAKS:
            raise BadInput(
                f"line {line}: a quote is opened and not closed, so that the lines below cannot be told apart"
            )
    return [(line, column or "", _SHAPES.get(str(kind), "broken quotes")) for line, column, kind, _ in rows]


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


def _files(place: str) -> list[Path]:
    """The file of that name; or all of a folder, or of a pattern, in the order of their names."""
    path = Path(place)
    if path.is_dir():
        paths = sorted(
            file for kind in _KINDS for file in path.rglob(f"*{kind}") if not file.name.startswith(("_", "."))
        )
        wanted = f"holds no {', '.join(_KINDS)} file"
    elif any(mark in place for mark in "*?[") and not path.exists():
        paths = sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
        wanted = "no such file"
    else:
        paths, wanted = [path], ""
    if not paths:
        raise BadInput(f"{place}: {wanted}")
    if len({path.suffix.lower() in (".parquet", ".pq") for path in paths}) > 1:
        raise BadInput(f"{place}: holds both Parquet and CSV files; import them one by one")
    for path in paths:
        _check_file(path)
    return paths


def _check_file(path: Path) -> None:
    if not path.exists():
        raise BadInput(f"{path}: no such file")
    try:
        with path.open("rb") as stream:
            if not stream.read(1):
                raise BadInput(f"{path}: is empty")
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from None


def _parquet(bench: DuckDBPyConnection, paths: Sequence[Path], label: str) -> Source:
    """Of several files, lines are counted on from one to the next."""
    names = ", ".join(literal(str(path)) for path in paths)
    read = f"read_parquet([{names}], union_by_name = true, hive_partitioning = false"
    relation = f"(SELECT file_row_number + 1 AS line, * FROM {read}, file_row_number = true))"
    if len(paths) > 1:
        relation = f"(SELECT row_number() OVER () AS line, * FROM {read}))"
    try:
        for path in paths:
            pq.read_schema(path)
        described = bench.execute(f"DESCRIBE SELECT * FROM {read})").fetchall()
    except (pa.ArrowInvalid, pa.ArrowException, duckdb.Error, OSError):
        raise BadInput(f"{path}: is not a whole Parquet file") from None
    return Source(label, relation, {row[0]: row[1] for row in described})


def _csv(bench: DuckDBPyConnection, paths: Sequence[Path], folder: Path, table: str, label: str) -> Source:
    texts = [(plain_text(path, folder), str(path)) for path in paths]
    text = texts[0][0] if len(texts) == 1 else joined_text(texts, folder)
    head = head_of(text, label)
    columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in head.names)
    options = (
        f"delim = {literal(head.delimiter)}, quote = '\"', escape = '\"', header = true, auto_detect = false, "
        f"skip = {head.above}, columns = {{{columns}}}, strict_mode = true, compression = 'none', "
        f"store_rejects = true, max_line_size = 10000000, rejects_table = '{table}_skipped', "
        f"rejects_scan = '{table}_scan', rejects_limit = 0"
    )
    line = f"row_number() OVER () + {1 + head.above} AS line"
    relation = f"(SELECT {line}, * FROM read_csv({literal(str(text))}, {options}))"
    return Source(label, relation, dict.fromkeys(head.names, "VARCHAR"))


def _sheet(bench: DuckDBPyConnection, path: Path, sheet: str | None, table: str) -> Source:
    from python_calamine import CalamineError, CalamineWorkbook, WorksheetNotFound

    try:
        book = CalamineWorkbook.from_path(str(path))
        page = book.get_sheet_by_name(sheet) if sheet else book.get_sheet_by_index(0)
    except WorksheetNotFound:
        raise BadInput(f"{path}: has no sheet {sheet!r}; there are {', '.join(book.sheet_names)}") from None
    except (CalamineError, OSError):
        raise BadInput(f"{path}: is not a whole spreadsheet file") from None
    label = str(path) if len(book.sheet_names) == 1 else f"{path}#{page.name} (of {', '.join(book.sheet_names)})"
    rows = iter(page.iter_rows())
    top = list(islice(rows, _TOP))
    place = names_at(top)
    header = checked_names([str(cell).strip() for cell in top[place]] if top else [], label)
    return _from_rows(bench, label, header, chain(top[place + 1 :], rows), table, first=place + 2)


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
            source = _from_rows(bench, label, checked_names(list(result.keys()), label), result, table)
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
    bench: DuckDBPyConnection,
    label: str,
    header: list[str],
    rows: Iterable[Sequence[Any]],
    table: str,
    *,
    first: int = 2,
) -> Source:
    """`first` is the line of the first row."""
    schema = pa.schema([("line", pa.int64()), *((name, pa.string()) for name in header)])
    bench.register(f"{table}_rows", pa.RecordBatchReader.from_batches(schema, _batches(schema, iter(rows), first)))
    return Source(label, f"{table}_rows", dict.fromkeys(header, "VARCHAR"))


def _batches(schema: pa.Schema, rows: Iterator[Sequence[Any]], line: int) -> Iterator[pa.RecordBatch]:
    width = len(schema) - 1
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


def literal(text: str) -> str:
    """A text in SQL."""
    return "'" + text.replace("'", "''") + "'"
