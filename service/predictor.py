"""From the histories of some customers to answers: pure functions, the same for a request and at a release's trial.

A part of an answer is a plain dict of the shape that schemas.py documents: pydantic models of it would cost a request
twice as long as writing its JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from histories.history import Catalog, History
from service import fallbacks
from service.ask import Ask, Choice, Moment
from service.customers import Customers, Rows, spread
from service.fallbacks import Part, finite
from service.next_purchases import next_purchases, too_late
from service.release import Release

Parts = dict[str, Part]


class Watch(Protocol):
    """Who times the stages, and says whether there is enough time for another."""

    def lap(self, stage: str) -> None: ...

    def enough_for(self, *stages: str) -> bool: ...


class Unhurried:
    def lap(self, stage: str) -> None:
        pass

    def enough_for(self, *stages: str) -> bool:
        return True


def answers(
    history: History,
    release: Release,
    moment: Moment,
    ask: Ask,
    choices: Sequence[Choice],
    watch: Watch = Unhurried(),  # noqa: B008 - it holds nothing
) -> list[Parts]:
    """The parts asked for about each customer of the history, in their order, with the products of each one's choice;
    an answer does not depend on the others.

    Who has not bought by then is answered with labelled fallbacks; who has not consented, with what needs no consent.
    A part for which the time does not suffice becomes a fallback, labelled `deadline`.
    """
    customers = Customers.of(history, release, moment)
    watch.lap("features")
    made: dict[str, list[Part]] = {}
    for part in ask.parts:
        stage = ask.stage(part)
        if not watch.enough_for(stage):
            made[part] = _late(part, customers.predicted, history.catalog, release, moment, choices, "deadline")
            continue
        if part == "next_purchase":
            made[part] = next_purchases(customers, release, moment, choices, made.get("churn"))
        else:
            made[part] = _scores(part, customers, release, moment, ask.explain)
        watch.lap(stage)
    return _by_customer(made)


def unread(
    catalog: Catalog, release: Release, moment: Moment, ask: Ask, choices: Sequence[Choice], fallback: str
) -> list[Parts]:
    """The parts for customers of whom nothing could be read, labelled with the reason."""
    predicted = [True] * len(choices)
    made = {part: _late(part, predicted, catalog, release, moment, choices, fallback) for part in ask.parts}
    return _by_customer(made)


def _by_customer(made: dict[str, list[Part]]) -> list[Parts]:
    return [dict(zip(made, parts, strict=True)) for parts in zip(*made.values(), strict=True)]


def _late(
    part: str,
    predicted: list[bool],
    catalog: Catalog,
    release: Release,
    moment: Moment,
    choices: Sequence[Choice],
    fallback: str,
) -> list[Part]:
    """Of each customer, by whether they consent to prediction."""
    if part == "next_purchase":
        return too_late(predicted, catalog, release, choices, fallback)
    prior = fallbacks.prior(part, release, moment.as_of) | {"fallback": fallback}
    return [dict(prior) if allows else fallbacks.withheld(part, release) for allows in predicted]


def _scores(part: str, customers: Customers, release: Release, moment: Moment, explain: bool) -> list[Part]:
    def unknown(place: int) -> Part:
        if customers.predicted[place]:
            return fallbacks.prior(part, release, moment.as_of)
        return fallbacks.withheld(part, release)

    made = _MAKERS[part](release, customers.X, moment.as_of, explain) if len(customers.X) else ()
    return spread(customers.known, made, unknown)


def _churn(release: Release, X: Rows, as_of: int, explain: bool) -> list[Part]:
    columns = release.columns("churn", X)
    chances = release.churn.predict(columns, as_of).tolist()
    reasons = _reasons(release.churn, columns, as_of, explain)
    return [fallbacks.churn_part(chance, release, reasons=why) for chance, why in zip(chances, reasons, strict=True)]


def _customer_value(release: Release, X: Rows, as_of: int, explain: bool) -> list[Part]:
    columns = release.columns("customer_value", X)
    values = zip(*(column.tolist() for column in release.customer_value.predict(columns, as_of)), strict=True)
    reasons = _reasons(release.customer_value, columns, as_of, explain)
    return [fallbacks.value_part(numbers, release, reasons=why) for numbers, why in zip(values, reasons, strict=True)]


def _segment(release: Release, X: Rows, as_of: int, explain: bool) -> list[Part]:
    names = release.segments.names
    codes = release.segments.predict(release.columns("segments", X), as_of)
    return [fallbacks.segment_part(names[code]) for code in codes.tolist()]


_MAKERS: Final[dict[str, Callable[[Release, Rows, int, bool], list[Part]]]] = {
    "churn": _churn,
    "customer_value": _customer_value,
    "segment": _segment,
}


def _reasons(model: Any, columns: Rows, as_of: int, explain: bool) -> list[list[dict[str, Any]]]:
    """Of each row; none where they are not asked for."""
    if not explain:
        return [[]] * len(columns)
    return [
        [
            {"feature": why.feature, "value": finite(why.value), "effect": float(why.effect), "text": why.text}
            for why in whys
        ]
        for whys in model.explain(columns, as_of)
    ]
