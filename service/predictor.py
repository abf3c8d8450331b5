"""From histories to answers: pure functions, the same for one customer online and for a chunk in batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from histories.clock import local_day
from histories.history import Catalog, History
from histories.selection import of_customers
from models.frame import rows
from service import fallbacks
from service.release import Release
from service.schemas import Churn, CustomerValue, NextPurchase, Part, Reason, RecommendedProduct, Segment

PARTS: Final = ("churn", "customer_value", "next_purchase", "segment")
LONGEST_WAIT_DAYS: Final = 3_650  # a later date is a way of saying never
_EPOCH: Final = date(1970, 1, 1)

Parts = dict[str, Part]
Lap = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked about each customer, beside who it is."""

    parts: tuple[str, ...] = PARTS
    k: int = 10
    explain: bool = False
    basket: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    in_stock_only: bool = True
    repeat: Literal["mixed", "only", "none"] = "mixed"


@dataclass(frozen=True, slots=True)
class Moment:
    """As of when: `live` cuts on occurred_at alone, otherwise also on what was recorded by then."""

    as_of: int
    live: bool


def answer(
    history: History,
    consents: Sequence[Mapping[str, bool]],
    release: Release,
    moment: Moment,
    ask: Ask,
    lap: Lap = lambda stage: None,
) -> list[Parts]:
    """The parts asked for, per customer of the history. A customer's answer does not depend on the others.

    Who has not bought by then is answered with labelled fallbacks; who has not consented, with what needs no consent.
    """
    X, _ = rows(history, moment.as_of, release.encoder, live=moment.live)
    lap("features")
    bought = X[:, release.row_names.index("purchases")] > 0
    made: dict[str, Sequence[Part]] = {}
    for part in ask.parts:
        if part == "next_purchase":
            made[part] = _next_purchases(history, X, bought, consents, release, moment, ask)
        else:
            made[part] = _scores(part, X, bought, consents, release, moment, ask.explain)
        lap(part)
    return [{part: made[part][customer] for part in ask.parts} for customer in range(len(history))]


def _scores(
    part: str,
    X: NDArray[np.float32],
    bought: NDArray[np.bool_],
    consents: Sequence[Mapping[str, bool]],
    release: Release,
    moment: Moment,
    explain: bool,
) -> list[Part]:
    allowed = [consent["prediction"] for consent in consents]
    scored = np.flatnonzero(bought & allowed)
    by_model = iter(_MAKERS[part](release, X[scored], moment.as_of, explain) if len(scored) else ())
    return [
        next(by_model) if has_bought and may else fallbacks.part(part, release, moment.as_of, withheld=not may)
        for has_bought, may in zip(bought.tolist(), allowed, strict=True)
    ]


def _churn(release: Release, X: NDArray[np.float32], as_of: int, explain: bool) -> list[Part]:
    columns = release.columns("churn", X)
    reasons = _reasons(release.churn, columns, as_of, explain)
    return [
        Churn(source="model", probability=probability, horizon_days=release.horizon_days, reasons=why)
        for probability, why in zip(release.churn.predict(columns, as_of).tolist(), reasons, strict=True)
    ]


def _customer_value(release: Release, X: NDArray[np.float32], as_of: int, explain: bool) -> list[Part]:
    columns = release.columns("customer_value", X)
    reasons = _reasons(release.customer_value, columns, as_of, explain)
    value = release.customer_value.predict(columns, as_of)
    numbers = zip(
        *(part.tolist() for part in (value.mean, value.median, value.low, value.high, value.orders)), strict=True
    )
    return [
        CustomerValue(
            source="model",
            expected_spend=mean,
            median_spend=median,
            low=low,
            high=high,
            expected_orders=orders,
            horizon_days=release.horizon_days,
            reasons=why,
        )
        for (mean, median, low, high, orders), why in zip(numbers, reasons, strict=True)
    ]


