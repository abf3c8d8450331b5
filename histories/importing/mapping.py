"""One file into one checked table of the scratch database: columns found, typed, and each bad line marked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
from duckdb import DuckDBPyConnection

from histories.columns import CONSENT_COLUMNS, REQUIRED, SYNONYMS
from histories.errors import BadInput
from histories.importing.amounts import Style, number_sql, styles
from histories.importing.clean import Check, Column, filled_sql, id_sql, problem_sql, trimmed_sql
from histories.importing.dates import instant_sql
from histories.importing.files import Source, number_lines, open_source, quoted, skipped_lines
from histories.importing.presets import TABLES, ColumnMap

_IDS = {"customer_id", "order_id", "product_id", "id"}
_NUMBERS = {"quantity", "unit_price", "amount", "discount", "value", "price"}
_INSTANTS = {"occurred_at", "recorded_at"}
_FLAGS = {"in_stock", "sellable", *CONSENT_COLUMNS}
_READ = _INSTANTS | _NUMBERS | _FLAGS  # what may be there and yet not be readable
_NESTED = re.compile(r"STRUCT|MAP|UNION|\[")
_VALUE = re.compile(r"[-+]?[0-9]+([.,][0-9]+)?|[0-9]{1,4}[-/.][0-9]{1,2}[-/.][0-9]{1,4}.*|[^@\s]+@[^@\s]+")
_LAST_INSTANT = 4_102_444_800_000_000  # 2100


@dataclass(frozen=True, slots=True)
class Checked:
    """A table `name` of typed canonical columns, `line` and `problem` (place in checks, null for a good line)."""

    name: str
    label: str
    columns: Mapping[str, Column]
    checks: Sequence[Check]
    map: ColumnMap
    skipped: Sequence[tuple[int, str, str]]  # lines that were not even of the file's shape
    unread: Sequence[str]  # columns of the file that mean nothing here

    @property
    def renamed(self) -> dict[str, str]:
        """What the file calls columns by other names: what was guessed, or said in a map."""
        labels = {name: column.label for name, column in self.columns.items()}
        return {name: label for name, label in labels.items() if name != label}


def check_file(
    bench: DuckDBPyConnection,
    folder: Path,
    place: str,
    table: str,
    maps: Sequence[ColumnMap],
    currencies: Sequence[str] | None,
    now: str,
) -> Checked:
    """Reads and checks one of orders, events, customers, products. Raises BadInput when nothing of it can be used."""
    source = open_source(bench, folder, place, table)
    chosen = _fitting(source, _of_table(maps, table), table)
    try:
        columns = _mapped(bench, source, chosen, table, now)
        skipped = skipped_lines(bench, table)
        typed, checks = _typed_sql(bench, table, columns, chosen, currencies)
        said = ", ".join(f"{name}_said" for name in columns if name in _READ)
        kept = f"* EXCLUDE ({said})" if said else "*"
        bench.execute(f"CREATE TABLE {table} AS SELECT {kept}, {problem_sql(checks)} AS problem FROM ({typed})")
    except BadInput as error:
        raise BadInput(f"{source.label}: {error}") from None
    except duckdb.Error as error:
        raise BadInput(f"{source.label}: {_reason(error)}") from None
    needed = [_find(source, name) for name in chosen.needs]
    read = needed if chosen.reshape else [column.label for column in columns.values()]
    unread = [name for name in source.types if name not in read]
    checked = Checked(table, source.label, columns, checks, chosen, skipped, unread)
    _need_some(bench, checked)
    return checked


def rejected(bench: DuckDBPyConnection, checked: Checked) -> list[tuple[str, str, int]]:
    """(column, reason, lines), most frequent first."""
    query = f"SELECT problem, count(*) FROM {checked.name} WHERE problem IS NOT NULL GROUP BY problem"
    counts = {(checked.checks[p].column, checked.checks[p].reason): n for p, n in bench.execute(query).fetchall()}
    for _, column, reason in checked.skipped:
        counts[column, reason] = counts.get((column, reason), 0) + 1
    return sorted(((column, reason, n) for (column, reason), n in counts.items()), key=lambda row: (-row[2], row))


def _need_some(bench: DuckDBPyConnection, checked: Checked) -> None:
    total, good = bench.execute(f"SELECT count(*), count(*) FILTER (problem IS NULL) FROM {checked.name}").fetchall()[0]
    if good:
        return
    if not total and not checked.skipped:
        raise BadInput(f"{checked.label}: has no lines under its header")
    column, reason, lines = rejected(bench, checked)[0]
    query = f"SELECT min(line) FROM {checked.name} WHERE problem IS NOT NULL"
    first = bench.execute(query).fetchall()[0][0] or min(line for line, _, _ in checked.skipped)
    raise BadInput(
        f"{checked.label}: none of {total + len(checked.skipped):,} lines can be used; "
        f"{lines:,} because {column or 'the line'} {reason}, first line {first}"
    )


def _of_table(maps: Sequence[ColumnMap], table: str) -> Sequence[ColumnMap]:
    """Only orders are reshaped; the other tables come by their columns' names whatever the preset."""
    return maps if table == "orders" else [replace(each, reshape=None, needs=()) for each in maps]


