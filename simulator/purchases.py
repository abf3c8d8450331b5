"""When the made-up customers order, and what is in their baskets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.assortment import CATEGORIES, PER_CATEGORY, Assortment, category_season, pick_in_category
from simulator.people import FAVOURITES, People, draw_rows

_CHRISTMAS, _CHRISTMAS_SPREAD = 340, 12.0  # day of the year around which gifts are bought, days
_YEARLY = 0.15
_WEEKDAY = np.array([1.05, 1.0, 0.95, 1.0, 1.1, 0.9, 1.1])  # Monday first
_CYCLE_SHAPE = 14.0  # regularity of replenishment gaps: a coefficient of variation of 0.27
_COMPLEMENT = 0.16
_INFLATION = 0.03  # per year


@dataclass(frozen=True, slots=True)
class Orders:
    """Orders sorted by (customer, time)."""

    customer: NDArray[np.int64]
    at: NDArray[np.float64]  # days since 1970-01-01 UTC, the time of day as fraction
    staple: NDArray[np.bool_]  # a replenishment
    number: NDArray[np.int64]  # 0, 1, ... within the customer

    def __len__(self) -> int:
        return len(self.at)


@dataclass(frozen=True, slots=True)
class Basket:
    """Order lines, sorted like their orders."""

    order: NDArray[np.int64]  # position in Orders
    product: NDArray[np.int64]
    quantity: NDArray[np.float64]
    unit_price: NDArray[np.float64]
    discount: NDArray[np.float64]  # already taken off inside unit_price, for the whole line

    def __len__(self) -> int:
        return len(self.order)


def season(day: NDArray[np.float64], christmas: NDArray[np.float64]) -> NDArray[np.float64]:
    """Times the usual rate at which orders come on a day (since 1970-01-01, a Thursday)."""
    from_christmas = (day - _CHRISTMAS + 182.6) % 365.2425 - 182.6
    peak = np.exp(-0.5 * (from_christmas / _CHRISTMAS_SPREAD) ** 2)
    yearly = 1 + _YEARLY * np.cos(2 * np.pi * from_christmas / 365.2425)
    return yearly * _WEEKDAY[(np.floor(day).astype(np.int64) + 3) % 7] * (1 + christmas * peak)


def place_orders(rng: np.random.Generator, people: People, until: int) -> Orders:
    """All orders before day `until`: the first one, spontaneous ones and replenishments."""
    start, spontaneous = np.arange(len(people)), _spontaneous(rng, people, until)
    cyclic = _replenishments(rng, people, until)
    customer = np.concatenate([start, spontaneous[0], cyclic[0]])
    day = np.concatenate([people.acquired, spontaneous[1], cyclic[1]])
    staple = np.arange(len(customer)) >= len(start) + len(spontaneous[0])
    at = np.floor(day) + rng.normal(people.hour[customer], 2.2).clip(0.1, 23.8) / 24
    by = np.lexsort((at, customer))
    customer = customer[by]
    number = np.arange(len(customer)) - np.searchsorted(customer, start)[customer]
    return Orders(customer, at[by], staple[by], number)


def _spontaneous(rng: np.random.Generator, people: People, until: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """A Poisson process with seasonal rate until dropout, by thinning."""
    peak = (1 + _YEARLY) * _WEEKDAY.max() * (1 + people.christmas)
    alive = np.maximum(np.minimum(people.dropout, until) - people.acquired, 0)
    customer = np.repeat(np.arange(len(people)), rng.poisson(people.rate * peak * alive))
    day = people.acquired[customer] + rng.random(len(customer)) * alive[customer]
    kept = rng.random(len(customer)) * peak[customer] < season(day, people.christmas[customer])
    return customer[kept], day[kept]


def _replenishments(
    rng: np.random.Generator, people: People, until: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Orders in steady, gamma-distributed gaps for those who have a cycle."""
    some = np.flatnonzero(np.isfinite(people.cycle))
    most = int((until - people.acquired.min()) / 10) + 1  # no cycle is as short as ten days
    gaps = rng.gamma(_CYCLE_SHAPE, 1 / _CYCLE_SHAPE, (len(some), most)) * people.cycle[some, None]
    at = people.acquired[some, None] + np.cumsum(gaps, axis=1)
    row, place = np.nonzero(at < np.minimum(people.dropout[some], until)[:, None])
    return some[row], at[row, place]


def fill_baskets(rng: np.random.Generator, people: People, shop: Assortment, orders: Orders) -> Basket:
    """Favourites, other products by taste and season, the staple, and now and then a complement."""
    size = 1 + rng.poisson(np.maximum(people.basket[orders.customer] - 1, 0.2))
    order = np.repeat(np.arange(len(orders)), size)
    owner, at = orders.customer[order], orders.at[order]
    weights = people.taste[owner] * category_season(at)
    product = pick_in_category(rng, draw_rows(rng, weights))
    liked = np.minimum(rng.geometric(0.28, len(order)) - 1, FAVOURITES - 1)
    product = np.where(rng.random(len(order)) < people.repeat[owner], people.favourites[owner, liked], product)
    first_line = np.concatenate([[True], order[1:] != order[:-1]]) if len(order) else np.zeros(0, dtype=bool)
    product = np.where(first_line & orders.staple[order], people.staple[owner], product)
    order, product = _with_complements(rng, shop, order, product)
    product = np.where(shop.launch[product] > orders.at[order], _predecessor(shop)[product], product)
    order, product = np.divmod(np.unique(order * len(shop) + product), len(shop))
    return _priced(rng, people, shop, orders, order, product)


def _with_complements(
    rng: np.random.Generator, shop: Assortment, order: NDArray[np.int64], product: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    along = rng.random(len(order)) < _COMPLEMENT
    return np.concatenate([order, order[along]]), np.concatenate([product, shop.complement[product[along]]])


def _predecessor(shop: Assortment) -> NDArray[np.int64]:
    """The product of the same category bought before a later one was launched."""
    product = np.arange(len(shop))
    there = shop.launch == shop.launch.min()
    best = there.reshape(-1, PER_CATEGORY).argmax(axis=1) + np.arange(0, len(shop), PER_CATEGORY)
    return np.where(there, product, best[product // PER_CATEGORY])


def _priced(
    rng: np.random.Generator,
    people: People,
    shop: Assortment,
    orders: Orders,
    order: NDArray[np.int64],
    product: NDArray[np.int64],
) -> Basket:
    at, owner, category = orders.at[order], orders.customer[order], product // PER_CATEGORY
    consumable = np.array([c.consumable for c in CATEGORIES])[category]
    quantity = rng.geometric(np.where(consumable, 0.6, 0.8)).astype(np.float64)
    coupon = np.where(rng.random(len(order)) < people.deals[owner], 0.1, 0.0)
    week = (at // 7).astype(np.int64) % shop.promotion.shape[1]
    off = np.maximum(shop.promotion[category, week], coupon)
    full = (shop.price[product] * (1 + _INFLATION * (at - shop.launch.min()) / 365.25)).round(2)
    unit_price = (full * (1 - off)).round(2)
    return Basket(order, product, quantity, unit_price, ((full - unit_price) * quantity).round(2))
