"""Part of a history: some of its customers."""

from __future__ import annotations

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


def _pick(table: Table, customers: NDArray[np.intp]) -> Table:
    begin, sizes = table.offsets[customers], np.diff(table.offsets)[customers]
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    rows = np.arange(offsets[-1]) + np.repeat(begin - offsets[:-1], sizes)
    columns = {field.name: getattr(table, field.name)[rows] for field in fields(table) if field.name != "offsets"}
    return replace(table, offsets=offsets, **columns)
