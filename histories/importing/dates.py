"""Dates as files have them, read by SQL: which format a column is in is found out from all that it holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from duckdb import DuckDBPyConnection

from histories.errors import BadInput
from histories.importing.clean import Column
from histories.importing.files import literal, quoted

_SAMPLE: Final = 10_000
_ADVICE: Final = 'set [format] date = "%d/%m/%Y %H:%M" or the like in a column map'
# Commas are taken out before: "Jan 5, 2024, 10:00 AM" is "Jan 5 2024 10:00 AM". Two digits of a year come first, since
# %Y takes them for the first century.
_TIMES: Final = ("", " %H:%M:%S", " %H:%M", " %I:%M %p", " %I:%M:%S %p", " %H:%M:%S.%f")
_YEARS: Final = ("%y", "%Y")
_MONTHS: Final = ("%b", "%B")
_DAY_FIRST: Final = tuple(
    [f"%d{cut}%m{cut}{year}{time}" for cut in "/.-" for year in _YEARS for time in _TIMES]
    + [f"%d{cut}{month}{cut}{year}{time}" for cut in " -" for month in _MONTHS for year in _YEARS for time in _TIMES]
)
_MONTH_FIRST: Final = tuple(
    [f"%m{cut}%d{cut}{year}{time}" for cut in "/-" for year in _YEARS for time in _TIMES]
    + [f"{month} %d %Y{time}" for month in _MONTHS for time in _TIMES]
)
_YEAR_FIRST: Final = (*(f"%Y.%m.%d{time}" for time in _TIMES), "%Y%m%dT%H%M%S")
_WITH_ZONE: Final = (
    "%a %d %b %Y %H:%M:%S %z",
    "%a %b %d %Y %H:%M:%S GMT%z",
    "%Y%m%dT%H%M%S%z",
    "%Y%m%dT%H%M%SZ",
    "%d/%b/%Y:%H:%M:%S %z",
)
# Plain numbers: what they count is told by how large they are, since shops sold nothing in 1970.
_NUMBERS: Final = (  # from, below, SQL of microseconds from the number {n}, whether it is an instant
    (20_000, 80_000, "CAST(({n} - 25569) * 86400e6 AS BIGINT)", "false"),  # days of a spreadsheet
    (19_700_101, 21_010_000, "epoch_us(TRY_STRPTIME(CAST(CAST({n} AS BIGINT) AS VARCHAR), '%Y%m%d'))", "false"),
    (1e8, 4.2e9, "CAST({n} * 1e6 AS BIGINT)", "true"),
    (1e11, 4.2e12, "CAST({n} * 1e3 AS BIGINT)", "true"),
    (1.97e13, 2.11e13, "epoch_us(TRY_STRPTIME(CAST(CAST({n} AS BIGINT) AS VARCHAR), '%Y%m%d%H%M%S'))", "false"),
    (1e14, 4.2e15, "CAST({n} AS BIGINT)", "true"),
    (1e17, 4.2e18, "CAST({n} / 1e3 AS BIGINT)", "true"),
)


def instant_sql(bench: DuckDBPyConnection, table: str, column: Column, form: str | None) -> tuple[str, str]:
    """SQL of microseconds (UTC where aware, else as the shop's clocks showed) and of whether it is aware.

    `form` is strptime's, epoch_s or epoch_ms. Raises BadInput where day and month cannot be told apart, or no date can
    be read at all.
    """
    name, text = quoted(column.name), column.text
    if "WITH TIME ZONE" in column.type or column.type.startswith("TIMESTAMPTZ"):
        return f"epoch_us(CAST({name} AS TIMESTAMPTZ))", "true"
    if column.is_time:
        return f"epoch_us(CAST({name} AS TIMESTAMP))", "false"
    if form in ("epoch_s", "epoch_ms"):
        return f"CAST(TRY_CAST({text} AS DOUBLE) * {1_000_000 if form == 'epoch_s' else 1_000} AS BIGINT)", "true"
    if form:
        return f"epoch_us(TRY_STRPTIME({text}, {literal(form)}))", "true" if "%z" in form else "false"
    return _found(bench, table, column)


def _found(bench: DuckDBPyConnection, table: str, column: Column) -> tuple[str, str]:
    """As instant_sql, in the format that most of the column is in."""
    text = column.text
    sample = f"(SELECT {text} AS said, {_bare(text)} AS bare FROM {table} WHERE {text} IS NOT NULL LIMIT {_SAMPLE})"
    number = "TRY_CAST(said AS DOUBLE)"
    sizes = [f"count(*) FILTER ({number} >= {low} AND {number} < {high})" for low, high, _, _ in _NUMBERS]
    counts = f"count(*), count(TRY_CAST(said AS TIMESTAMP)), count({_parsed('bare', _WITH_ZONE)}), {', '.join(sizes)}"
    seen, iso, zoned, *sized = bench.execute(f"SELECT {counts} FROM {sample}").fetchall()[0]
    if not seen or iso * 2 >= seen:
        return _iso_sql(text)
    if zoned * 2 >= seen:
        return f"epoch_us({_parsed(_bare(text), _WITH_ZONE)})", "true"
    for (_, _, sql, aware), count in zip(_NUMBERS, sized, strict=True):
        if count * 2 >= seen:
            return sql.format(n=f"TRY_CAST({text} AS DOUBLE)"), aware
    return f"epoch_us({_parsed(_bare(text), _forms(bench, table, column, sample))})", "false"


def _iso_sql(text: str) -> tuple[str, str]:
    aware = f"regexp_matches({text}, ':.*(Z|[+-][0-9]{{2}}:?[0-9]{{2}})$')"
    fixed = f"regexp_replace({text}, ' ?([+-][0-9]{{2}}):?([0-9]{{2}})$', '\\1:\\2')"
    zoned = f"epoch_us(TRY_CAST({fixed} AS TIMESTAMPTZ))"
    return f"CASE WHEN {aware} THEN {zoned} ELSE epoch_us(TRY_CAST({text} AS TIMESTAMP)) END", aware


def _forms(bench: DuckDBPyConnection, table: str, column: Column, sample: str) -> tuple[str, ...]:
    """Day first or month first: the column has to show which, somewhere. Those that were seen are tried first."""
    families = {form: family for family in (_DAY_FIRST, _MONTH_FIRST, _YEAR_FIRST) for form in family}
    hits = ", ".join(f"count({_parsed('bare', [form])})" for form in families)
    counts = bench.execute(f"SELECT {hits} FROM {sample}").fetchall()[0]
    seen = [form for form, count in zip(families, counts, strict=True) if count]
    if not seen:
        raise BadInput(f"column {column.label!r}: no date could be read; {_ADVICE}")
    day, month = ([form for form in seen if families[form] is family] for family in (_DAY_FIRST, _MONTH_FIRST))
    chosen = _YEAR_FIRST
    if day or month:
        chosen = _MONTH_FIRST if _month_first(bench, table, column, day, month) else _DAY_FIRST
    return (*(form for form in seen if families[form] is chosen), *(form for form in chosen if form not in seen))


def _month_first(
    bench: DuckDBPyConnection, table: str, column: Column, day: Sequence[str], month: Sequence[str]
) -> bool:
    bare = _bare(column.text)
    query = f"""
        SELECT count(*) FILTER (d IS NOT NULL AND m IS NULL), count(*) FILTER (m IS NOT NULL AND d IS NULL),
            count(*) FILTER (d IS NOT NULL AND m IS NOT NULL AND d != m),
            min(line) FILTER (d IS NULL AND m IS NOT NULL), min(line) FILTER (m IS NULL AND d IS NOT NULL)
        FROM (SELECT line, {_parsed(bare, day)} AS d, {_parsed(bare, month)} AS m FROM {table})
    """
    day_only, month_only, either, month_line, day_line = bench.execute(query).fetchall()[0]
    if day_only and month_only:
        raise BadInput(
            f"column {column.label!r}: mixed date formats, day first in line {day_line}, month first in "
            f"line {month_line}; {_ADVICE}"
        )
    if either and not day_only and not month_only:
        raise BadInput(f"column {column.label!r}: day and month cannot be told apart in any line; {_ADVICE}")
    return month_only > day_only


def _bare(text: str) -> str:
    """Without commas, and without the name that browsers put behind an offset."""
    return f"regexp_replace(replace({text}, ',', ''), ' *[(].*[)]$', '')"


def _parsed(text: str, forms: Sequence[str]) -> str:
    return f"TRY_STRPTIME({text}, [{', '.join(map(literal, forms))}])" if forms else "CAST(NULL AS TIMESTAMP)"
