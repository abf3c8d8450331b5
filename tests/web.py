"""The service's app in this process: requests over ASGI, without a server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from histories.settings import Settings
from histories.storage.store import Store
from service.app import create_app
from service.backend import Backend
from service.metrics import Metrics
from service.registry import bring_champion
from service.releases import Releases
from service.shelf import Shelf
from service.trial import trial
from tests.conftest import Trained
from tests.databases import copy_database


class Web(httpx.BaseTransport):
    """A client that can be called without `await`; also a transport, for clients under test."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.app = create_app(backend)
        self._runner = asyncio.Runner()

    def close(self) -> None:
        self._runner.close()

    def __call__(self, method: str, path: str, body: Any = None, **options: Any) -> httpx.Response:
        if isinstance(body, str | bytes):
            options["content"] = body
        elif body is not None:
            options["json"] = body
        return self._runner.run(self._ask(httpx.Request(method, f"http://shop{path}", **options)))

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self._runner.run(self._ask(request))
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    async def _ask(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport) as client:
            sent = client.build_request(
                request.method, request.url, headers=request.headers.raw, content=request.content
            )
            return await client.send(sent)

    def post(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        return self("POST", path, body, **options)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self("GET", path, **options)


@contextmanager
def web_of(settings: Settings, shelf: Shelf, *, loopback: bool = True, deadline_ms: float = 600_000) -> Iterator[Web]:
    """The app on a store, with the release that the shelf names; without one it answers 503.

    A slow machine must not turn answers into fallbacks, unless the test is about deadlines.
    """
    settings = settings.model_copy(update={"deadline_ms": deadline_ms})
    store = Store.open(settings.store, settings)
    releases = Releases(shelf, Metrics(), trial(store))
    releases.look()
    web = Web(Backend(settings, store, releases, loopback=loopback))
    try:
        yield web
    finally:
        web.close()
        web.backend.close()
        store.close()


def shelf_of(trained: Trained, folder: Path) -> Shelf:
    """A shelf that holds the trained release."""
    shelf = Shelf(folder)
    bring_champion(trained.settings, shelf)
    return shelf


def own_copy(trained: Trained, folder: Path) -> Settings:
    """Settings with a copy of the shop's store, to write to."""
    source = Path(trained.shop.store_url.removeprefix("sqlite:///"))
    copy_database(source, folder)
    return trained.settings.model_copy(update={"store": f"sqlite:///{folder}/{source.name}"})
