"""Part of a history: some of its customers; and parts put together again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from histories.history import Events, History, Lines

Table = TypeVar("Table", Lines, Events)


def of_customers(history: History, positions: NDArray[np.intp]) -> History:
    """The history of the customers at those positions, in that order."""
    return replace(
        history,
        customer_id=history.customer_id[positions],
        lines=_pick(history.lines, positions),
        events=_pick(history.events, positions),
        attributes={name: values[positions] for name, values in history.attributes.items()},
        consent={purpose: given[positions] for purpose, given in history.consent.items()},
    )


def joined(parts: Sequence[History]) -> History:
    """One history of the customers of several of one shop, in their order."""
    first = parts[0]
    return replace(
        first,
        customer_id=np.concatenate([part.customer_id for part in parts]),
        lines=_stacked([part.lines for part in parts]),
        events=_stacked([part.events for part in parts]),
        attributes={name: np.concatenate([part.attributes[name] for part in parts]) for name in first.attributes},
        consent={purpose: np.concatenate([part.consent[purpose] for part in parts]) for purpose in first.consent},
    )


def _stacked(tables: Sequence[Table]) -> Table:
    sizes = np.concatenate([np.diff(table.offsets) for table in tables])
    names = [field.name for field in fields(tables[0]) if field.name != "offsets"]
    columns = {name: np.concatenate([getattr(table, name) for table in tables]) for name in names}
    return replace(tables[0], offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64), **columns)


def _pick(table: Table, customers: NDArray[np.intp]) -> Table:
    begin, sizes = table.offsets[customers], np.diff(table.offsets)[customers]
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    rows = np.arange(offsets[-1]) + np.repeat(begin - offsets[:-1], sizes)
    columns = {field.name: getattr(table, field.name)[rows] for field in fields(table) if field.name != "offsets"}
    return replace(table, offsets=offsets, **columns)
