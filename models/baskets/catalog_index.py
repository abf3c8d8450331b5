"""A catalog's products in the model's numbering, which outlives any one catalog's codes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from features.baskets import visible_baskets
from histories.history import Catalog, History
from models.baskets.candidates import Shelf

_NONE: Final = np.empty(0, dtype=np.int32)


@dataclass(frozen=True, slots=True)
class Numbering:
    """The model's own products are 0..items-1, the catalog's others follow; unsellable ones have none (-1)."""

    catalog: Catalog
    index_of: NDArray[np.int32]  # by code
    code_of: NDArray[np.int32]  # by index; -1 for a product that the catalog does not have
    category: NDArray[np.int32]  # by index
    price: NDArray[np.float64]  # by index; nan where unknown
    hidden: NDArray[np.bool_]  # by index: not in the catalog, or not sellable
    sold_out: NDArray[np.bool_]  # hidden, or not in stock

    def goods(self, in_stock_only: bool, exclude: Iterable[int]) -> Shelf:
        blocked = self.sold_out if in_stock_only else self.hidden
        out = self.indices(exclude)
        if len(out):
            blocked = blocked.copy()
            blocked[out] = True
        return Shelf(self.category, len(self.catalog.categories), blocked)

    def dearer(self, goods: Shelf, cart: NDArray[np.int32]) -> Shelf:
        """Of the goods only those that cost more than a product of the cart in their category."""
        wanted = np.zeros(len(goods.blocked), dtype=np.bool_)
        for item in cart:
            wanted |= self._above(item) & (self.category >= 0)
        return goods._replace(blocked=goods.blocked | ~wanted)

    def cheaper_in(self, cart: NDArray[np.int32], product: int) -> int:
        """The dearest product of the cart to which this one is a dearer alternative; -1 for none."""
        found = [item for item in cart.tolist() if self._above(item)[product]]
        return max(found, key=lambda item: float(self.price[item]), default=-1)

    def _above(self, item: int) -> NDArray[np.bool_]:
        return (self.category == self.category[item]) & (self.price > self.price[item])

    def indices(self, codes: Iterable[int]) -> NDArray[np.int32]:
        """Of those codes that the catalog has and the shop sells."""
        found = [self.index_of[code] for code in codes if 0 <= code < len(self.index_of)]
        return np.array([index for index in found if index >= 0], dtype=np.int32) if found else _NONE


def vocabulary(history: History, as_of: int) -> tuple[str, ...]:
    """Ids of the sellable products with a purchase known at `as_of` (inclusive)."""
    catalog = history.catalog
    codes = np.where(catalog.sellable, np.arange(len(catalog)), -1).astype(np.int32)
    bought = np.unique(visible_baskets(history.lines, as_of, codes).item)
    return tuple(str(catalog.product_id[code]) for code in bought)


def number(catalog: Catalog, products: tuple[str, ...], before: Numbering | None = None) -> Numbering:
    """Products by id, so that codes may have changed since the model was fitted.

    `before` is a numbering of the same products: if its catalog has the same codes, only stock and prices are new.
    """
    if before is not None and np.array_equal(before.catalog.product_id, catalog.product_id):
        return _numbering(catalog, before.code_of)
    known = np.array([catalog.code_of.get(product, -1) for product in products], dtype=np.int32)
    new = np.ones(len(catalog), dtype=bool)
    new[known[known >= 0]] = False
    return _numbering(catalog, np.concatenate([known, np.flatnonzero(new)]).astype(np.int32))


def _numbering(catalog: Catalog, code_of: NDArray[np.int32]) -> Numbering:
    there = code_of >= 0
    index_of = np.full(len(catalog), -1, dtype=np.int32)
    index_of[code_of[there]] = np.flatnonzero(there)
    index_of[~catalog.sellable] = -1
    hidden, sold_out = ~there, ~there
    category = np.full(len(code_of), -1, dtype=np.int32)
    category[there] = catalog.category[code_of[there]]
    price = np.full(len(code_of), np.nan)
    price[there] = catalog.price[code_of[there]]
    hidden[there] |= ~catalog.sellable[code_of[there]]
    sold_out = hidden.copy()
    sold_out[there] |= ~catalog.in_stock[code_of[there]]
    return Numbering(catalog, index_of, code_of, category, price, hidden, sold_out)
