"""The part next_purchase: when, and which products, by what customers allow and what is known."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from functools import cache
from typing import Any, Final

import numpy as np

from histories.clock import local_day
from histories.history import Catalog, History
from models.baskets.recommendation import Want
from service.ask import Choice, Moment
from service.customers import Customers, both
from service.fallbacks import Part
from service.release import Release

LONGEST_WAIT_DAYS: Final = 3_650  # a later date is a way of saying never
_EPOCH: Final = date(1970, 1, 1)
_NO_TIME: Final = (None, None)
Time = tuple[str | None, list[float] | None]  # expected date, probabilities of the next weeks
Products = list[dict[str, Any]]


def next_purchases(
    customers: Customers,
    release: Release,
    moment: Moment,
    choices: Sequence[Choice],
    churn: list[Part] | None = None,
) -> list[Part]:
    """Timing needs a purchase and consent to prediction; own products, to recommendation, too.

    `churn`: that part of the same answers, where it has been made: the dates lie on the curve that ends there.
    """
    catalog, times = customers.history.catalog, _times(customers, release, moment, churn)
    own, popular = both(customers.known, customers.advised), _popular(catalog, release)
    wants = [_want(choice, catalog) for choice, is_own in zip(choices, own, strict=True) if is_own]
    chosen = iter(_own_products(customers.only(own), release, moment, wants) if wants else ())

    def part(place: int) -> Part:
        time, choice = times[place], choices[place]
        if own[place]:
            return _part("model", None, time, next(chosen))
        if not customers.predicted[place]:
            return _part("withheld", "popularity", _NO_TIME, popular(choice))
        if customers.advised[place] and any(product in catalog.code_of for product in choice.basket):
            return _part("model", None, time, popular(choice))
        return _part("fallback", "popularity", time, popular(choice))

    return [part(place) for place in range(len(customers))]


def too_late(
    predicted: list[bool], catalog: Catalog, release: Release, choices: Sequence[Choice], fallback: str
) -> list[Part]:
    """What sells, where there is no time, or no history, for more; `predicted`: who consents to prediction."""
    popular, labels = _popular(catalog, release), {True: ("fallback", fallback), False: ("withheld", "popularity")}
    return [
        _part(*labels[allows], _NO_TIME, popular(choice)) for allows, choice in zip(predicted, choices, strict=True)
    ]


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


def _own_products(history: History, release: Release, moment: Moment, wants: Sequence[Want]) -> list[Products]:
    chosen = release.next_purchase.recommend_each(history, moment.as_of, wants, live=moment.live)
    return [_named(items, history.catalog) for items in chosen]


def _popular(catalog: Catalog, release: Release) -> Callable[[Choice], Products]:
    """What goes with the basket, then what sells: for whom nothing is known or may be used."""

    @cache
    def products(choice: Choice) -> Products:
        items = release.next_purchase.popular(
            catalog,
            choice.k,
            basket=_codes(choice.basket, catalog),
            exclude=_codes(choice.exclude, catalog),
            in_stock_only=choice.in_stock_only,
            upsell=choice.upsell,
        )
        return _named(items, catalog)

    return products


def _want(choice: Choice, catalog: Catalog) -> Want:
    basket, exclude = _codes(choice.basket, catalog), _codes(choice.exclude, catalog)
    return Want(choice.k, basket, exclude, choice.in_stock_only, choice.repeat, choice.upsell)


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
