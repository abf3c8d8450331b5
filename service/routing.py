"""A FastAPI route that reads and writes JSON with pydantic-core alone, straight at the level of ASGI.

FastAPI's own path (dependencies, encoders, a thread per plain function) costs more than a whole prediction.
Signatures mean what they mean in FastAPI, so the OpenAPI document needs nothing of its own: a parameter
annotated with a Request is the body, `backend` is the worker's state, `call` the request as it came, all others are
path parameters.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Coroutine
from typing import Any, get_type_hints

from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from histories.errors import BadInput
from service import schemas
from service.errors import Problem, bad_input, invalid, of_database
from service.wire import Call, log, read, send_json, send_problem


class Direct(APIRoute):
    """Plain functions answer in under a millisecond and run in the event loop, in turn; what waits is `async`."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        scope_of_key = (options.get("openapi_extra") or {}).get("x-scope")
        self.direct = _guarded(_answering(endpoint, scope_of_key), path)
        super().__init__(path, endpoint, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Any]]:
        """FastAPI awaits this for a response, and that with the ASGI arguments: so the response is the app itself."""

        async def handle(request: Request) -> ASGIApp:
            return self.direct

        return handle


def _answering(endpoint: Callable[..., Any], scope_of_key: str | None) -> Callable[..., Any]:
    """From a call to the model or bytes that answers it; raises Problem and whatever else goes wrong."""
    body_name, body_model = _body_of(endpoint)
    waits = inspect.iscoroutinefunction(endpoint)
    wants_call = "call" in inspect.signature(endpoint).parameters

    async def answer(call: Call, backend: Any, receive: Receive) -> BaseModel | bytes:
        if scope_of_key == "predict":
            backend.queue.check()
        if scope_of_key:
            backend.admit(call.authorization, scope_of_key)
        arguments = dict(call.path_params)
        if wants_call:
            arguments["call"] = call
        if body_model is not None:
            arguments[body_name] = body_model.__pydantic_validator__.validate_json(await read(call, receive))
        if waits:
            return await endpoint(backend, **arguments)
        await backend.queue.turn()
        return endpoint(backend, **arguments)

    return answer


def _check_path(scope: Scope, endpoint: str) -> None:
    """A slash of an id is written %2F; one that is not divides the path, and what is behind it is another resource.

    Without this, DELETE /v1/customers/7/consent would erase somebody called 7/consent.
    """
    raw = bytes(scope.get("raw_path") or b"").partition(b"?")[0]
    if raw.count(b"/") > endpoint.count("/"):
        raise Problem(405, "this path does not take that method; a slash in an id is written %2F", allow="PUT")


def _guarded(answer: Callable[..., Any], endpoint: str) -> ASGIApp:
    """Any failure becomes the error envelope; every request is counted and carries an id."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        call, backend = Call(scope, endpoint), scope["app"].state.backend
        try:
            _check_path(scope, endpoint)
            answered = await answer(call, backend, receive)
        except Exception as error:  # noqa: BLE001 - the one spot where failures become HTTP
            problem = _problem_of(error, call)
            await send_problem(send, problem, call)
            backend.observe(call, problem.status)
        else:
            written = answered if isinstance(answered, bytes) else answered.__pydantic_serializer__.to_json(answered)
            await send_json(send, written, call)
            backend.observe(call, 200)

    return app


def _problem_of(error: Exception, call: Call) -> Problem:
    if isinstance(error, Problem):
        return error
    if isinstance(error, ValidationError):
        return invalid(error)
    if of_database(error):
        log_failure("store_failed", error, call)
        return Problem(503, "the history store cannot be used just now", retry_after=1)
    if isinstance(error, BadInput):
        return bad_input(str(error))
    log_failure("request_failed", error, call)
    return Problem(500, "something went wrong here; the log knows it by the request id")


def log_failure(event: str, error: BaseException, call: Call) -> None:
    """Where it failed and by what kind of error: messages may quote data, so they stay out."""
    trace = error.__traceback__
    places = []
    while trace is not None:
        places.append(f"{trace.tb_frame.f_code.co_filename.rsplit('/', 2)[-1]}:{trace.tb_lineno}")
        trace = trace.tb_next
    log(logging.ERROR, event, call, error=type(error).__name__, at=places[-6:])


def _body_of(endpoint: Callable[..., Any]) -> tuple[str, type[BaseModel] | None]:
    for name, kind in get_type_hints(endpoint).items():
        if name != "return" and isinstance(kind, type) and issubclass(kind, schemas.Request):
            return name, kind
    return "", None
