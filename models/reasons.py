"""Why a product is recommended, in plain words."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from histories.compiled import compiled
from histories.history import Catalog
from models.candidates import NAMES, Evidence
from models.item_links import strongest_source

POPULAR = "popular now"
SIMILAR = "popular with similar customers"
CLEAR_LINK = 0.05  # share of a product's baskets that hold the partner, for "goes with"
_ORDERS, _GAP, _SINCE = (NAMES.index(name) for name in ("own_orders", "own_gap_days", "own_days_since"))
_LIFT = NAMES.index("near_lift")


def bought_reason(row: NDArray[np.float32]) -> str:
    """For a product bought before, from its row of features."""
    orders, days = int(row[_ORDERS]), round(float(row[_SINCE]))
    if orders > 1:
        return f"bought {orders} times, every {_days(round(float(row[_GAP])))}"
    return f"bought once, {_days(days)} ago" if days > 0 else "bought once, today"


def _days(number: int) -> str:
    return f"{max(number, 1)} day" + ("s" if number > 1 else "")


def link_reason(code: int, catalog: Catalog) -> str:
    return f"goes with {catalog.name[code] or catalog.product_id[code]}"


def new_reason(row: NDArray[np.float32]) -> str:
    return SIMILAR if row[_LIFT] > 0 else POPULAR


@compiled
def clear_sources(products, sources, evidence, least):  # type: ignore[no-untyped-def]
    """For each product the one of `sources` it goes with, -1 where none is clear (share below `least`)."""
    found = np.full(len(products), -1, np.int64)
    for at in range(len(products)):
        source, share = strongest_source(products[at], sources, evidence.together)
        later, later_share = strongest_source(products[at], sources, evidence.after)
        if later_share > share:
            source, share = later, later_share
        if share >= least:
            found[at] = source
    return found


def sources_of(products: NDArray[np.int32], sources: NDArray[np.int32], evidence: Evidence) -> NDArray[np.int64]:
    return clear_sources(products, sources, evidence, np.float32(CLEAR_LINK))
