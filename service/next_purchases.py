"""The part next_purchase: when, and which products, by what the customer allows and what is known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from histories.clock import local_day
from histories.history import Catalog, History
from histories.selection import of_customers
from service.ask import Ask, Consents, Moment
from service.release import Release

LONGEST_WAIT_DAYS: Final = 3_650  # a later date is a way of saying never
_EPOCH: Final = date(1970, 1, 1)
Products = list[dict[str, Any]]


def next_purchases(
    history: History,
    X: NDArray[np.float32],
    bought: NDArray[np.bool_],
    consents: Consents,
    release: Release,
    moment: Moment,
    ask: Ask,
    churn: Sequence[Mapping[str, Any]] = (),
) -> list[dict[str, Any]]:
    """Timing needs a purchase and consent to prediction; products of one's own, consent to both purposes.

    `churn`: that part of the same answer, where it has been made: the dates lie on the curve that ends there.
    """
    predicted = np.array([consent["prediction"] for consent in consents], dtype=bool)
    recommended = np.array([consent["recommendation"] for consent in consents], dtype=bool)
    times = _times(X, bought & predicted, release, moment, history.zone, churn)
    products = _own_products(history, X, bought & predicted & recommended, release, moment, ask)
    popular = _popular(history.catalog, release, ask) if len(products) < len(history) else []
    with_basket = any(product in history.catalog.code_of for product in ask.basket)
    answers = []
    for customer in range(len(history)):
        modelled = customer in products or (with_basket and predicted[customer] and recommended[customer])
        source = "model" if modelled else "fallback" if predicted[customer] else "withheld"
        label = None if modelled else "popularity"
        answers.append(_part(source, label, times.get(customer), products.get(customer, popular)))
    return answers


def too_late(
    catalog: Catalog, consent: Mapping[str, bool], release: Release, ask: Ask, fallback: str
) -> dict[str, Any]:
    """What sells, where there is no time, or no history, for more."""
    source, label = ("fallback", fallback) if consent["prediction"] else ("withheld", "popularity")
    return _part(source, label, None, _popular(catalog, release, ask))


def _part(
    source: str, fallback: str | None, time: tuple[str | None, list[float]] | None, products: Products
) -> dict[str, Any]:
    expected_at, weeks = time or (None, None)
    return {
        "source": source,
        "fallback": fallback,
        "expected_at": expected_at,
        "weeks": weeks,
        "products": products,
    }


def _times(
    X: NDArray[np.float32],
    wanted: NDArray[np.bool_],
    release: Release,
    moment: Moment,
    zone: str,
    churn: Sequence[Mapping[str, Any]],
) -> dict[int, tuple[str | None, list[float]]]:
    """Expected date and weekly probabilities of the customers wanted, by position."""
    who = np.flatnonzero(wanted)
    if not len(who) or release.next_purchase.timing is None:
        return {}
    chosen = X if len(who) == len(X) else X[who]
    told = [churn[at] for at in who.tolist()] if churn else []
    if told and all(part["source"] == "model" for part in told):
        lapse = np.array([part["probability"] for part in told])
    else:
        lapse = release.churn.predict(release.columns("churn", chosen), moment.as_of)
    days, weeks = release.next_purchase.when(release.columns("next_purchase", chosen), moment.as_of, lapse)
    today = local_day(moment.as_of, zone)
    dates = [_date_after(today, wait) for wait in days.tolist()]
    return dict(zip(who.tolist(), zip(dates, weeks.tolist(), strict=True), strict=True))


def _own_products(
    history: History,
    X: NDArray[np.float32],
    wanted: NDArray[np.bool_],
    release: Release,
    moment: Moment,
    ask: Ask,
) -> dict[int, Products]:
    """Recommendations of the customers wanted, by position."""
    who = np.flatnonzero(wanted)
    if not len(who):
        return {}
    chosen = release.next_purchase.recommend(
        history if len(who) == len(history) else of_customers(history, who),
        moment.as_of,
        ask.k,
        live=moment.live,
        basket=_codes(ask.basket, history.catalog),
        exclude=_codes(ask.exclude, history.catalog),
        in_stock_only=ask.in_stock_only,
        repeat=ask.repeat,
        upsell=ask.upsell,
        X=X if len(who) == len(X) else X[who],
    )
    return {customer: _named(items, history.catalog) for customer, items in zip(who.tolist(), chosen, strict=True)}


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
    return [
        {"product_id": catalog.product_id[item.product], "score": item.score, "reason": item.reason} for item in items
    ]


def _codes(products: Sequence[str], catalog: Catalog) -> tuple[int, ...]:
    """Codes of the products that the catalog knows: an unknown one can neither be in stock nor be recommended."""
    return tuple(catalog.code_of[product] for product in products if product in catalog.code_of)


def _date_after(today: int, days: float) -> str | None:
    """Shop-local date, rounded to the day; None beyond LONGEST_WAIT_DAYS."""
    if not math.isfinite(days) or days > LONGEST_WAIT_DAYS:
        return None
    return (_EPOCH + timedelta(days=today + round(days))).isoformat()
