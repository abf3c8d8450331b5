"""Where a request goes: the public API and the metrics are answered here, all else is left to BentoML's own app.

BentoML's middlewares cost as much as a prediction, and its time-out keeps what belongs to a request in memory for as
long as the time-out lasts, whenever the answer came.
"""

from __future__ import annotations

from fastapi import FastAPI
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.app import router
from service.routing import Direct


class Front:
    def __init__(self, api: FastAPI, rest: ASGIApp) -> None:
        self._api = api
        self._rest = rest
        self._direct = {
            (method, route.path): route.direct
            for route in router.routes
            if isinstance(route, Direct) and "{" not in route.path
            for method in route.methods or ()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._rest(scope, receive, send)
            return
        path = scope["path"]
        app = self._direct.get((scope["method"], path))
        if app is not None:
            scope["app"] = self._api
            await app(scope, receive, send)
        elif path == "/metrics":
            text = self._api.state.backend.metrics.text()
            await Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")(scope, receive, send)
        elif path.startswith("/v1/"):
            await self._api(scope, receive, send)
        else:
            await self._rest(scope, receive, send)