def _fitting(source: Source, maps: Sequence[ColumnMap], table: str) -> ColumnMap:
    """The first map whose columns the file has; else the error of the one that lacks least."""
    lacking = []
    for candidate in maps:
        names = (*candidate.needs, *candidate.columns.get(table, {}).values())
        missing = [name for name in names if _find(source, name) is None]
        if not missing:
            return candidate
        lacking.append(missing)
    least = min(lacking, key=len)
    raise BadInput(
        f"{source.label}: column {', '.join(map(repr, least))} is missing; {_listed(source)}; "
        "choose the --preset it was written by, or name its columns in a --columns map"
    )


def _mapped(bench: DuckDBPyConnection, source: Source, chosen: ColumnMap, table: str, now: str) -> dict[str, Column]:
    """Creates {table}_mapped with `line` and canonical names; returns its columns."""
    if chosen.reshape:
        return _reshaped(bench, source, chosen, table, now)
    columns = _resolved(source, chosen, table)
    kind = "VIEW" if "read_parquet" in source.relation else "TABLE"
    bench.execute(f"CREATE {kind} {table}_mapped AS {_tidied(columns, source.relation)}")
    if kind == "TABLE":
        number_lines(bench, table, f"{table}_mapped")
    return columns


def _reshaped(bench: DuckDBPyConnection, source: Source, chosen: ColumnMap, table: str, now: str) -> dict[str, Column]:
    names = {name: str(_find(source, name)) for name in chosen.needs}
    raw = ", ".join(f"CAST({quoted(found)} AS VARCHAR) AS {quoted(name)}" for name, found in names.items())
    bench.execute(f"CREATE TABLE {table}_raw AS SELECT line, {raw} FROM {source.relation}")
    number_lines(bench, table, f"{table}_raw")
    query = str(chosen.reshape).replace("{raw}", f"{table}_raw").replace("{now}", now)
    described = bench.execute(f"DESCRIBE SELECT * FROM ({query})").fetchall()
    columns = {row[0]: Column(row[0], row[0], "VARCHAR") for row in described if row[0] != "line"}
    bench.execute(f"CREATE TABLE {table}_mapped AS {_tidied(columns, f'({query})')}")
    return columns


def _tidied(columns: Mapping[str, Column], relation: str) -> str:
    """SQL of the columns by their canonical names: text is tidied once, since much is asked of it; types stay."""
    texts = {name for name, column in columns.items() if column.type == "VARCHAR"}
    raw = {name: quoted(column.label) for name, column in columns.items()}
    inner = [f"{trimmed_sql(raw[name]) if name in texts else raw[name]} AS {quoted(name)}" for name in columns]
    outer = [f"{filled_sql(quoted(name)) if name in texts else quoted(name)} AS {quoted(name)}" for name in columns]
    return f"SELECT {', '.join(['line', *outer])} FROM (SELECT {', '.join(['line', *inner])} FROM {relation})"


def _resolved(source: Source, chosen: ColumnMap, table: str) -> dict[str, Column]:
    """Canonical name: the file's column; by the map, by the same name, or by a synonym."""
    found: dict[str, str] = {}
    for name, said in chosen.columns.get(table, {}).items():
        found[name] = str(_find(source, said))
    for candidates in (lambda name: (name,), lambda name: SYNONYMS.get(name, ())):
        for name in TABLES[table]:
            free = (_find(source, other) for other in candidates(name) if name not in found)
            match = next((column for column in free if column and column not in found.values()), None)
            if match:
                found[name] = match
    if table == "customers":
        found |= {name: name for name in source.types if name not in found.values() and name not in found}
    if lacking := [name for name in REQUIRED[table] if name not in found]:
        raise BadInput(f"no column for {', '.join(lacking)}; {_listed(source)}; use --preset or a --columns map")
    nested = [column for name, column in found.items() if name != "aliases" and _NESTED.search(source.types[column])]
    if nested:
        raise BadInput(f"column {nested[0]!r} holds {source.types[nested[0]]}, where one value is wanted")
    return {name: Column(name, column, source.types[column]) for name, column in found.items()}


