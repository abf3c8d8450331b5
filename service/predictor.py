"""From histories to answers: pure functions, the same for one customer online and for a chunk at a trial.

A part of an answer is a plain dict of the shape that schemas.py documents: pydantic models of it would cost a request
twice as long as writing its JSON.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from histories.history import History
from models.frame import rows
from service import fallbacks
from service.ask import Ask, Consents, Moment
from service.next_purchases import next_purchases, too_late
from service.release import Release

Part = dict[str, Any]
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


def answer(
    history: History,
    consents: Consents,
    release: Release,
    moment: Moment,
    ask: Ask,
    watch: Watch = Unhurried(),  # noqa: B008 - it holds nothing
) -> list[Parts]:
    """The parts asked for, per customer of the history. A customer's answer does not depend on the others.

    Who has not bought by then is answered with labelled fallbacks; who has not consented, with what needs no consent.
    A part for which the time does not suffice becomes a fallback, labelled `deadline`.
    """
    X, _ = rows(history, moment.as_of, release.encoder, live=moment.live)
    watch.lap("features")
    bought = X[:, release.bought_at] > 0
    may = np.array([consent["prediction"] for consent in consents], dtype=bool)
    made: dict[str, Sequence[Part]] = {}
    for part in ask.parts:
        stage = ask.stage(part)
        if not watch.enough_for(stage):
            made[part] = [_late(part, history, consent, release, moment, ask) for consent in consents]
            continue
        if part == "next_purchase":
            made[part] = next_purchases(history, X, bought, consents, release, moment, ask, made.get("churn", ()))
        else:
            made[part] = _scores(part, X, bought, may, release, moment, ask.explain)
        watch.lap(stage)
    return [{part: made[part][customer] for part in ask.parts} for customer in range(len(history))]


def unread(history: History, release: Release, moment: Moment, ask: Ask, fallback: str) -> Parts:
    """The parts for somebody of whom nothing could be read, labelled with the reason."""
    return {part: _late(part, history, _ALLOWED, release, moment, ask, fallback) for part in ask.parts}


_ALLOWED: Final = {"prediction": True, "recommendation": True, "training": True}


def _late(
    part: str,
    history: History,
    consent: Mapping[str, bool],
    release: Release,
    moment: Moment,
    ask: Ask,
    fallback: str = "deadline",
) -> Part:
    if part == "next_purchase":
        return too_late(history.catalog, consent, release, ask, fallback)
    if not consent["prediction"]:
        return fallbacks.withheld(part, release)
    return fallbacks.prior(part, release, moment.as_of) | {"fallback": fallback}


def _scores(
    part: str,
    X: NDArray[np.float32],
    bought: NDArray[np.bool_],
    may: NDArray[np.bool_],
    release: Release,
    moment: Moment,
    explain: bool,
) -> list[Part]:
    scored = bought & may
    if scored.all():
        return _MAKERS[part](release, X, moment.as_of, explain)
    by_model = iter(_MAKERS[part](release, X[scored], moment.as_of, explain) if scored.any() else ())
    return [
        fallbacks.withheld(part, release)
        if not allowed
        else next(by_model)
        if has_bought
        else fallbacks.prior(part, release, moment.as_of)
        for has_bought, allowed in zip(bought.tolist(), may.tolist(), strict=True)
    ]


def _churn(release: Release, X: NDArray[np.float32], as_of: int, explain: bool) -> list[Part]:
    columns = release.columns("churn", X)
    reasons = _reasons(release.churn, columns, as_of, explain)
    probabilities = release.churn.predict(columns, as_of).tolist()
    return [
        fallbacks.churn_part(probability, release, reasons=why)
        for probability, why in zip(probabilities, reasons, strict=True)
    ]


def _customer_value(release: Release, X: NDArray[np.float32], as_of: int, explain: bool) -> list[Part]:
    columns = release.columns("customer_value", X)
    reasons = _reasons(release.customer_value, columns, as_of, explain)
    value = release.customer_value.predict(columns, as_of)
    numbers = zip(
        *(part.tolist() for part in (value.mean, value.median, value.low, value.high, value.orders)), strict=True
    )
    return [fallbacks.value_part(row, release, reasons=why) for row, why in zip(numbers, reasons, strict=True)]


def _segment(release: Release, X: NDArray[np.float32], as_of: int, explain: bool) -> list[Part]:
    codes = release.segments.predict(release.columns("segments", X), as_of)
    return [fallbacks.segment_part(release.segments.names[code]) for code in codes.tolist()]


_MAKERS: Final = {"churn": _churn, "customer_value": _customer_value, "segment": _segment}


def _reasons(model: Any, columns: NDArray[np.float32], as_of: int, explain: bool) -> list[list[dict[str, Any]]]:
    if not explain:
        return [[] for _ in range(len(columns))]
    return [
        [
            {"feature": why.feature, "value": finite(why.value), "effect": float(why.effect), "text": why.text}
            for why in row
        ]
        for row in model.explain(columns, as_of)
    ]


def finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
