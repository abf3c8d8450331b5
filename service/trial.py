"""A release is tried on real customers before it is served, the way it will be asked, which warms it up as well."""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from features.customers import warm_up
from histories.errors import Refused
from histories.history import History
from histories.selection import of_customers
from histories.storage.store import Store
from service.ask import PARTS, Ask, Choice, Moment
from service.clock import wall
from service.predictor import Parts, answers, unread
from service.release import Release

_CUSTOMERS: Final = 20
_PASSES: Final = 3
_NUMBERS: Final = ("expected_spend", "median_spend", "low", "high", "expected_orders")


def trial(store: Store, budget: float = math.inf) -> Callable[[Release], None]:
    """The check of a release against this store; it raises Refused, or whatever the models raise.

    `budget`: seconds of computing that an answer may take, in the median and at best; what other processes take of
    the machine does not count.
    """

    def attempt(release: Release) -> None:
        warm_up()
        histories = _known(store)
        for history in histories:
            _check(_answer(release, history, Ask(explain=True), Choice(k=3)))
            for ask in (Ask(), *(Ask((part,)) for part in PARTS)):
                _check(_answer(release, history, ask))
            unread(history.catalog, release, Moment(wall(), live=True), Ask(), [Choice()], "deadline")
        seconds = min((_median(release, histories) for _ in range(_PASSES)), default=0.0) if histories else 0.0
        if seconds > budget:
            raise Refused(f"an answer takes {seconds * 1e3:.0f} ms, more than the {budget * 1e3:.0f} ms allowed")

    return attempt


def rehearse(store: Store, folder: Path) -> None:
    """Try the four models saved in a folder on a store that nobody else uses: it compiles what answers need."""
    (folder / "release.json").write_text(json.dumps({"release": "rehearsal", "versions": {}, "grades": {}}))
    store.be_quick(read_seconds=1.0, write_seconds=1.0)
    store.version()  # which the service asks for before every pass
    trial(store)(Release.load(folder))


def try_on(release: Release, history: History) -> None:
    """That what it answers on these customers can be served, wherever they come from; raises Refused."""
    for customer in range(len(history)):
        _check(_answer(release, of_customers(history, np.array([customer])), Ask()))


def _known(store: Store) -> list[History]:
    """Some customers, each read as a request reads them."""
    some = next(iter(store.chunks(_CUSTOMERS)), None)
    ids = [] if some is None else some.customer_id.tolist()
    return [history for history in map(store.history_of, ids) if history is not None]


def _median(release: Release, histories: list[History]) -> float:
    seconds = []
    for history in histories:
        began = time.thread_time()
        _answer(release, history, Ask())
        seconds.append(time.thread_time() - began)
    return statistics.median(seconds)


def _answer(release: Release, history: History, ask: Ask, choice: Choice = Choice()) -> Parts:  # noqa: B008 - a tuple
    """Of the only customer, whatever they consent to: nothing of it is told or kept."""
    return answers(replace(history, consent={}), release, Moment(wall(), live=True), ask, [choice])[0]


def _check(parts: Parts) -> None:
    """Numbers must be numbers, and within their bounds."""
    churn, value = parts.get("churn"), parts.get("customer_value")
    if churn is not None and not 0 <= churn["probability"] <= 1:
        raise Refused("churn answers no probability")
    if value is not None and any(not math.isfinite(value[name]) or value[name] < 0 for name in _NUMBERS):
        raise Refused("customer_value answers numbers that are not finite")
