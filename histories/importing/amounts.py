"""Quantities and money as files have them, read by SQL: $1,234.50, 1.234,50 EUR, (12.50), 1 234,50."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from duckdb import DuckDBPyConnection

from histories.errors import BadInput
from histories.importing.clean import Column
from histories.importing.files import literal, quoted

LARGEST: Final = 1e12  # of any quantity or money; beyond it, sums lose cents
Style = Literal["plain", ".", ","]  # as programs write numbers, or as people do: by the sign before the decimals

_BLANKS: Final = "[ '’\\x{00A0}\\x{2009}\\x{202F}]"
_CURRENCY: Final = r"(?:[A-Z]{0,3}\p{Sc}|[A-Z]{3}|kr\.?|zł|Kč|Ft|lei|Fr\.?)"
_AMOUNT: Final = rf"^[(]?[-−+]?{_CURRENCY}?[-−+]?([0-9.,]*[0-9][.,]?){_CURRENCY}?-?[)]?$"
_WRITTEN: Final[Mapping[Style, str]] = {
    ".": r"^(?:[1-9][0-9]{0,2}(?:,[0-9]{3})+(?:\.[0-9]*)?|[0-9]*\.?[0-9]+|[0-9]+\.)$",
    ",": r"^(?:[1-9][0-9]{0,2}(?:\.[0-9]{3})+(?:,[0-9]*)?|[0-9]*,?[0-9]+|[0-9]+,)$",
}


def styles(
    bench: DuckDBPyConnection, table: str, columns: Mapping[str, Column], decimal: str | None
) -> dict[str, Style]:
    """How the numbers of each column are written: as a map says (`decimal`), else found out from all that they hold.

    A column that shows it nowhere (1,234) goes by the others of the file. Raises BadInput where these are silent, too,
    and for amounts in several currencies.
    """
    texts = {name: column for name, column in columns.items() if column.type == "VARCHAR"}
    found: dict[str, Style] = dict.fromkeys(columns, "plain")
    unread = {name: f"count(*) FILTER ({c.text} IS NOT NULL AND {_plain(c)} IS NULL)" for name, c in texts.items()}
    if not texts:
        return found
    counts = dict(zip(unread, _one(bench, table, list(unread.values())), strict=True))
    if decimal == ",":
        return found | dict.fromkeys(texts, ",")
    if not any(counts.values()):
        return found
    shown = {name: _shown(bench, table, column) for name, column in texts.items()}
    whole = sum(shown.values())
    for name, balance in shown.items():
        said = decimal or _said(balance) or _said(whole)
        if counts[name] and said is None:
            _refuse_unclear(bench, table, texts[name])
        if counts[name] or said == ",":
            found[name] = "," if said == "," else "."
    return found


def number_sql(column: Column, style: Style, factor: float = 1.0) -> str:
    """DOUBLE; null where it is no finite number of at most LARGEST."""
    number = f"CAST({quoted(column.name)} AS DOUBLE)"
    if column.type == "VARCHAR":
        number = _plain(column) if style == "plain" else _written(column, style)
    scaled = f"{number} * {factor!r}" if factor != 1.0 else number
    return f"CASE WHEN abs({number}) <= {LARGEST} THEN {scaled} END"


def _plain(column: Column) -> str:
    return f"CASE WHEN contains({column.text}, '_') THEN NULL ELSE TRY_CAST({column.text} AS DOUBLE) END"


def _written(column: Column, style: Style) -> str:
    body, groups = _body(column), "." if style == "," else ","
    number = f"TRY_CAST(replace(replace({body}, '{groups}', ''), ',', '.') AS DOUBLE)"
    sign = f"CASE WHEN regexp_matches({_compact(column)}, '[-−(]') THEN -1 ELSE 1 END"
    read = f"CASE WHEN regexp_matches({body}, '{_WRITTEN[style]}') THEN {sign} * {number} END"
    return f"coalesce({_plain(column)}, {read})" if style == "." else read  # 1e-3, too


def _shown(bench: DuckDBPyConnection, table: str, column: Column) -> int:
    """Values that can only have a decimal point, less those that can only have a decimal comma."""
    point, comma = (f"regexp_matches({_body(column)}, '{_WRITTEN[style]}')" for style in (".", ","))
    sign = f"nullif(regexp_extract({_compact(column)}, '\\p{{Sc}}|[A-Z]{{3}}'), '')"
    only = [f"count(*) FILTER ({point} AND NOT {comma})", f"count(*) FILTER ({comma} AND NOT {point})"]
    points, commas, currencies = _one(bench, table, [*only, f"count(DISTINCT {sign})"])
    if currencies > 1:
        raise BadInput(f"column {column.label!r}: amounts in {currencies} currencies; name them in a column currency")
    return points - commas


def _said(balance: int) -> Style | None:
    return "." if balance > 0 else "," if balance < 0 else None


def _refuse_unclear(bench: DuckDBPyConnection, table: str, column: Column) -> None:
    """Whether 1,234 is a thousand or one: wrong by a factor of a thousand, it would look right."""
    query = f"SELECT min(line) FROM {table} WHERE regexp_matches({_body(column)}, '[.,]')"
    line = bench.execute(query).fetchall()[0][0]
    if line is not None:
        raise BadInput(
            f"column {column.label!r}: decimals and thousands cannot be told apart (line {line}); "
            'set [format] decimal = "." or "," in a column map'
        )


def _compact(column: Column) -> str:
    return f"regexp_replace({column.text}, {literal(_BLANKS)}, '', 'g')"


def _body(column: Column) -> str:
    return f"regexp_extract({_compact(column)}, '{_AMOUNT}', 1)"


def _one(bench: DuckDBPyConnection, table: str, counts: list[str]) -> tuple[int, ...]:
    return bench.execute(f"SELECT {', '.join(counts)} FROM {table}").fetchall()[0]
