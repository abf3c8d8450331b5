"""Why a product is recommended, in plain words."""

from __future__ import annotations

from functools import lru_cache

from histories.history import Catalog

POPULAR_NOW = "popular now"
SIMILAR = "popular with similar customers"


@lru_cache(maxsize=10_000)
def bought_reason(orders: int, gap: int, days: int) -> str:
    """For a product bought before: in how many orders, days between them (of several), days since the last."""
    if orders > 1:
        return f"bought {orders} times, every {_days(gap)}"
    return f"bought once, {_days(days)} ago" if days > 0 else "bought once, today"


def _days(number: int) -> str:
    return f"{max(number, 1)} day" + ("s" if number > 1 else "")


def link_reason(code: int, catalog: Catalog) -> str:
    return f"goes with {_name(code, catalog)}"


def dearer_reason(code: int, catalog: Catalog) -> str:
    return f"dearer alternative to {_name(code, catalog)}"


def _name(code: int, catalog: Catalog) -> str:
    return str(catalog.name[code] or catalog.product_id[code])
