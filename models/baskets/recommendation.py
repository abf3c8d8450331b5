"""What is wanted of the ranker, and what it answers: in the catalog's codes, with reasons in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np

from models.baskets.candidates import MIXED, NONE, ONLY, Shelf, Wish
from models.baskets.catalog_index import Numbering
from models.baskets.ranking import BOUGHT, LINKED, NEAR, Ranked
from models.baskets.reasons import POPULAR_NOW, SIMILAR, bought_reason, dearer_reason, link_reason

Repeat = Literal["mixed", "only", "none"]
_REPEAT: Final = {"mixed": MIXED, "only": ONLY, "none": NONE}


class Want(NamedTuple):
    """Products are codes in the catalog asked with; see NextPurchase.recommend."""

    k: int = 10
    basket: tuple[int, ...] = ()
    exclude: tuple[int, ...] = ()
    in_stock_only: bool = True
    repeat: Repeat = "mixed"
    upsell: bool = False


class Recommendation(NamedTuple):
    product: int  # code in the catalog asked with
    score: float  # probability that the customer's next basket holds it
    reason: str


@dataclass(frozen=True, slots=True)
class Call:
    """A want in the ranker's own numbering of the products."""

    shelf: Numbering
    goods: Shelf
    wish: Wish
    upsell: bool

    @classmethod
    def of(cls, shelf: Numbering, want: Want) -> Call:
        goods = shelf.goods(want.in_stock_only, (*want.exclude, *want.basket))
        return cls(shelf, goods, Wish(want.k, _REPEAT[want.repeat], shelf.indices(want.basket)), want.upsell)

    @property
    def sold(self) -> Shelf:
        return self.shelf.dearer(self.goods, self.wish.cart) if self.upsell else self.goods

    def named(self, ranked: Ranked) -> list[list[Recommendation]]:
        """In the catalog's codes, with reasons in words."""
        if not len(self.shelf.code_of):
            return [[] for _ in ranked.product]
        code = np.where(ranked.product >= 0, self.shelf.code_of[ranked.product], -1)
        rows = zip(code.tolist(), *(column.tolist() for column in ranked), strict=True)
        return [
            [Recommendation(each[0], each[2], self._reason(*each)) for each in zip(*row, strict=True) if each[0] >= 0]
            for row in rows
        ]

    def _reason(
        self,
        code: int,
        product: int,
        score: float,
        why: int,
        source: int,
        orders: int,
        gap: int,
        since: int,
    ) -> str:
        if self.upsell:
            return dearer_reason(self.shelf.code_of[self.shelf.cheaper_in(self.wish.cart, product)], self.shelf.catalog)
        if why == BOUGHT:
            return bought_reason(orders, gap, since)
        if why == LINKED and self.shelf.code_of[source] >= 0:
            return link_reason(self.shelf.code_of[source], self.shelf.catalog)
        return SIMILAR if why == NEAR else POPULAR_NOW
