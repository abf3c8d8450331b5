"""Answers about customers: who is meant, as of when, from what is remembered or anew, in the time that is left."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic_core import to_json

from histories.clock import parse_as_of, to_datetime, to_text
from histories.history import History
from service import schemas as s
from service.ask import PARTS, Ask, Choice, Moment
from service.asked import Asked
from service.clock import Clock
from service.errors import bad_input
from service.memory import Memory
from service.metrics import Metrics
from service.pace import Pace, Stopwatch
from service.predictor import Parts, answers, unread
from service.present import Present
from service.queue import TOGETHER, Queue
from service.release import Release
from service.releases import Releases
from service.wire import Call

_LATEST_YEAR: Final = 2100
Envelope = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Pass:
    """What is the same for all who are answered in one go."""

    release: Release
    moment: Moment
    ask: Ask


class Answers:
    """`deadline`, in seconds, counts from a request's arrival."""

    def __init__(self, present: Present, clock: Clock, releases: Releases, metrics: Metrics, deadline: float) -> None:
        self._present = present
        self._clock = clock
        self._releases = releases
        self._metrics = metrics
        self._deadline = deadline
        self._pace = Pace()
        self._memory = Memory(present, clock)

    def together(self, waiting: Sequence[Asked]) -> None:
        """Answers each of those who ask alike. Raises what concerns them all."""
        release, now = self._present_state()
        first = waiting[0]
        self._answer(waiting, _Pass(release, self._moment(first.body.as_of, now), first.ask))

    async def many(self, body: s.PredictManyRequest, queue: Queue[Asked]) -> bytes:
        """In the order of the ids, all as of the same instant; other requests are served in between."""
        release, now = self._present_state()
        alike = _Pass(release, self._moment(body.as_of, now), Ask(PARTS, body.explain))
        choice = Choice(body.k, (), body.exclude, body.in_stock_only, body.repeat)
        every = [s.PredictRequest.model_construct(customer_id=each, history=None) for each in body.customer_ids]
        found: list[Envelope] = []
        for first in range(0, len(every), TOGETHER):
            await queue.turn()
            some = every[first : first + TOGETHER]
            found += self._envelopes(some, [choice] * len(some), alike, self._watch((), len(some)))
        return to_json({"predictions": found}, inf_nan_mode="null")

    def forget(self) -> None:
        """All answers: somebody was erased, or took back consent."""
        self._memory.clear()

    def _answer(self, some: Sequence[Asked], alike: _Pass) -> None:
        """In one pass; where it fails each alone, so that what is wrong with one does not touch the others."""
        try:
            self._in_one_pass(some, alike)
        except Exception as error:  # noqa: BLE001 - routing makes HTTP of it
            if len(some) == 1:
                some[0].answer = error
                return
            for asked in some:
                self._answer([asked], alike)

    def _in_one_pass(self, some: Sequence[Asked], alike: _Pass) -> None:
        """From memory, or all that are left anew."""
        self._memory.begin(alike.release)
        for asked in some:
            _check_whom(asked.body)
            asked.answer = self._memory.get(asked, alike.moment)
        if left := [asked for asked in some if asked.answer is None]:
            self._anew(left, alike)

    def _anew(self, some: Sequence[Asked], alike: _Pass) -> None:
        watch = self._watch([asked.call for asked in some if asked.call is not None], len(some))
        began = time.thread_time()  # what other processes take of the machine does not count
        bodies, choices = [asked.body for asked in some], [asked.choice for asked in some]
        envelopes = self._envelopes(bodies, choices, alike, watch)
        for asked, envelope in zip(some, envelopes, strict=True):
            asked.answer = to_json(envelope, inf_nan_mode="null")
        watch.lap("write")
        if watch.hurried:
            return
        seconds = (time.thread_time() - began) / len(some)
        for asked in some:
            if not alike.ask.explain:
                self._releases.took(alike.release, seconds)
            self._memory.put(asked, alike.moment)

    def _present_state(self) -> tuple[Release, Moment]:
        """The release in service, with nobody in it who was erased, and the present."""
        release = self._releases.serving()
        self._present.refresh()
        self._present.mask(release)
        return release, Moment(self._clock.instant(self._present.newest()), live=True)

    def _watch(self, calls: Sequence[Call], predictions: int) -> Stopwatch:
        return Stopwatch(self._metrics, self._pace, calls, self._deadline, predictions)

    def _envelopes(
        self, some: Sequence[s.PredictRequest], choices: Sequence[Choice], alike: _Pass, watch: Stopwatch
    ) -> Iterator[Envelope]:
        """In the order of the requests, each of its own customer."""
        every = self._parts(some, choices, alike, watch)
        if self._present.stale:
            _call_stale(every)
        self._count(every, alike.release)
        newest = self._present.newest(None if alike.moment.live else alike.moment.as_of)
        as_of, data_as_of = to_text(alike.moment.as_of), None if newest is None else to_text(newest)
        for body, parts in zip(some, every, strict=True):
            yield {
                "customer_id": body.customer_id,
                "as_of": as_of,
                "data_as_of": data_as_of,
                "release": alike.release.id,
                **parts,
            }

    def _parts(
        self, some: Sequence[s.PredictRequest], choices: Sequence[Choice], alike: _Pass, watch: Stopwatch
    ) -> list[Parts]:
        release, moment, ask = alike.release, alike.moment, alike.ask
        if not watch.enough_for("history", "features"):
            return unread(self._present.anybody().catalog, release, moment, ask, choices, "deadline")
        history = self._history(some)
        watch.lap("history")
        return answers(history, release, moment, ask, choices, watch)

    def _history(self, some: Sequence[s.PredictRequest]) -> History:
        """Of the customers who are named; else of the only request, sent along or of nobody."""
        named = [body.customer_id for body in some if body.customer_id is not None]
        if named:
            return self._present.customers(named)
        sent = some[0].history
        return self._present.anybody() if sent is None else self._present.sent_along(sent)

    def _count(self, every: Sequence[Parts], release: Release) -> None:
        labels = ((name, part["source"], part["fallback"]) for parts in every for name, part in parts.items())
        for (name, source, fallback), times in Counter(labels).items():
            self._metrics.answers(times, name, source, fallback, release.id)

    def _moment(self, as_of: str | None, now: Moment) -> Moment:
        if as_of is None:
            return now
        try:
            instant = parse_as_of(as_of, self._present.zone)
            if instant >= 0 and to_datetime(instant).year < _LATEST_YEAR:
                return Moment(instant, live=False)
        except OverflowError:
            pass
        except ValueError as error:
            raise bad_input(str(error), "as_of") from None
        raise bad_input(f"must lie between 1970 and {_LATEST_YEAR}", "as_of")


def _call_stale(every: Sequence[Parts]) -> None:
    for parts in every:
        for part in parts.values():
            if part["source"] != "withheld":
                part |= {"source": "fallback", "fallback": "stale"}


def _check_whom(body: s.PredictRequest) -> None:
    named = [name for name in ("customer_id", "history") if getattr(body, name) is not None]
    if len(named) == 2:
        raise bad_input("say customer_id or history, not both", "history")
    if not named and not body.basket:
        raise bad_input("say who it is about: customer_id, history, or a basket alone", "customer_id")
