"""From one customer's history to answers: pure functions, the same for a request and at a release's trial.

A part of an answer is a plain dict of the shape that schemas.py documents: pydantic models of it would cost a request
twice as long as writing its JSON.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from histories.history import History
from models.frame import rows
from service import fallbacks
from service.ask import Ask, Consent, Moment
from service.fallbacks import Part
from service.next_purchases import next_purchase, too_late
from service.release import Release

Parts = dict[str, Part]
Row = NDArray[np.float32]  # (1, features)


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
    consent: Consent,
    release: Release,
    moment: Moment,
    ask: Ask,
    watch: Watch = Unhurried(),  # noqa: B008 - it holds nothing
) -> Parts:
    """The parts asked for about the only customer of the history.

    Who has not bought by then is answered with labelled fallbacks; who has not consented, with what needs no consent.
    A part for which the time does not suffice becomes a fallback, labelled `deadline`.
    """
    X, _ = rows(history, moment.as_of, release.encoder, live=moment.live)
    watch.lap("features")
    bought = bool(X[0, release.bought_at] > 0)
    made: Parts = {}
    for part in ask.parts:
        stage = ask.stage(part)
        if not watch.enough_for(stage):
            made[part] = _late(part, history, consent, release, moment, ask)
            continue
        if part == "next_purchase":
            made[part] = next_purchase(history, X, bought, consent, release, moment, ask, made.get("churn"))
        else:
            made[part] = _score(part, X, bought, consent, release, moment, ask.explain)
        watch.lap(stage)
    return made


def unread(history: History, release: Release, moment: Moment, ask: Ask, fallback: str) -> Parts:
    """The parts for somebody of whom nothing could be read, labelled with the reason."""
    return {part: _late(part, history, _ALLOWED, release, moment, ask, fallback) for part in ask.parts}


_ALLOWED: Final = {"prediction": True, "recommendation": True, "training": True}


def _late(
    part: str,
    history: History,
    consent: Consent,
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


def _score(part: str, X: Row, bought: bool, consent: Consent, release: Release, moment: Moment, explain: bool) -> Part:
    if not consent["prediction"]:
        return fallbacks.withheld(part, release)
    if not bought:
        return fallbacks.prior(part, release, moment.as_of)
    return _MAKERS[part](release, X, moment.as_of, explain)


def _churn(release: Release, X: Row, as_of: int, explain: bool) -> Part:
    columns = release.columns("churn", X)
    reasons = _reasons(release.churn, columns, as_of) if explain else ()
    return fallbacks.churn_part(float(release.churn.predict(columns, as_of)[0]), release, reasons=reasons)


def _customer_value(release: Release, X: Row, as_of: int, explain: bool) -> Part:
    columns = release.columns("customer_value", X)
    reasons = _reasons(release.customer_value, columns, as_of) if explain else ()
    value = release.customer_value.predict(columns, as_of)
    return fallbacks.value_part([float(column[0]) for column in value], release, reasons=reasons)


def _segment(release: Release, X: Row, as_of: int, explain: bool) -> Part:
    code = release.segments.predict(release.columns("segments", X), as_of)[0]
    return fallbacks.segment_part(release.segments.names[code])


_MAKERS: Final[dict[str, Callable[[Release, Row, int, bool], Part]]] = {
    "churn": _churn,
    "customer_value": _customer_value,
    "segment": _segment,
}


def _reasons(model: Any, columns: Row, as_of: int) -> list[dict[str, Any]]:
    return [
        {"feature": why.feature, "value": finite(why.value), "effect": float(why.effect), "text": why.text}
        for why in model.explain(columns, as_of)[0]
    ]


def finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
