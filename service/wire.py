"""A request and its answer as they travel: headers, bodies, the id that both carry."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Coroutine, Generator
from random import getrandbits
from types import coroutine
from typing import Any, Final

from starlette.types import Receive, Scope, Send

from service.errors import Problem

BODY_LIMIT: Final = 1 << 20  # bytes
BODY_SECONDS: Final = 10.0  # for all of a body to come
_log = logging.getLogger("regulars")
_LONGEST_ID: Final = 64


class Call:
    """One request: when it came, what its headers say, which endpoint it asks (as the document names it)."""

    __slots__ = ("arrived", "authorization", "endpoint", "identity", "length", "path_params", "stages", "trace_parent")

    def __init__(self, scope: Scope, endpoint: str) -> None:
        self.arrived = time.perf_counter()
        self.endpoint = endpoint
        self.path_params: dict[str, Any] = scope.get("path_params") or {}
        self.authorization: str | None = None
        self.trace_parent: str | None = None
        self.length = 0
        self.stages: list[tuple[str, float, float]] = []
        identity = ""
        for name, value in scope["headers"]:
            if name == b"authorization":
                self.authorization = value.decode("latin-1")
            elif name == b"content-length":
                self.length = int(value) if value.isdigit() else 0
            elif name == b"x-request-id":
                identity = value[:_LONGEST_ID].decode("latin-1")
            elif name == b"traceparent":
                self.trace_parent = value.decode("latin-1")
        fit = identity.isascii() and identity.replace("-", "").isalnum()
        self.identity = identity if fit else f"{getrandbits(64):016x}"  # no secret: the system is not asked for it


async def read(call: Call, receive: Receive) -> bytes:
    """The body; refused as soon as it is known to be too large, or when it takes too long to come."""
    _limit(call.length)
    whole = _whole(receive)
    try:
        awaited = whole.send(None)
    except StopIteration as came:  # with its headers, as nearly all do: a timer costs twenty times as much as reading
        return came.value
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _going_on(whole, awaited)
    except TimeoutError:
        raise Problem(408, "the body did not come in time") from None


@coroutine
def _going_on(begun: Coroutine[Any, Any, bytes], awaited: Any) -> Generator[Any, Any, bytes]:
    """What a coroutine gives in the end that was begun without awaiting it; `awaited`: what it waits for first."""
    try:
        yield awaited
        return (yield from begun.__await__())
    finally:
        begun.close()


async def _whole(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Problem(400, "the connection ended within the body")
        body += message.get("body", b"")
        _limit(len(body))
        more = message.get("more_body", False)
    return body


def _limit(size: int) -> None:
    if size > BODY_LIMIT:
        raise Problem(413, f"a body may hold at most {BODY_LIMIT} bytes")


async def send_json(send: Send, body: bytes, call: Call, status: int = 200, *more: tuple[bytes, bytes]) -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"x-request-id", call.identity.encode()),
        *more,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def send_problem(send: Send, problem: Problem, call: Call) -> None:
    headers = [(name.lower().encode(), value.encode()) for name, value in problem.headers().items()]
    await send_json(send, json.dumps(problem.body()).encode(), call, problem.status, *headers)


def log(level: int, event: str, call: Call, **more: Any) -> None:
    """A line of JSON that holds nothing of the request but its id."""
    _log.log(level, json.dumps({"event": event, "endpoint": call.endpoint, "request_id": call.identity} | more))
