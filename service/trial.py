"""A release is tried on real customers before it is served, which warms it up as well."""

from __future__ import annotations

import math
from collections.abc import Callable

from features.customers import warm_up
from histories.history import History
from histories.store import Store
from service.clock import wall
from service.predictor import Ask, Moment, Parts, answer
from service.release import Refused, Release

_CUSTOMERS = 20
_ALLOWED = {"prediction": True, "recommendation": True, "training": True}


def trial(store: Store) -> Callable[[Release], None]:
    """The check of a release against this store; it raises Refused, or whatever the models raise."""

    def attempt(release: Release) -> None:
        warm_up()
        history = next(iter(store.chunks(_CUSTOMERS)), None)
        if history is None or not len(history):
            return
        for ask in (Ask(), Ask(explain=True, k=3)):
            _check(_answers(release, history, ask))

    return attempt


def _answers(release: Release, history: History, ask: Ask) -> list[Parts]:
    return answer(history, [_ALLOWED] * len(history), release, Moment(wall(), live=True), ask)


def _check(answers: list[Parts]) -> None:
    """Numbers must be numbers, and within their bounds."""
    for parts in answers:
        churn, value = parts["churn"], parts["customer_value"]
        if not 0 <= churn["probability"] <= 1:
            raise Refused("churn answers no probability")
        spends = [value[name] for name in ("expected_spend", "median_spend", "low", "high", "expected_orders")]
        if any(not math.isfinite(number) or number < 0 for number in spends):
            raise Refused("customer_value answers numbers that are not finite")
