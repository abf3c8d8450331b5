"""A history: what a shop knows of its customers, as columns sorted by (customer, time)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, get_type_hints

import numpy as np
from numpy.typing import NDArray

# What a line is. Cleaning decides it once; everything after reads only this code.
PURCHASE: Final = 1  # quantity > 0 and price > 0 (or a file that holds only amounts)
RETURN: Final = -1  # quantity < 0
FREE: Final = 0  # quantity > 0 and price = 0: kept, never counted

NEVER: Final = np.iinfo(np.int64).max
NO_CODE: Final = -1

# Kinds beyond these share the last place, so that the columns of a feature row never depend on the data.
EVENT_KINDS: Final = ("view", "cart", "wishlist", "search", "email_open", "email_click", "support_ticket", "other")


@dataclass(frozen=True, slots=True)
class Lines:
    """Order lines, sorted by (customer, occurred_at); customer i owns rows offsets[i]:offsets[i + 1].

    All instants are microseconds since 1970 in UTC. `voided_at` is the instant from which a line is known
    to be void (an equal and opposite line of the same customer, product and shop-local day exists), for
    both lines of the pair; NEVER otherwise.
    """

    offsets: NDArray[np.int64]  # (customers + 1,)
    occurred_at: NDArray[np.int64]
    recorded_at: NDArray[np.int64]  # never before occurred_at
    voided_at: NDArray[np.int64]
    local_day: NDArray[np.int32]  # days since 1970-01-01 in the shop's zone
    local_hour: NDArray[np.int8]  # 0..23 in the shop's zone
    kind: NDArray[np.int8]  # PURCHASE, RETURN or FREE
    product: NDArray[np.int32]  # code in the catalog, NO_CODE without one
    quantity: NDArray[np.float64]  # negative for returns
    amount: NDArray[np.float64]  # quantity * unit_price in shop currency, negative for returns
    discount: NDArray[np.float64]  # line amount already taken off inside unit_price, >= 0
    channel: NDArray[np.int16]  # code in History.channels, NO_CODE without one


@dataclass(frozen=True, slots=True)
class Events:
    """What customers did besides ordering, owned like Lines, sorted by (customer, occurred_at, kind, recorded_at)."""

    offsets: NDArray[np.int64]
    occurred_at: NDArray[np.int64]
    recorded_at: NDArray[np.int64]
    kind: NDArray[np.int8]  # code in EVENT_KINDS


@dataclass(frozen=True, slots=True)
class Catalog:
    """Products by code: position in every array is the code that lines carry."""

    product_id: NDArray[np.object_]
    name: NDArray[np.object_]  # "" where unknown
    category: NDArray[np.int32]  # code in categories, NO_CODE without one
    categories: tuple[str, ...]
    price: NDArray[np.float64]  # list price, else the latest paid; nan where unknown
    in_stock: NDArray[np.bool_]
    sellable: NDArray[np.bool_]  # False: postage, fees, manual entries, samples; money, never recommended
    code_of: Mapping[str, int]

    def __len__(self) -> int:
        return len(self.product_id)


@dataclass(frozen=True, slots=True)
class History:
    """Everything known of some customers of one shop: the start of every prediction."""

    customer_id: NDArray[np.object_]  # (customers,) external ids, in the order of the offsets
    lines: Lines
    events: Events
    attributes: Mapping[str, NDArray]  # by name: float64 (nan = unknown) or object (None = unknown)
    catalog: Catalog
    channels: tuple[str, ...]
    zone: str  # IANA name of the shop's zone
    # By purpose, (customers,): who consents to it. Empty in a history that was not read from a store.
    consent: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.customer_id)


@cache
def column_types(table: Any) -> dict[str, np.dtype]:
    """By name, in order: what the arrays of Lines, Events or another class of annotated arrays hold."""
    return {name: np.dtype(hint.__args__[1].__args__[0]) for name, hint in get_type_hints(table).items()}
