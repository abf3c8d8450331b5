"""The public HTTP API: every endpoint is a typed request in, one call, a typed answer out."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from service import schemas as s
from service.backend import Backend
from service.errors import Problem
from service.openapi import documented, errors
from service.predictor import PARTS
from service.routing import Direct, problem_response


def _backend(request: HttpRequest) -> Backend:
    backend: Backend = request.app.state.backend
    return backend


Here = Annotated[Backend, Depends(_backend)]
router = APIRouter(prefix="/v1", route_class=Direct)


def _may(scope: str) -> dict[str, Any]:
    """The scope that a key needs, and what can go wrong, as the document tells it and the route checks it."""
    return {"openapi_extra": {"x-scope": scope, "security": [{"key": []}]}, "responses": errors(scope)}


@router.post("/predict", **_may("predict"))
def predict(backend: Here, body: s.PredictRequest) -> s.Prediction:
    """All four answers on one customer."""
    return s.Prediction(**backend.predict(body, PARTS))


@router.post("/churn", **_may("predict"))
def churn(backend: Here, body: s.PredictRequest) -> s.ChurnAnswer:
    """How likely it is that the customer does not buy within the horizon."""
    return s.ChurnAnswer(**backend.predict(body, ("churn",)))


@router.post("/customer_value", **_may("predict"))
def customer_value(backend: Here, body: s.PredictRequest) -> s.CustomerValueAnswer:
    """What the customer will spend within the horizon, and on how many days."""
    return s.CustomerValueAnswer(**backend.predict(body, ("customer_value",)))


@router.post("/next_purchase", **_may("predict"))
def next_purchase(backend: Here, body: s.PredictRequest) -> s.NextPurchaseAnswer:
    """What the customer buys next, and when."""
    return s.NextPurchaseAnswer(**backend.predict(body, ("next_purchase",)))


@router.post("/segment", **_may("predict"))
def segment(backend: Here, body: s.PredictRequest) -> s.SegmentAnswer:
    """The group the customer belongs to."""
    return s.SegmentAnswer(**backend.predict(body, ("segment",)))


@router.post("/predict_many", **_may("predict"))
async def predict_many(backend: Here, body: s.PredictManyRequest) -> s.Predictions:
    """All four answers on up to 1,000 customers, in their order."""
    return s.Predictions(predictions=[s.Prediction(**one) for one in await backend.predict_many(body)])


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
    response = problem_response(Problem(error.status_code, _ROUTING.get(error.status_code, "this cannot be answered")))
    response.headers.update(error.headers or {})
    return response


_ROUTING = {404: "there is nothing at this path", 405: "this path does not take that method"}
