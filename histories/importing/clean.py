"""Raw columns as text and ids by SQL over the whole table, and the checks that turn a line away."""

from __future__ import annotations

from dataclasses import dataclass

from histories.identity import BLANKS
from histories.importing.files import quoted

# What databases and data frames write where there is nothing.
_NOTHING = r"('', 'nan', 'NaN', 'NaT', 'null', 'NULL', 'None', '<NA>', 'N/A', '#N/A', '\N')"
_BLANKS_SQL = " || ".join(f"chr({ord(blank)})" for blank in BLANKS)


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the mapped table: its name there, what the file calls it, its type."""

    name: str
    label: str
    type: str

    @property
    def text(self) -> str:
        """The value as trimmed text; null where there is none. Text is tidy in a mapped table already."""
        if self.type == "VARCHAR":
            return quoted(self.name)
        if self.type in ("INTEGER", "BIGINT", "SMALLINT", "TINYINT", "UINTEGER", "UBIGINT", "HUGEINT"):
            return f"CAST({quoted(self.name)} AS VARCHAR)"
        return filled_sql(trimmed_sql(quoted(self.name)))

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


def trimmed_sql(value: str) -> str:
    """Text without blanks around it."""
    return f"trim(CAST({value} AS VARCHAR), {_BLANKS_SQL})"


def filled_sql(text: str) -> str:
    """Null where a text says that there is nothing."""
    return f"CASE WHEN {text} IN {_NOTHING} THEN NULL ELSE {text} END"


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
