"""Rows of the store, in any order, become the sorted arrays of a History."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from histories.clock import DAY, HOUR, local_time
from histories.compiled import compiled, piece
from histories.history import FREE, NEVER, PURCHASE, RETURN, Events, Lines

Columns = Mapping[str, NDArray]


def sorted_lines(rows: Columns, customers: int, zone: str) -> Lines:
    """Lines of `customers` customers from parallel columns.

    `rows` holds customer (position 0..customers-1), line_id (int64, breaks ties of time), occurred_at and
    recorded_at (us, UTC), product and channel (codes), quantity, unit_price (nan where
    only an amount is known), amount, discount.
    """
    by = np.lexsort((rows["line_id"], rows["occurred_at"], rows["customer"]))
    column = {name: values[by] for name, values in rows.items()}
    local = local_time(column["occurred_at"], zone)
    day = (local // DAY).astype(np.int32)
    offsets = _offsets(column["customer"], customers)
    recorded_at = np.maximum(column["recorded_at"], column["occurred_at"])
    kind = _kinds(column["quantity"], column["unit_price"])
    return Lines(
        offsets=offsets,
        occurred_at=column["occurred_at"],
        recorded_at=recorded_at,
        voided_at=_voided_at(offsets, day, recorded_at, kind, column["product"], column["amount"]),
        local_day=day,
        local_hour=(local % DAY // HOUR).astype(np.int8),
        kind=kind,
        product=column["product"].astype(np.int32, copy=False),
        quantity=column["quantity"],
        amount=column["amount"],
        discount=column["discount"],
        channel=column["channel"].astype(np.int16, copy=False),
    )


def sorted_events(rows: Columns, customers: int) -> Events:
    """Events from parallel columns customer, occurred_at, recorded_at, kind (see Events)."""
    recorded_at = np.maximum(rows["recorded_at"], rows["occurred_at"])
    by = np.lexsort((recorded_at, rows["kind"], rows["occurred_at"], rows["customer"]))
    column = {name: values[by] for name, values in rows.items()}
    return Events(
        offsets=_offsets(column["customer"], customers),
        occurred_at=column["occurred_at"],
        recorded_at=recorded_at[by],
        kind=column["kind"].astype(np.int8, copy=False),
    )


def _offsets(customer: NDArray, customers: int) -> NDArray[np.int64]:
    return np.searchsorted(customer, np.arange(customers + 1)).astype(np.int64)


def _kinds(quantity: NDArray, unit_price: NDArray) -> NDArray[np.int8]:
    paid = (quantity > 0) & ~(unit_price <= 0)  # an unknown price (nan) is an amount-only file: every line counts
    return np.where(quantity < 0, RETURN, np.where(paid, PURCHASE, FREE)).astype(np.int8)


@compiled
def _match_voids(offsets, day, recorded_at, kind, product, amount, voided_at):  # type: ignore[no-untyped-def]
    match_voids(offsets, day, recorded_at, kind, product, amount, voided_at)


@piece
def match_voids(offsets, day, recorded_at, kind, product, amount, voided_at):  # type: ignore[no-untyped-def]
    for customer in range(len(offsets) - 1):
        for back in range(offsets[customer], offsets[customer + 1]):
            if kind[back] != RETURN or product[back] < 0:
                continue
            for line in range(back - 1, offsets[customer] - 1, -1):
                if day[line] != day[back]:
                    break
                pair = kind[line] == PURCHASE and product[line] == product[back] and amount[line] == -amount[back]
                if pair and voided_at[line] == NEVER:
                    known = max(recorded_at[line], recorded_at[back])
                    voided_at[line] = known
                    voided_at[back] = known
                    break


def _voided_at(
    offsets: NDArray, day: NDArray, recorded_at: NDArray, kind: NDArray, product: NDArray, amount: NDArray
) -> NDArray[np.int64]:
    """When each line is known to be void: pairs each return with the latest equal purchase before it that day."""
    voided_at = np.full(len(day), NEVER, dtype=np.int64)
    if (kind == RETURN).any():
        _match_voids(offsets, day, recorded_at, kind, product, amount, voided_at)
    return voided_at
