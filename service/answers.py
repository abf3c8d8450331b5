"""Answers about customers: who is meant, as of when, from what is remembered or anew, in the time that is left."""

from __future__ import annotations

import time
from typing import Any, Final

from pydantic_core import to_json

from histories.clock import local_day, parse_as_of, to_datetime, to_text
from histories.history import History
from service import schemas as s
from service.ask import PARTS, Ask, Moment
from service.clock import Clock
from service.errors import bad_input
from service.memory import About, Memory, Remembered, made_from
from service.metrics import Metrics
from service.pace import Pace, Stopwatch
from service.predictor import Parts, answer, unread
from service.present import Present
from service.queue import Queue
from service.release import Release
from service.releases import Releases
from service.wire import Call

_LATEST_YEAR: Final = 2100
_ALL_ALLOWED: Final = {"prediction": True, "recommendation": True, "training": True}


class Answers:
    """`deadline`, in seconds, counts from a request's arrival."""

    def __init__(self, present: Present, clock: Clock, releases: Releases, metrics: Metrics, deadline: float) -> None:
        self._present = present
        self._clock = clock
        self._releases = releases
        self._metrics = metrics
        self._deadline = deadline
        self._pace = Pace()
        self._memory = Memory()

    def one(self, body: s.PredictRequest, parts: tuple[str, ...], call: Call | None = None) -> bytes:
        """The envelope of one customer's answer with those parts, as JSON."""
        watch = self._watch(call)
        watch.lap("queue")
        _check_whom(body)
        release = self._releases.serving()
        moment = self._moment(body.as_of)
        self._present.mask(release)
        ask = Ask(parts, body.k, body.explain, body.basket, body.exclude, body.in_stock_only, body.repeat, body.upsell)
        about = (body.customer_id, body.as_of, *ask)
        known = self._memory.get(about, self._circumstances(release))
        if known is not None and self._holds(about, known, body, moment):
            return known[0]
        began = time.thread_time()  # what other processes take of the machine does not count
        written = to_json(self._envelope(body, release, moment, ask, watch), inf_nan_mode="null")
        watch.lap("write")
        if not (ask.explain or watch.hurried):
            self._releases.took(release, time.thread_time() - began)
        if body.customer_id is not None and not watch.hurried and not self._present.stale:
            self._memory.put(about, (written, self._present.edition, self._made_from(body, moment)))
        return written

    async def many(self, body: s.PredictManyRequest, queue: Queue) -> bytes:
        """In the order of the ids, all as of the same instant; other requests are served in between."""
        release, moment = self._releases.serving(), self._moment(body.as_of)
        self._present.mask(release)
        found: list[dict[str, Any]] = []
        for customer in body.customer_ids:
            await queue.turn()
            one = s.PredictRequest.model_construct(customer_id=customer, history=None)
            ask = Ask(PARTS, body.k, body.explain, (), body.exclude, body.in_stock_only, body.repeat)
            found.append(self._envelope(one, release, moment, ask, self._watch(None)))
        return to_json({"predictions": found}, inf_nan_mode="null")

    def forget(self) -> None:
        """All answers: somebody was erased, or took back consent."""
        self._memory.clear()

    def _circumstances(self, release: Release) -> tuple[object, ...]:
        """What must be the same for any answer to hold: under a clock that stands still, to the instant."""
        now = self._clock.instant(self._present.newest())
        day = local_day(now, self._present.zone) if self._clock.setting == "now" else now
        return self._present.shared_edition, release.id, day

    def _holds(self, about: About, known: Remembered, body: s.PredictRequest, moment: Moment) -> bool:
        """Whether nothing has been written since, or nothing about this customer."""
        answer, edition, made = known
        if edition != self._present.edition and not self._present.stale:
            if made is None or made != self._made_from(body, moment):
                return False
            self._memory.put(about, (answer, self._present.edition, made))
        return not self._present.stale

    def _made_from(self, body: s.PredictRequest, moment: Moment) -> int | None:
        """None as of the past: what others did changes data_as_of, and the answer does not say when it was made."""
        if body.customer_id is None or not moment.live:
            return None
        return made_from(self._present.rows(body.customer_id), moment.as_of)

    def _watch(self, call: Call | None) -> Stopwatch:
        return Stopwatch(self._metrics, self._pace, call, self._deadline)

    def _envelope(
        self, body: s.PredictRequest, release: Release, moment: Moment, ask: Ask, watch: Stopwatch
    ) -> dict[str, Any]:
        parts = self._parts(body, release, moment, ask, watch)
        stale = self._present.stale
        for name, part in parts.items():
            if stale and part["source"] != "withheld":
                part |= {"source": "fallback", "fallback": "stale"}
            self._metrics.answer(name, part["source"], part["fallback"], release.id)
        newest = self._present.newest(None if moment.live else moment.as_of)
        return {
            "customer_id": body.customer_id,
            "as_of": to_text(moment.as_of),
            "data_as_of": None if newest is None else to_text(newest),
            "release": release.id,
            **parts,
        }

    def _parts(self, body: s.PredictRequest, release: Release, moment: Moment, ask: Ask, watch: Stopwatch) -> Parts:
        if not watch.enough_for("history", "features"):
            return unread(self._present.anybody(), release, moment, ask, "deadline")
        history, consent = self._history(body)
        watch.lap("history")
        return answer(history, consent, release, moment, ask, watch)

    def _history(self, body: s.PredictRequest) -> tuple[History, dict[str, bool]]:
        if body.customer_id is not None:
            known = self._present.customer(body.customer_id)
            return known.history, known.consent
        if body.history is not None:
            return self._present.sent_along(body.history), _ALL_ALLOWED
        return self._present.anybody(), _ALL_ALLOWED

    def _moment(self, as_of: str | None) -> Moment:
        self._present.refresh()
        if as_of is None:
            return Moment(self._clock.instant(self._present.newest()), live=True)
        try:
            instant = parse_as_of(as_of, self._present.zone)
            if instant >= 0 and to_datetime(instant).year < _LATEST_YEAR:
                return Moment(instant, live=False)
        except OverflowError:
            pass
        except ValueError as error:
            raise bad_input(str(error), "as_of") from None
        raise bad_input(f"must lie between 1970 and {_LATEST_YEAR}", "as_of")


def _check_whom(body: s.PredictRequest) -> None:
    named = [name for name in ("customer_id", "history") if getattr(body, name) is not None]
    if len(named) == 2:
        raise bad_input("say customer_id or history, not both", "history")
    if not named and not body.basket:
        raise bad_input("say who it is about: customer_id, history, or a basket alone", "customer_id")
