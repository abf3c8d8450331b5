"""The part next_purchase: when, and which products, by what customers allow and what is known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, Final

import numpy as np

from histories.clock import local_day
from histories.history import Catalog, History
from service.ask import Ask, Moment
from service.customers import Customers, both, spread
from service.fallbacks import Part
from service.release import Release

LONGEST_WAIT_DAYS: Final = 3_650  # a later date is a way of saying never
_EPOCH: Final = date(1970, 1, 1)
_NO_TIME: Final = (None, None)
Time = tuple[str | None, list[float] | None]  # expected date, probabilities of the next weeks
Products = list[dict[str, Any]]


def next_purchases(
    customers: Customers, release: Release, moment: Moment, ask: Ask, churn: list[Part] | None = None
) -> list[Part]:
    """Timing needs a purchase and consent to prediction; own products, to recommendation, too.

    `churn`: that part of the same answers, where it has been made: the dates lie on the curve that ends there.
    """
    times, own = _times(customers, release, moment, churn), both(customers.known, customers.advised)
    goes_with = any(product in customers.history.catalog.code_of for product in ask.basket)
    popular = _popular(customers.history.catalog, release, ask) if not all(own) else []

    def other(place: int) -> Part:
        if not customers.predicted[place]:
            return _part("withheld", "popularity", _NO_TIME, popular)
        if customers.advised[place] and goes_with:
            return _part("model", None, times[place], popular)
        return _part("fallback", "popularity", times[place], popular)

    chosen = _own_products(customers.only(own), release, moment, ask) if any(own) else []
    whose = [time for time, is_own in zip(times, own, strict=True) if is_own]
    made = (_part("model", None, time, products) for time, products in zip(whose, chosen, strict=True))
    return spread(own, made, other)


def too_late(predicted: list[bool], catalog: Catalog, release: Release, ask: Ask, fallback: str) -> list[Part]:
    """What sells, where there is no time, or no history, for more; `predicted`: who consents to prediction."""
    products = _popular(catalog, release, ask)
    labels = {True: ("fallback", fallback), False: ("withheld", "popularity")}
    return [_part(*labels[allows], _NO_TIME, products) for allows in predicted]


def _part(source: str, fallback: str | None, time: Time, products: Products) -> Part:
    expected_at, weeks = time
    return {
        "source": source,
        "fallback": fallback,
        "expected_at": expected_at,
        "weeks": weeks,
        "products": products,
    }


def _times(customers: Customers, release: Release, moment: Moment, churn: list[Part] | None) -> list[Time]:
    """Of each customer; none where nothing is known or may be said."""
    if release.next_purchase.timing is None or not len(customers.X):
        return [_NO_TIME] * len(customers)
    known = [part for part in churn or () if part["source"] == "model"]
    if len(known) == len(customers.X):
        lapse = np.array([part["probability"] for part in known])
    else:
        lapse = release.churn.predict(release.columns("churn", customers.X), moment.as_of)
    days, weeks = release.next_purchase.when(release.columns("next_purchase", customers.X), moment.as_of, lapse)
    today = local_day(moment.as_of, customers.history.zone)
    made = ((_date_after(today, wait), shares) for wait, shares in zip(days.tolist(), weeks.tolist(), strict=True))
    return [next(made) if is_known else _NO_TIME for is_known in customers.known]


def _own_products(history: History, release: Release, moment: Moment, ask: Ask) -> list[Products]:
    chosen = release.next_purchase.recommend(
        history,
        moment.as_of,
        ask.k,
        live=moment.live,
        basket=_codes(ask.basket, history.catalog),
        exclude=_codes(ask.exclude, history.catalog),
        in_stock_only=ask.in_stock_only,
        repeat=ask.repeat,
        upsell=ask.upsell,
    )
    return [_named(items, history.catalog) for items in chosen]


def _popular(catalog: Catalog, release: Release, ask: Ask) -> Products:
    """What goes with the basket, then what sells: for whom nothing is known or may be used."""
    items = release.next_purchase.popular(
        catalog,
        ask.k,
        basket=_codes(ask.basket, catalog),
        exclude=_codes(ask.exclude, catalog),
        in_stock_only=ask.in_stock_only,
        upsell=ask.upsell,
    )
    return _named(items, catalog)


def _named(items: Sequence[Any], catalog: Catalog) -> Products:
    name = catalog.product_id
    return [{"product_id": name[product], "score": score, "reason": reason} for product, score, reason in items]


def _codes(products: Sequence[str], catalog: Catalog) -> tuple[int, ...]:
    """Codes of the products that the catalog knows: an unknown one can neither be in stock nor be recommended."""
    return tuple(catalog.code_of[product] for product in products if product in catalog.code_of)


def _date_after(today: int, days: float) -> str | None:
    """Shop-local date, rounded to the day; None beyond LONGEST_WAIT_DAYS."""
    if not math.isfinite(days) or days > LONGEST_WAIT_DAYS:
        return None
    return (_EPOCH + timedelta(days=today + round(days))).isoformat()
