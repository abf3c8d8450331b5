"""What one worker holds: the store, the release it serves, the keys, the clock. Endpoints ask it; it knows no HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any, Final, TypeVar

from histories.clock import parse_as_of, to_datetime, to_text
from histories.history import History
from histories.settings import Settings
from histories.store import Store
from service import schemas as s
from service.clock import Clock, wall
from service.errors import Problem, bad_input
from service.incoming import to_tables
from service.keys import KeyRing
from service.metrics import Stopwatch
from service.predictor import PARTS, Ask, Moment, answer
from service.present import Present
from service.releases import Releases

T = TypeVar("T")
_NOBODY: Final = "this person is not known here"
_CHUNK: Final = 16  # customers of predict_many between two turns of the event loop
_LATEST_YEAR: Final = 2100


class Backend:
    def __init__(self, settings: Settings, store: Store, releases: Releases, *, loopback: bool = False) -> None:
        """`loopback`: only this host can reach the service, so that it may run without any key."""
        self.settings = settings
        self.store = store
        self.metrics = releases.metrics
        self.keys = KeyRing(store, loopback=loopback)
        self.releases = releases
        self.clock = Clock(settings.clock, store.zone)
        self.present = Present(store, self.clock)
        self._writer = ThreadPoolExecutor(1, "writer")  # a store takes one write at a time anyway

    def close(self) -> None:
        """Let what was begun end."""
        self.releases.close()
        self._writer.shutdown()

    # -- predictions ----------------------------------------------------------------------------------------------

    def predict(self, body: s.PredictRequest, parts: Sequence[str]) -> dict[str, Any]:
        """The envelope of one customer's answer with those parts."""
        watch = Stopwatch(self.metrics)
        _check_whom(body)
        moment = self._moment(body.as_of)
        history, consent = self._history(body)
        watch.lap("history")
        ask = Ask(tuple(parts), body.k, body.explain, body.basket, body.exclude, body.in_stock_only, body.repeat)
        return self._answers(history, [consent], [body.customer_id], moment, ask, watch)[0]

    async def predict_many(self, body: s.PredictManyRequest) -> list[dict[str, Any]]:
        """In the order of the ids, all as of the same instant; other requests are served in between."""
        moment = self._moment(body.as_of)
        ask = Ask(PARTS, body.k, body.explain, (), body.exclude, body.in_stock_only, body.repeat)
        found: list[dict[str, Any]] = []
        for start in range(0, len(body.customer_ids), _CHUNK):
            for customer in body.customer_ids[start : start + _CHUNK]:
                watch = Stopwatch(self.metrics)
                history, consent = self.present.customer(customer)
                watch.lap("history")
                found += self._answers(history, [consent], [customer], moment, ask, watch)
            await asyncio.sleep(0)
        return found

    def _answers(
        self,
        history: History,
        consents: list[dict[str, bool]],
        customers: list[str | None],
        moment: Moment,
        ask: Ask,
        watch: Stopwatch,
    ) -> list[dict[str, Any]]:
        release = self.releases.serving()
        envelope = {
            "as_of": to_text(moment.as_of),
            "data_as_of": _text(self.present.newest(None if moment.live else moment.as_of)),
            "release": release.id,
        }
        answers = answer(history, consents, release, moment, ask, watch.lap)
        for parts in answers:
            for name, part in parts.items():
                self.metrics.answer(name, part.source, release.id)
        return [
            {"customer_id": customer, **envelope, **parts} for customer, parts in zip(customers, answers, strict=True)
        ]

    def _moment(self, as_of: str | None) -> Moment:
        self.present.refresh()
        if as_of is None:
            return Moment(self.clock.instant(self.present.newest()), live=True)
        try:
            instant = parse_as_of(as_of, self.present.zone)
            if instant >= 0 and to_datetime(instant).year < _LATEST_YEAR:
                return Moment(instant, live=False)
        except OverflowError:
            pass
        except ValueError as error:
            raise bad_input(str(error), "as_of") from None
        raise bad_input(f"must lie between 1970 and {_LATEST_YEAR}", "as_of")

    def _history(self, body: s.PredictRequest) -> tuple[History, dict[str, bool]]:
        if body.customer_id is not None:
            return self.present.customer(body.customer_id)
        if body.history is not None:
            return self.present.sent_along(body.history), _ALL_ALLOWED
        return self.present.anybody(), _ALL_ALLOWED

    # -- what is held ---------------------------------------------------------------------------------------------

    async def add(self, body: s.EventsRequest) -> s.Added:
        """All or nothing; durable when it returns. Future is what lies ahead of the service's clock."""
        self.present.refresh()
        orders, events = to_tables(body, self.present.rates(), self.present.zone, wall())
        now = self.clock.instant(self.present.newest())
        added = await self._write(lambda: self.store.add(orders, events, now=now))
        return s.Added(accepted=added.accepted, duplicate=added.duplicate, future=added.future)

    async def upsert_products(self, body: s.ProductsRequest) -> s.ProductsAnswer:
        rows = [product.model_dump(exclude_unset=True) for product in body.products]
        return s.ProductsAnswer(products=await self._write(lambda: self.store.upsert_products(rows)))

    async def export(self, customer: str) -> dict[str, Any]:
        held = await self._write(lambda: self.store.export(_named(customer)))  # the access is logged
        if held is None:
            raise Problem(404, _NOBODY)
        return held

    async def erase(self, customer: str) -> s.Erased:
        if self.settings.erasure_key is None:
            raise Problem(409, "erasing needs REGULARS_ERASURE_KEY set where this service runs")
        erasure = await self._write(lambda: self.store.erase(_named(customer)))
        if erasure is None:
            raise Problem(404, _NOBODY)
        return s.Erased(erased=True, **asdict(erasure))

    async def set_consent(self, customer: str, body: s.ConsentRequest) -> s.Consent:
        purposes = body.model_dump(exclude_none=True)
        if not purposes:
            raise bad_input("name at least one of prediction, recommendation, training")
        if not await self._write(lambda: self.store.set_consent(_named(customer), purposes)):
            raise Problem(404, _NOBODY)
        return s.Consent(**self.store.consent(_named(customer)))

    async def _write(self, work: Callable[[], T]) -> T:
        """Off the event loop: a commit waits for the disk."""
        return await asyncio.get_running_loop().run_in_executor(self._writer, work)

    # -- what is served -------------------------------------------------------------------------------------------

    def models(self) -> s.ModelsAnswer:
        self.present.refresh()
        newest, release = self.present.newest(), self.releases.current
        horizon = release.horizon_days if release else self.settings.horizon_days
        warnings = [self.clock.warning(newest, horizon), self.releases.waiting()]
        return s.ModelsAnswer(
            release=release.id if release else None,
            since=_text(self.releases.since),
            horizon_days=release.horizon_days if release else None,
            models={name: {"version": number} for name, number in release.versions.items()} if release else {},
            grades=dict(release.grades) if release else {},
            segments=list(release.segments.table) if release else [],
            clock=self.clock.setting,
            as_of=to_text(self.clock.instant(newest)),
            data_as_of=_text(newest),
            warnings=[warning for warning in warnings if warning],
            last_refusal=self.releases.refusal,
        )


_ALL_ALLOWED: Final = {"prediction": True, "recommendation": True, "training": True}


def _check_whom(body: s.PredictRequest) -> None:
    named = [name for name in ("customer_id", "history") if getattr(body, name) is not None]
    if len(named) == 2:
        raise bad_input("say customer_id or history, not both", "history")
    if not named and not body.basket:
        raise bad_input("say who it is about: customer_id, history, or a basket alone", "customer_id")


def _named(customer: str) -> str:
    return str(s.identifier(customer))


def _text(instant: int | None) -> str | None:
    return None if instant is None else to_text(instant)
