"""The OpenAPI 3.1 document: what FastAPI derives from the routes, with keys, errors and examples that are true."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from fastapi import FastAPI

from service.examples import ANSWERS, REQUESTS
from service.schemas import ErrorAnswer

_ABOUT: Final = """Predictions per customer of one shop: who comes back, what they are worth, what they buy next.

Ids in a path are percent-encoded, slashes included. Times are ISO 8601; a time without a zone is in the shop's zone.
Errors are always `{"error": {"code", "field", "message"}}` and repeat nothing of the request."""

_ERRORS: Final = {
    400: "bad input; `field` says where",
    401: "no valid key",
    403: "the key lacks the scope",
    404: "unknown",
    408: "the body did not come in time",
    413: "the body is too large",
    429: "too many requests; Retry-After says when to come back",
    503: "cannot answer just now; Retry-After says when to come back",
}


def errors(scope: str) -> dict[int | str, dict[str, Any]]:
    """The refusals that an endpoint may answer with."""
    told = (code for code in _ERRORS if code != 404 or scope == "privacy")
    return {code: {"model": ErrorAnswer, "description": _ERRORS[code]} for code in told} | {
        "default": {"model": ErrorAnswer, "description": "any other failure"}
    }


def documented(app: FastAPI) -> None:
    """Complete the document that the app serves."""
    derive: Callable[[], dict[str, Any]] = app.openapi

    def complete() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _completed(derive())
        return app.openapi_schema

    app.openapi = complete  # type: ignore[method-assign]


def _completed(document: dict[str, Any]) -> dict[str, Any]:
    document["info"]["description"] = _ABOUT
    document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    for path, verbs in document["paths"].items():
        for verb, operation in verbs.items():
            scope = operation.pop("x-scope", None)
            if scope:
                operation["description"] = f"{operation.get('description', '')}\n\nScope of the key: `{scope}`.".strip()
            _add_examples(operation, f"{verb.upper()} {path}")
    return document


def _add_examples(operation: dict[str, Any], called: str) -> None:
    if called in REQUESTS:
        _content(operation["requestBody"])["examples"] = {
            name: {"value": body} for name, body in REQUESTS[called].items()
        }
    if called in ANSWERS:
        _content(operation["responses"]["200"])["example"] = ANSWERS[called]


def _content(part: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = part["content"]["application/json"]
    return content
