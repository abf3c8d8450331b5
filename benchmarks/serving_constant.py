"""Floors: our service answering a constant instead of a prediction, and the same constant from bare Starlette.

`bentoml serve benchmarks.serving_constant:Regulars` and `uvicorn benchmarks.serving_constant:bare`.
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.answers import Answers
from service.asked import Asked
from service.examples import ANSWERS
from service.service import Regulars

__all__ = ["Regulars", "bare"]  # what the servers look for here


def _constant() -> bytes:
    from pydantic_core import to_json

    answer = dict(ANSWERS["POST /v1/predict"])
    next_purchase = answer["next_purchase"]
    return to_json(answer | {"next_purchase": next_purchase | {"products": next_purchase["products"] * 10}})


CONSTANT = _constant()


def _answer(self: Answers, waiting: Sequence[Asked]) -> None:
    for asked in waiting:
        asked.answer = CONSTANT


Answers.together = _answer  # type: ignore[method-assign]


async def _bare(request: Request) -> Response:
    await request.body()
    return Response(CONSTANT, media_type="application/json")


bare = Starlette(routes=[Route("/v1/predict", _bare, methods=["POST"])])