def _typed_sql(
    bench: DuckDBPyConnection,
    table: str,
    columns: Mapping[str, Column],
    chosen: ColumnMap,
    currencies: Sequence[str] | None,
) -> tuple[str, list[Check]]:
    """SQL of the typed columns, with {name}_said where a value was there, and the checks on them."""
    mapped = f"{table}_mapped"
    parts, checks = ["line"], []
    numbers = {name: column for name, column in columns.items() if name in _NUMBERS}
    written = styles(bench, mapped, numbers, chosen.decimal)
    for name, column in columns.items():
        if name in _INSTANTS:
            value, aware = instant_sql(bench, mapped, column, chosen.date_format)
            parts += [f"{value} AS {name}", f"{aware} AS {name}_aware"]
        elif name in _NUMBERS:
            parts.append(f"{number_sql(column, written[name], chosen.units.get(name, 1.0))} AS {name}")
        elif name in _FLAGS:
            parts.append(f"TRY_CAST({column.text} AS BOOLEAN) AS {name}")
        elif name in _IDS:
            parts.append(f"{id_sql(column, upper=chosen.upper and name == 'product_id')} AS {name}")
        else:
            plain = _plain(bench, column, table, name)
            parts.append(f"{f'lower({plain})' if name == 'kind' else plain} AS {quoted(name)}")
        if name in _READ:
            parts.append(f"{column.said} AS {name}_said")
        checks += _checks(name, column.label, table, chosen, currencies, written.get(name, "plain"))
    return f"SELECT {', '.join(parts)} FROM {mapped}", checks


def _plain(bench: DuckDBPyConnection, column: Column, table: str, name: str) -> str:
    """Text; an attribute of a customer is a number where the file says so, or all of its values are."""
    attribute = table == "customers" and name not in TABLES["customers"]
    typed = column.type != "VARCHAR" and not column.is_time and "[]" not in column.type
    if attribute and column.type == "VARCHAR" and _all_numbers(bench, column, f"{table}_mapped"):
        return f"TRY_CAST({column.text} AS DOUBLE)"
    if attribute and typed:
        return f"TRY_CAST({quoted(column.name)} AS DOUBLE)"
    if "[]" in column.type:
        return f"array_to_string({quoted(column.name)}, ';')"
    return column.text


def _all_numbers(bench: DuckDBPyConnection, column: Column, table: str) -> bool:
    """Codes with leading zeros, as of a post, are none."""
    number = f"TRY_CAST({column.text} AS DOUBLE) IS NOT NULL AND NOT regexp_matches({column.text}, '^0[0-9]')"
    query = f"SELECT count(*), count(*) FILTER ({number}) FROM {table} WHERE {column.text} IS NOT NULL"
    said, numbers = bench.execute(query).fetchall()[0]
    return said == numbers > 0


def _checks(
    name: str, label: str, table: str, chosen: ColumnMap, currencies: Sequence[str] | None, style: Style
) -> list[Check]:
    unread = f"{name}_said AND {name} IS NULL"
    checks = []
    if name in REQUIRED[table]:
        said = f" AND NOT {name}_said" if name in _INSTANTS else ""
        checks.append(Check(f"{name} IS NULL{said}", label, "is missing"))
    if name in _INSTANTS:
        checks.append(Check(unread, label, "is not a date in the format of this column"))
        checks.append(Check(f"{name} NOT BETWEEN 0 AND {_LAST_INSTANT}", label, "is not between 1970 and 2100"))
    if name in _NUMBERS:
        mark = {"plain": "", ".": " with a decimal point", ",": " with a decimal comma"}[style]
        checks.append(Check(unread, label, f"is not a number{mark}"))
    if name in _FLAGS:
        checks.append(Check(unread, label, "is neither true nor false"))
    if name == "quantity":
        checks.append(Check("quantity = 0", label, "is zero"))
    if name == "unit_price":
        checks.append(Check("unit_price < 0", label, "is negative"))
        if chosen.zero_price != "keep":
            checks.append(Check("unit_price = 0", label, "is zero"))
    if name == "currency" and currencies:
        known = ", ".join("'" + re.sub(r"[^A-Za-z]", "", code) + "'" for code in currencies)
        checks.append(Check(f"upper(currency) NOT IN ({known})", label, "is another currency, without a rate"))
    return checks


def _find(source: Source, name: str) -> str | None:
    """The file's own spelling of a column, whatever its case, blanks and punctuation."""
    if name in source.types:
        return name
    return next((column for column in source.types if _folded(column) == _folded(name)), None)


def _folded(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.lower())


def _listed(source: Source) -> str:
    """In words, what the file's columns are called; data in their place are not repeated."""
    names = list(source.types)
    if any(_VALUE.fullmatch(name) for name in names):
        return "its first line holds data, not the names of columns"
    return "the file has " + ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")


def _reason(error: duckdb.Error) -> str:
    """In our own words: DuckDB's quote the line at fault."""
    if "No space left" in str(error):
        return "no space left on the disk for temporary files (TMPDIR)"
    return "is damaged, or not what its name says"