def _segment(release: Release, X: NDArray[np.float32], as_of: int, explain: bool) -> list[Part]:
    codes = release.segments.predict(release.columns("segments", X), as_of)
    return [Segment(source="model", name=release.segments.names[code]) for code in codes.tolist()]


_MAKERS: Final = {"churn": _churn, "customer_value": _customer_value, "segment": _segment}


def _reasons(model: Any, columns: NDArray[np.float32], as_of: int, explain: bool) -> list[list[Reason]]:
    if not explain:
        return [[] for _ in range(len(columns))]
    return [
        [Reason(feature=why.feature, value=finite(why.value), effect=float(why.effect), text=why.text) for why in row]
        for row in model.explain(columns, as_of)
    ]


def _next_purchases(
    history: History,
    X: NDArray[np.float32],
    bought: NDArray[np.bool_],
    consents: Sequence[Mapping[str, bool]],
    release: Release,
    moment: Moment,
    ask: Ask,
) -> list[NextPurchase]:
    """Timing needs a purchase and consent to prediction; products of one's own, consent to both purposes."""
    predicted = np.array([consent["prediction"] for consent in consents], dtype=bool)
    recommended = np.array([consent["recommendation"] for consent in consents], dtype=bool)
    times = _times(X, bought & predicted, release, moment, history.zone)
    products = _own_products(history, X, bought & predicted & recommended, release, moment, ask)
    popular = _popular(history.catalog, release, ask) if len(products) < len(history) else []
    with_basket = any(product in history.catalog.code_of for product in ask.basket)
    answers = []
    for customer in range(len(history)):
        modelled = customer in products or (with_basket and predicted[customer] and recommended[customer])
        expected_at, weeks = times.get(customer, (None, None))
        answers.append(
            NextPurchase(
                source="model" if modelled else "fallback" if predicted[customer] else "withheld",
                fallback=None if modelled else "popularity",
                expected_at=expected_at,
                weeks=weeks,
                products=products.get(customer, popular),
            )
        )
    return answers


def _times(
    X: NDArray[np.float32], wanted: NDArray[np.bool_], release: Release, moment: Moment, zone: str
) -> dict[int, tuple[str | None, list[float]]]:
    """Expected date and weekly probabilities of the customers wanted, by position."""
    who = np.flatnonzero(wanted)
    if not len(who) or release.next_purchase.timing is None:
        return {}
    days, weeks = release.next_purchase.when(release.columns("next_purchase", X[who]), moment.as_of)
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
) -> dict[int, list[RecommendedProduct]]:
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
        X=X[who],
    )
    return {customer: _named(items, history.catalog) for customer, items in zip(who.tolist(), chosen, strict=True)}


def _popular(catalog: Catalog, release: Release, ask: Ask) -> list[RecommendedProduct]:
    """What goes with the basket, then what sells: for whom nothing is known or may be used."""
    items = release.next_purchase.popular(
        catalog,
        ask.k,
        basket=_codes(ask.basket, catalog),
        exclude=_codes(ask.exclude, catalog),
        in_stock_only=ask.in_stock_only,
    )
    return _named(items, catalog)


def _named(items: Sequence[Any], catalog: Catalog) -> list[RecommendedProduct]:
    return [
        RecommendedProduct(product_id=catalog.product_id[item.product], score=item.score, reason=item.reason)
        for item in items
    ]


def _codes(products: Sequence[str], catalog: Catalog) -> tuple[int, ...]:
    """Codes of the products that the catalog knows: an unknown one can neither be in stock nor be recommended."""
    return tuple(catalog.code_of[product] for product in products if product in catalog.code_of)


def _date_after(today: int, days: float) -> str | None:
    """Shop-local date, rounded to the day; None beyond LONGEST_WAIT_DAYS."""
    if not math.isfinite(days) or days > LONGEST_WAIT_DAYS:
        return None
    return (_EPOCH + timedelta(days=today + round(days))).isoformat()


def finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
