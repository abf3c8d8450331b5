"""The part next_purchase: when, and which products, by what the customer allows and what is known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from histories.clock import local_day
from histories.history import Catalog, History
from service.ask import Ask, Consent, Moment
from service.fallbacks import Part
from service.release import Release

LONGEST_WAIT_DAYS: Final = 3_650  # a later date is a way of saying never
_EPOCH: Final = date(1970, 1, 1)
_NO_TIME: Final = (None, None)
Time = tuple[str | None, list[float] | None]  # expected date, probabilities of the next weeks
Products = list[dict[str, Any]]


def next_purchase(
    history: History,
    X: NDArray[np.float32],
    bought: bool,
    consent: Consent,
    release: Release,
    moment: Moment,
    ask: Ask,
    churn: Part | None = None,
) -> Part:
    """Of the only customer. Timing needs a purchase and consent to prediction; own products, to recommendation, too.

    `churn`: that part of the same answer, where it has been made: the dates lie on the curve that ends there.
    """
    if not consent["prediction"]:
        return _part("withheld", "popularity", _NO_TIME, _popular(history.catalog, release, ask))
    time = _time(X, release, moment, history.zone, churn) if bought else _NO_TIME
    if consent["recommendation"] and bought:
        return _part("model", None, time, _own_products(history, X, release, moment, ask))
    popular = _popular(history.catalog, release, ask)
    if consent["recommendation"] and any(product in history.catalog.code_of for product in ask.basket):
        return _part("model", None, time, popular)
    return _part("fallback", "popularity", time, popular)


def too_late(catalog: Catalog, consent: Consent, release: Release, ask: Ask, fallback: str) -> Part:
    """What sells, where there is no time, or no history, for more."""
    source, label = ("fallback", fallback) if consent["prediction"] else ("withheld", "popularity")
    return _part(source, label, _NO_TIME, _popular(catalog, release, ask))


def _part(source: str, fallback: str | None, time: Time, products: Products) -> Part:
    expected_at, weeks = time
    return {
        "source": source,
        "fallback": fallback,
        "expected_at": expected_at,
        "weeks": weeks,
        "products": products,
    }


def _time(X: NDArray[np.float32], release: Release, moment: Moment, zone: str, churn: Part | None) -> Time:
    if release.next_purchase.timing is None:
        return _NO_TIME
    if churn is not None and churn["source"] == "model":
        lapse = np.array([churn["probability"]])
    else:
        lapse = release.churn.predict(release.columns("churn", X), moment.as_of)
    days, weeks = release.next_purchase.when(release.columns("next_purchase", X), moment.as_of, lapse)
    return _date_after(local_day(moment.as_of, zone), float(days[0])), weeks[0].tolist()


def _own_products(history: History, X: NDArray[np.float32], release: Release, moment: Moment, ask: Ask) -> Products:
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
        X=X,
    )
    return _named(chosen[0], history.catalog)


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
