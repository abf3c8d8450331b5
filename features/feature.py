"""What a column of the feature row is called, counts and means."""

from __future__ import annotations

from typing import NamedTuple


class Feature(NamedTuple):
    name: str
    unit: str
    meaning: str
    family: str


def family(name: str, *columns: tuple[str, str, str]) -> tuple[Feature, ...]:
    """Features of one family from (name, unit, meaning)."""
    return tuple(Feature(*column, name) for column in columns)
