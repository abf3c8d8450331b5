"""What the made-up customers do besides ordering: views, carts, newsletters opened, tickets before they leave."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.assortment import pick_in_category
from simulator.people import People, draw_rows
from simulator.purchases import Basket, Orders

KINDS = ("view", "cart", "email_open", "support_ticket")
_VIEW, _CART, _OPEN, _TICKET = range(len(KINDS))
_NEWSLETTER_DAYS = 14
_BROWSING = 0.4  # visits without an order, per order
_TROUBLE = 0.35  # share of the lost who complained first
_TICKETS_PER_DAY = 1 / 400
_MINUTE = 1 / 1440  # days


@dataclass(frozen=True, slots=True)
class Doings:
    """Events, sorted by (customer, time)."""

    customer: NDArray[np.int64]
    kind: NDArray[np.int64]  # code in KINDS
    at: NDArray[np.float64]  # days since 1970-01-01 UTC
    product: NDArray[np.int64]  # -1 without one

    def __len__(self) -> int:
        return len(self.customer)

    def __getitem__(self, rows: NDArray) -> Doings:
        return Doings(*(getattr(self, name)[rows] for name in self.__slots__))


def follow(rng: np.random.Generator, people: People, orders: Orders, basket: Basket, until: int) -> Doings:
    """All events before day `until`."""
    parts = [
        _before_orders(rng, orders, basket, _VIEW, 0.30, 120 * _MINUTE),
        _before_orders(rng, orders, basket, _CART, 0.20, 10 * _MINUTE),
        _browsing(rng, people, orders),
        _newsletters(rng, people, until),
        _tickets(rng, people, until),
    ]
    joined = Doings(*(np.concatenate([getattr(part, name) for part in parts]) for name in Doings.__slots__))
    return joined[np.lexsort((joined.product, joined.kind, joined.at, joined.customer))]


def _before_orders(
    rng: np.random.Generator, orders: Orders, basket: Basket, kind: int, share: float, within: float
) -> Doings:
    line = np.flatnonzero(rng.random(len(basket)) < share)
    order = basket.order[line]
    at = orders.at[order] - rng.uniform(0, within, len(line))
    return Doings(orders.customer[order], np.full(len(line), kind), at, basket.product[line])


def _browsing(rng: np.random.Generator, people: People, orders: Orders) -> Doings:
    """Visits around the customer's orders that ended without one."""
    order = np.flatnonzero(rng.random(len(orders)) < _BROWSING)
    customer = orders.customer[order]
    product = pick_in_category(rng, draw_rows(rng, people.taste[customer]))
    at = orders.at[order] + rng.exponential(8.0, len(order))
    return Doings(customer, np.full(len(order), _VIEW), at, product)


def _newsletters(rng: np.random.Generator, people: People, until: int) -> Doings:
    """Opened every other week with the customer's own chance while alive, hardly ever after."""
    start = int(people.acquired.min())
    sent = np.arange(start - start % _NEWSLETTER_DAYS, until, _NEWSLETTER_DAYS, dtype=np.float64)
    alive = sent[None, :] < people.dropout[:, None]
    chance = people.opens[:, None] * np.where(alive, 1.0, 0.15) * (sent[None, :] > people.acquired[:, None])
    customer, mail = np.nonzero(rng.random(chance.shape) < chance)
    at = sent[mail] + rng.gamma(1.0, 0.3, len(mail)) + 0.3
    return Doings(customer, np.full(len(customer), _OPEN), at, np.full(len(customer), -1))


def _tickets(rng: np.random.Generator, people: People, until: int) -> Doings:
    """Now and then from anybody, and a few in the weeks before a customer is lost in anger."""
    alive = np.maximum(np.minimum(people.dropout, until) - people.acquired, 0)
    usual = np.repeat(np.arange(len(people)), rng.poisson(alive * _TICKETS_PER_DAY))
    angry = np.flatnonzero((rng.random(len(people)) < _TROUBLE) & (people.dropout < until))
    angry = np.repeat(angry, rng.integers(1, 4, len(angry)))
    before = np.minimum(rng.uniform(0, 40, len(angry)), alive[angry])
    customer = np.concatenate([usual, angry])
    some_day = people.acquired[usual] + rng.random(len(usual)) * alive[usual]
    at = np.concatenate([some_day, people.dropout[angry] - before])
    return Doings(customer, np.full(len(customer), _TICKET), at, np.full(len(customer), -1))
