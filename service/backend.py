"""What one worker holds: the store, the release it serves, the keys, the clock. Endpoints ask it; it knows no HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any, Final, TypeVar

from histories.clock import to_text
from histories.settings import Settings
from histories.storage.store import Store
from service import schemas as s
from service.answers import Answers
from service.asked import Asked
from service.clock import Clock, wall
from service.errors import Problem, bad_input
from service.incoming import to_tables
from service.keys import KeyRing
from service.present import Present
from service.queue import Queue
from service.rates import RateLimits
from service.releases import Releases
from service.telemetry import Telemetry
from service.wire import Call

T = TypeVar("T")
_NOBODY: Final = "this person is not known here"


class Backend:
    def __init__(self, settings: Settings, store: Store, releases: Releases, *, loopback: bool = False) -> None:
        """`loopback`: only this host can reach the service, so that it may run without any key."""
        self.settings = settings
        self.store = store
        self.metrics = releases.metrics
        self.keys = KeyRing(store, loopback=loopback)
        self.releases = releases
        self.clock = Clock(settings.clock, store.zone)
        self.present = Present(store, self.clock, self.metrics)
        self.answers = Answers(self.present, self.clock, releases, self.metrics, settings.deadline_ms / 1000)
        self.queue = Queue(settings.queue_limit, self.answers.together)
        self._rates = RateLimits(settings.rate_limit)
        self._telemetry = Telemetry.of(settings)
        self._writer = ThreadPoolExecutor(1, "writer")  # a store takes one write at a time anyway

    @property
    def ready(self) -> bool:
        return self.releases.current is not None and self.present.warm

    def close(self) -> None:
        """Let what was begun end."""
        self.releases.close()
        self._writer.shutdown()
        self._telemetry.close()

    def admit(self, authorization: str | None, scope: str) -> None:
        """Raises Problem 401, 403 or 429."""
        self._rates.take(self.keys.check(authorization, scope))

    def observe(self, call: Call, status: int) -> None:
        """A request was answered."""
        self._telemetry.told(call, status, self.metrics)

    # -- predictions ----------------------------------------------------------------------------------------------

    async def predict(self, body: s.PredictRequest, parts: tuple[str, ...], call: Call | None = None) -> bytes:
        """The envelope of one customer's answer with those parts, as JSON."""
        return (await self.queue.answered(Asked(body, parts, call))).told()

    async def predict_many(self, body: s.PredictManyRequest) -> bytes:
        """In the order of the ids, all as of the same instant; other requests are served in between."""
        return await self.answers.many(body, self.queue)

    # -- what is held ---------------------------------------------------------------------------------------------

    async def add(self, body: s.EventsRequest) -> s.Added:
        """All or nothing; durable when it returns. Future is what lies ahead of the service's clock."""
        added = await self._write(lambda: self._add(body))
        for outcome in ("accepted", "duplicate", "future"):
            self.metrics.lines(outcome, getattr(added, outcome))
        return added

    def _add(self, body: s.EventsRequest) -> s.Added:
        now = self.clock.instant(self.present.newest())
        orders, events = to_tables(body, self.present.rates(), self.present.zone, wall())
        added = self.store.add(orders, events, now=now)
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
        self.present.forget(_named(customer))
        self.answers.forget()
        return s.Erased(erased=True, **asdict(erasure))

    async def set_consent(self, customer: str, body: s.ConsentRequest) -> s.Consent:
        purposes = body.model_dump(exclude_none=True)
        if not purposes:
            raise bad_input("name at least one of prediction, recommendation, training")
        if not await self._write(lambda: self.store.set_consent(_named(customer), purposes)):
            raise Problem(404, _NOBODY)
        self.present.forget(_named(customer))
        self.answers.forget()
        return s.Consent(**self.store.consent(_named(customer)))

    async def _write(self, work: Callable[[], T]) -> T:
        """Off the event loop: a commit waits for the disk."""
        self.present.refresh()
        return await asyncio.get_running_loop().run_in_executor(self._writer, self._kept, work)

    def _kept(self, work: Callable[[], T]) -> T:
        """What is written to a file that has been removed is not kept: it must not be acknowledged."""
        self.present.check()
        done = work()
        self.present.check_file()
        return done

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


def _named(customer: str) -> str:
    return str(s.identifier(customer))


def _text(instant: int | None) -> str | None:
    return None if instant is None else to_text(instant)
