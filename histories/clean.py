"""Raw columns into canonical ones by SQL over the whole table, and the checks that turn a line away."""

from __future__ import annotations

from dataclasses import dataclass

from duckdb import DuckDBPyConnection

from histories.errors import BadInput
from histories.files import quoted
from histories.identity import BLANKS

LARGEST = 1e12  # of any quantity or money; beyond it, sums lose cents
_TIMES = ("", " %H:%M:%S", " %H:%M", " %I:%M %p", " %I:%M:%S %p")
_DAY_FIRST = tuple(f"%d{cut}%m{cut}{year}{time}" for cut in "/.-" for year in ("%y", "%Y") for time in _TIMES) + tuple(
    f"%d{cut}%b{cut}%Y{time}" for cut in " -" for time in _TIMES
)
_MONTH_FIRST = tuple(f"%m{cut}%d{cut}{year}{time}" for cut in "/-" for year in ("%y", "%Y") for time in _TIMES) + tuple(
    f"{month} %d, %Y{time}" for month in ("%b", "%B") for time in _TIMES
)
_BLANKS_SQL = " || ".join(f"chr({ord(blank)})" for blank in BLANKS)


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the mapped table: its name there, what the file calls it, its type."""

    name: str
    label: str
    type: str

    @property
    def text(self) -> str:
        """The value as trimmed text; null where blank or not a number."""
        if self.type in ("INTEGER", "BIGINT", "SMALLINT", "TINYINT", "UINTEGER", "UBIGINT", "HUGEINT"):
            return f"CAST({quoted(self.name)} AS VARCHAR)"
        cell = f"trim(CAST({quoted(self.name)} AS VARCHAR), {_BLANKS_SQL})"
        return f"nullif(nullif(nullif({cell}, ''), 'nan'), 'NaN')"

    @property
    def said(self) -> str:
        """Whether there is a value; a number need not be made text to know."""
        name = quoted(self.name)
        if self.is_float:
            return f"({name} IS NOT NULL AND NOT isnan({name}))"
        return f"{name if self.is_time else self.text} IS NOT NULL"

    @property
    def is_float(self) -> bool:
        return self.type in ("DOUBLE", "FLOAT")

    @property
    def is_time(self) -> bool:
        return self.type.startswith(("TIMESTAMP", "DATE"))


def id_sql(column: Column, *, upper: bool = False) -> str:
    """As identity.normal_id; null where blank."""
    text = column.text
    if column.is_float:
        name = quoted(column.name)
        whole = f"abs({name}) < 9e15 AND {name} = floor({name})"
        text = f"CASE WHEN {whole} THEN CAST(CAST({name} AS BIGINT) AS VARCHAR) ELSE {text} END"
    elif column.type == "VARCHAR":
        shorn = f"regexp_replace({text}, '^([0-9]+)[.]0+$', '\\1')"
        text = f"CASE WHEN contains({text}, '.0') THEN {shorn} ELSE {text} END"
    return f"upper({text})" if upper else text


def number_sql(column: Column, decimal: str, factor: float = 1.0) -> str:
    """DOUBLE; null where it is no finite number of at most LARGEST."""
    text = column.text
    if column.type == "VARCHAR" and decimal == ",":
        text = f"replace(replace(replace(replace({text}, '.', ''), ' ', ''), chr(160), ''), ',', '.')"
    number = f"CAST({quoted(column.name)} AS DOUBLE)"
    if column.type == "VARCHAR":
        number = f"CASE WHEN contains({text}, '_') THEN NULL ELSE TRY_CAST({text} AS DOUBLE) END"
    scaled = f"{number} * {factor!r}" if factor != 1.0 else number
    return f"CASE WHEN abs({number}) <= {LARGEST} THEN {scaled} END"


def instant_sql(bench: DuckDBPyConnection, table: str, column: Column, form: str | None) -> tuple[str, str]:
    """SQL of microseconds (UTC where aware, else as the shop's clocks showed) and of whether it is aware.

    Raises BadInput where day and month cannot be told apart, or no date can be read at all.
    """
    name = quoted(column.name)
    if "WITH TIME ZONE" in column.type:
        return f"epoch_us({name})", "true"
    if column.is_time:
        return f"epoch_us(CAST({name} AS TIMESTAMP))", "false"
    text = column.text
    if form in ("epoch_s", "epoch_ms"):
        return f"CAST(TRY_CAST({text} AS DOUBLE) * {1_000_000 if form == 'epoch_s' else 1_000} AS BIGINT)", "true"
    if form:
        return f"epoch_us(TRY_STRPTIME({text}, '{_escaped(form)}'))", "true" if "%z" in form else "false"
    forms = _found_form(bench, table, column)
    if forms is None:
        return _iso_sql(text)
    return f"epoch_us({_parsed(text, forms)})", "false"


def _iso_sql(text: str) -> tuple[str, str]:
    aware = f"regexp_matches({text}, ':.*(Z|[+-][0-9]{{2}}:?[0-9]{{2}})$')"
    fixed = f"regexp_replace({text}, ' ?([+-][0-9]{{2}}):?([0-9]{{2}})$', '\\1:\\2')"
    zoned = f"epoch_us(TRY_CAST({fixed} AS TIMESTAMPTZ))"
    return f"CASE WHEN {aware} THEN {zoned} ELSE epoch_us(TRY_CAST({text} AS TIMESTAMP)) END", aware


def _found_form(bench: DuckDBPyConnection, table: str, column: Column) -> tuple[str, ...] | None:
    """The formats that read the column: None for ISO 8601, else day first or month first."""
    text = column.text
    sample = f"(SELECT * FROM {table} WHERE {text} IS NOT NULL LIMIT 10000)"
    seen, iso = bench.execute(f"SELECT count(*), count(TRY_CAST({text} AS TIMESTAMP)) FROM {sample}").fetchall()[0]
    if not seen or iso * 2 >= seen:
        return None
    day, month = _parsed(text, _DAY_FIRST), _parsed(text, _MONTH_FIRST)
    query = f"""
        SELECT count(*) FILTER (d IS NOT NULL AND m IS NULL), count(*) FILTER (m IS NOT NULL AND d IS NULL),
            count(*) FILTER (d IS NOT NULL AND m IS NOT NULL AND d != m), count(coalesce(d, m)),
            min(line) FILTER (d IS NULL AND m IS NOT NULL), min(line) FILTER (m IS NULL AND d IS NOT NULL)
        FROM (SELECT line, {day} AS d, {month} AS m FROM {table})
    """
    day_only, month_only, either, readable, month_line, day_line = bench.execute(query).fetchall()[0]
    advice = 'set [format] date = "%d/%m/%Y %H:%M" or the like in a column map'
    if not readable:
        raise BadInput(f"column {column.label!r}: no date could be read; {advice}")
    if day_only and month_only:
        raise BadInput(
            f"column {column.label!r}: mixed date formats, day first in line {day_line}, month first in "
            f"line {month_line}; {advice}"
        )
    if either and not day_only and not month_only:
        raise BadInput(f"column {column.label!r}: day and month cannot be told apart in any line; {advice}")
    return _DAY_FIRST if day_only >= month_only else _MONTH_FIRST


def _parsed(text: str, forms: tuple[str, ...]) -> str:
    return f"TRY_STRPTIME({text}, [{', '.join(repr(form) for form in forms)}])"


def _escaped(text: str) -> str:
    return text.replace("'", "''")


@dataclass(frozen=True, slots=True)
class Check:
    """A line is rejected where `when` holds; the first check that does names the column and the reason."""

    when: str
    column: str
    reason: str


def problem_sql(checks: list[Check]) -> str:
    """Place of the first check that fails, null where the line is good."""
    if not checks:
        return "NULL"
    cases = " ".join(f"WHEN {check.when} THEN {place}" for place, check in enumerate(checks))
    return f"CAST(CASE {cases} END AS TINYINT)"
