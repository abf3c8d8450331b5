"""Order lines and events on their way into the store: one meaning of money, returns and identity for every path."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from histories.clock import DAY, local_time
from histories.identity import line_ids, text_codes

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class LineBatch:
    """Lines of whole customers, in the order of their file; customer, product and channel are store codes."""

    customer: Ints
    occurred_at: Ints
    recorded_at: Ints
    order_id: pa.Array
    product_id: pa.Array
    product: Ints
    channel: Ints
    quantity: Floats  # nan where the file does not say
    unit_price: Floats  # nan where only an amount is known
    amount: Floats  # used where unit_price is nan
    discount: Floats
    given: pa.Array  # ids of the shop, null without one

    def rows(self) -> Iterator[tuple]:
        """Rows of the table `lines`."""
        numbers = (self.quantity, self.amount)
        line_id = line_ids(self.customer, self.occurred_at, (self.order_id, self.product_id), numbers, self.given)
        columns = (self.customer, self.occurred_at, line_id, np.maximum(self.recorded_at, self.occurred_at))
        codes = (self.product, self.channel)
        money = (self.quantity, self.unit_price, self.amount, self.discount)
        lists = [column.tolist() for column in columns]
        lists += [self.order_id.to_pylist(), *(code.tolist() for code in codes), *map(_nullable, money)]
        return zip(*lists, strict=True)

    @property
    def purchases(self) -> NDArray[np.bool_]:
        return (self.quantity > 0) & (np.isnan(self.unit_price) | (self.unit_price > 0))

    def orders(self, zone: str) -> int:
        """Distinct orders with a purchase; without an order id a shop-local day of a customer is one."""
        order = text_codes(self.order_id)
        key = np.where(order < 0, -1 - local_time(self.occurred_at, zone) // DAY, order)
        return len(np.unique((self.customer * (1 << 32) + key)[self.purchases]))


def with_money(batch: LineBatch) -> LineBatch:
    """Quantity and amount of every line: a negative amount or quantity is a return, in both columns.

    Without a quantity a line is one piece; without price and amount it is a purchase of unknown (zero) spend.
    """
    amount = np.nan_to_num(batch.amount)
    quantity = np.where(np.isnan(batch.quantity), np.where(amount < 0, -1.0, 1.0), batch.quantity)
    priced = ~np.isnan(batch.unit_price)
    back = ~priced & ((amount < 0) | (quantity < 0))
    quantity = np.where(back, -np.abs(quantity), quantity)
    amount = np.where(priced, quantity * np.nan_to_num(batch.unit_price), np.where(back, -np.abs(amount), amount))
    return replace(batch, quantity=quantity, amount=amount, discount=np.abs(np.nan_to_num(batch.discount)))


@dataclass(frozen=True, slots=True)
class EventBatch:
    """Events of whole customers; all codes are the store's."""

    customer: Ints
    occurred_at: Ints
    recorded_at: Ints
    kind: Ints
    product_id: pa.Array
    product: Ints
    channel: Ints
    campaign: Ints
    value: Floats
    given: pa.Array
    kind_name: pa.Array

    def rows(self) -> Iterator[tuple]:
        """Rows of the table `events`."""
        texts = (self.kind_name, self.product_id)
        event_id = line_ids(self.customer, self.occurred_at, texts, (self.value,), self.given)
        recorded = np.maximum(self.recorded_at, self.occurred_at)
        codes = (self.kind, self.product, self.channel, self.campaign)
        columns = (self.customer, self.occurred_at, event_id, recorded, *codes)
        return zip(*(column.tolist() for column in columns), _nullable(self.value), strict=True)


def _nullable(numbers: Floats) -> list[float | None]:
    """None for nan: PostgreSQL would keep it as a number."""
    unknown = np.isnan(numbers)
    listed: list[float | None] = numbers.tolist()
    for place in np.flatnonzero(unknown).tolist() if unknown.any() else ():
        listed[place] = None
    return listed
