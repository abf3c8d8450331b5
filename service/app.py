"""The public HTTP API: every endpoint is a typed request in, one call, a typed answer out."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Match

from service import schemas as s
from service.ask import PARTS
from service.backend import Backend
from service.errors import Problem
from service.openapi import documented, errors
from service.routing import Direct
from service.wire import Call


def _backend(request: HttpRequest) -> Backend:
    backend: Backend = request.app.state.backend
    return backend


def _asked(request: HttpRequest) -> Call:
    return Call(request.scope, request.url.path)


Here = Annotated[Backend, Depends(_backend)]
Asked = Annotated[Call, Depends(_asked)]  # both are given by Direct; these say so to FastAPI
router = APIRouter(prefix="/v1", route_class=Direct)


def _may(scope: str) -> dict[str, Any]:
    """The scope that a key needs, and what can go wrong, as the document tells it and the route checks it."""
    return {"openapi_extra": {"x-scope": scope, "security": [{"key": []}]}, "responses": errors(scope)}


@router.post("/predict", response_model=s.Prediction, **_may("predict"))
async def predict(backend: Here, body: s.PredictRequest, call: Asked) -> bytes:
    """All four answers on one customer."""
    return await backend.predict(body, PARTS, call)


@router.post("/churn", response_model=s.ChurnAnswer, **_may("predict"))
async def churn(backend: Here, body: s.PredictRequest, call: Asked) -> bytes:
    """How likely it is that the customer does not buy within the horizon."""
    return await backend.predict(body, ("churn",), call)


@router.post("/customer_value", response_model=s.CustomerValueAnswer, **_may("predict"))
async def customer_value(backend: Here, body: s.PredictRequest, call: Asked) -> bytes:
    """What the customer will spend within the horizon, and on how many days."""
    return await backend.predict(body, ("customer_value",), call)


@router.post("/next_purchase", response_model=s.NextPurchaseAnswer, **_may("predict"))
async def next_purchase(backend: Here, body: s.PredictRequest, call: Asked) -> bytes:
    """What the customer buys next, and when."""
    return await backend.predict(body, ("next_purchase",), call)


@router.post("/segment", response_model=s.SegmentAnswer, **_may("predict"))
async def segment(backend: Here, body: s.PredictRequest, call: Asked) -> bytes:
    """The group the customer belongs to."""
    return await backend.predict(body, ("segment",), call)


@router.post("/predict_many", response_model=s.Predictions, **_may("predict"))
async def predict_many(backend: Here, body: s.PredictManyRequest) -> bytes:
    """All four answers on up to 1,000 customers, in their order."""
    return await backend.predict_many(body)


@router.post("/events", **_may("ingest"))
async def events(backend: Here, body: s.EventsRequest) -> s.Added:
    """Order lines and events, all or nothing, durable when answered; the next live prediction sees them."""
    return await backend.add(body)


@router.post("/products", **_may("ingest"))
async def products(backend: Here, body: s.ProductsRequest) -> s.ProductsAnswer:
    """New products, or new stock and prices of known ones; fields left out stay as they are."""
    return await backend.upsert_products(body)


@router.put("/customers/{id:path}/consent", **_may("privacy"))
async def consent(backend: Here, id: str, body: s.ConsentRequest) -> s.Consent:
    """What the customer allows; purposes left out stay as they are."""
    return await backend.set_consent(id, body)


@router.get("/customers/{id:path}", **_may("privacy"))
async def export(backend: Here, id: str) -> s.Export:
    """All that is held on a customer."""
    return s.Export.model_validate(await backend.export(id))


@router.delete("/customers/{id:path}", **_may("privacy"))
async def erase(backend: Here, id: str) -> s.Erased:
    """Erase a customer."""
    return await backend.erase(id)


@router.get("/models", **_may("predict"))
def models(backend: Here) -> s.ModelsAnswer:
    """The release served, since when, its versions and grades, and the last refusal with its reason."""
    return backend.models()


def create_app(backend: Backend | None = None) -> FastAPI:
    """The app; its paths begin with /v1. `backend` may be set later, as app.state.backend."""
    app = FastAPI(
        title="Regulars",
        version="1",
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={HTTPException: _http_error},
    )
    app.state.backend = backend
    app.include_router(router)
    documented(app)
    return app


async def _http_error(request: HttpRequest, error: Exception) -> Response:
    """What routing itself refuses: unknown paths and methods."""
    assert isinstance(error, HTTPException)
    problem = Problem(error.status_code, _ROUTING.get(error.status_code, "this cannot be answered"))
    problem.allow = ", ".join(sorted(_methods(request))) if error.status_code == 405 else None
    return JSONResponse(problem.body(), problem.status, headers={**(error.headers or {}), **problem.headers()})


def _methods(request: HttpRequest) -> set[str]:
    """All that the routes of this path take together: Starlette knows those of one route."""
    matching = [route for route in router.routes if route.matches(request.scope)[0] != Match.NONE]
    deep = bytes(request.scope.get("raw_path") or b"").count(b"/")  # an id takes slashes in, but only encoded ones
    return {method for route in matching if route.path.count("/") == deep for method in route.methods}  # type: ignore[attr-defined]


_ROUTING = {404: "there is nothing at this path", 405: "this path does not take that method"}
