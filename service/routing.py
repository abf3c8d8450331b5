"""A FastAPI route that reads and writes JSON with pydantic-core alone.

FastAPI's own path (dependencies, encoders, a thread per plain function) costs more than a whole prediction.
Signatures mean what they mean in FastAPI, so the OpenAPI document needs nothing of its own: a parameter
annotated with a Request is the body, `backend` is the worker's state, all others are path parameters.
"""

from __future__ import annotations

import inspect
import json
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, get_type_hints

import sqlalchemy as sa
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from histories.errors import BadInput
from service import schemas
from service.errors import Problem, bad_input, invalid

BODY_LIMIT: Final = 1 << 20  # bytes
_DRIVERS: Final = ("sqlite3", "psycopg")
_log = logging.getLogger("regulars")


class Direct(APIRoute):
    """Runs plain functions in the event loop: they answer in under a millisecond. Longer work is `async`."""

    def get_route_handler(self) -> Callable[[HttpRequest], Awaitable[Response]]:  # type: ignore[override]
        endpoint, scope = self.endpoint, (self.openapi_extra or {}).get("x-scope")
        body_name, body_model = _body_of(endpoint)
        waits = inspect.iscoroutinefunction(endpoint)

        async def answer(request: HttpRequest) -> Response:
            backend = request.app.state.backend
            if scope:
                backend.keys.check(request.headers.get("authorization"), scope)
            arguments = dict(request.path_params)
            if body_model is not None:
                arguments[body_name] = body_model.__pydantic_validator__.validate_json(await _read(request))
            result = endpoint(backend, **arguments)
            return json_response(await result if waits else result)

        return _guarded(answer, self.path)


def json_response(answer: BaseModel | Response) -> Response:
    if isinstance(answer, Response):
        return answer
    return Response(answer.__pydantic_serializer__.to_json(answer), media_type="application/json")


def problem_response(problem: Problem) -> Response:
    return Response(
        json.dumps(problem.body()), problem.status, headers=problem.headers(), media_type="application/json"
    )


def _guarded(
    answer: Callable[[HttpRequest], Awaitable[Response]], endpoint: str
) -> Callable[[HttpRequest], Awaitable[Response]]:
    """Any failure becomes the error envelope; every request is counted and carries an id."""

    async def handle(request: HttpRequest) -> Response:
        began = time.perf_counter()
        identity = request.headers.get("x-request-id", "")[:64]
        if not identity.replace("-", "").isalnum():
            identity = secrets.token_hex(8)
        try:
            response = await answer(request)
        except Exception as error:  # noqa: BLE001 - the one spot where failures become HTTP
            response = problem_response(_problem_of(error, endpoint, identity))
        response.headers["X-Request-ID"] = identity
        request.app.state.backend.metrics.request(endpoint, response.status_code, time.perf_counter() - began)
        return response

    return handle


def _problem_of(error: Exception, endpoint: str, identity: str) -> Problem:
    if isinstance(error, Problem):
        return error
    if isinstance(error, ValidationError):
        return invalid(error)
    if _of_database(error):
        log_failure("store_failed", error, endpoint, identity)
        return Problem(503, "the history store cannot be used just now", retry_after=1)
    if isinstance(error, BadInput):
        return bad_input(str(error))
    log_failure("request_failed", error, endpoint, identity)
    return Problem(500, "something went wrong here; the log knows it by the request id")


def _of_database(error: BaseException | None) -> bool:
    """Whether a database failed: as its driver says it, as SQLAlchemy does, or as the cause of another error."""
    if error is None:
        return False
    kinds = {kind.__name__ for kind in type(error).__mro__ if kind.__module__.split(".")[0] in _DRIVERS}
    return isinstance(error, sa.exc.SQLAlchemyError) or "Error" in kinds or _of_database(error.__context__)


def log_failure(event: str, error: BaseException, endpoint: str, identity: str) -> None:
    """Where it failed and by what kind of error: messages may quote data, so they stay out."""
    trace = error.__traceback__
    places = []
    while trace is not None:
        places.append(f"{trace.tb_frame.f_code.co_filename.rsplit('/', 2)[-1]}:{trace.tb_lineno}")
        trace = trace.tb_next
    fields = {"event": event, "endpoint": endpoint, "request_id": identity}
    _log.error(json.dumps(fields | {"error": type(error).__name__, "at": places[-6:]}))


async def _read(request: HttpRequest) -> bytes:
    """The body, refused as soon as it is known to be too large."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > BODY_LIMIT:
        raise Problem(413, f"a body may hold at most {BODY_LIMIT} bytes")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_LIMIT:
            raise Problem(413, f"a body may hold at most {BODY_LIMIT} bytes")
    return bytes(body)


def _body_of(endpoint: Callable[..., Any]) -> tuple[str, type[BaseModel] | None]:
    for name, kind in get_type_hints(endpoint).items():
        if name != "return" and isinstance(kind, type) and issubclass(kind, schemas.Request):
            return name, kind
    return "", None
