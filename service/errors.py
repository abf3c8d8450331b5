"""Errors as the HTTP API tells them: one envelope, never a value of the request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from pydantic import ValidationError

_DRIVERS: Final = ("sqlite3", "psycopg")
CODES: Final = {
    400: "bad_input",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "too_slow",
    409: "conflict",
    413: "too_large",
    415: "unsupported_media_type",
    429: "too_many_requests",
    500: "internal",
    503: "unavailable",
}


@dataclass(eq=False)
class Problem(Exception):
    """What went wrong with a request, in words that repeat nothing of it."""

    status: int
    message: str
    field: str | None = None
    retry_after: int | None = None  # seconds
    allow: str | None = None  # the methods that a path takes

    def body(self) -> dict[str, Any]:
        code = CODES.get(self.status, "error")
        return {"error": {"code": code, "field": self.field, "message": self.message}}

    def headers(self) -> dict[str, str]:
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        headers |= {"Allow": self.allow} if self.allow else {}
        return headers | ({"WWW-Authenticate": "Bearer"} if self.status == 401 else {})


def bad_input(message: str, field: str | None = None) -> Problem:
    return Problem(400, message, field)


def of_database(error: BaseException | None) -> bool:
    """Whether a database failed: as its driver says it, as SQLAlchemy does, or as the cause of another error."""
    if error is None:
        return False
    kinds = {kind.__name__ for kind in type(error).__mro__ if kind.__module__.split(".")[0] in _DRIVERS}
    return isinstance(error, sa.exc.SQLAlchemyError) or "Error" in kinds or of_database(error.__context__)


def invalid(error: ValidationError) -> Problem:
    """The first thing wrong, by its place in the body; pydantic's own text may quote the input, so it is not used."""
    first = error.errors(include_url=False, include_input=False, include_context=True)[0]
    kind, field = first["type"], path_of(first["loc"])
    if kind == "json_invalid":
        return bad_input("the body is no valid JSON")
    return bad_input(_WORDS.get(kind, _plain)(first.get("ctx") or {}, first["msg"]), field)


def path_of(location: Sequence[int | str]) -> str | None:
    """orders[3].quantity from ("orders", 3, "quantity")."""
    parts = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return parts.lstrip(".")[:200] or None


def _plain(context: dict[str, Any], message: str) -> str:
    return message[0].lower() + message[1:]


_WORDS: Final = {
    "extra_forbidden": lambda context, message: "unknown field",
    "missing": lambda context, message: "required",
    "string_pattern_mismatch": lambda context, message: "must not contain control characters",
    "value_error": lambda context, message: str(context.get("error", message)),
    "literal_error": lambda context, message: f"must be {context['expected']}",
    "model_type": lambda context, message: "must be a JSON object",
    "finite_number": lambda context, message: "must be a finite number",
}
