"""A thin typed client of the HTTP API.

with Client("http://localhost:3000", key="rg_...") as shop:
    answer = shop.predict("13085", k=5)
    answer.churn.probability
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Final, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel

from service import schemas as s

Answer = TypeVar("Answer", bound=BaseModel)
_PATIENCE: Final = 5.0  # seconds, the longest Retry-After that is waited for


class ApiError(Exception):
    """What the service refused, in its own words."""

    def __init__(self, status: int, code: str, message: str, field: str | None = None) -> None:
        super().__init__(f"{status} {code}: {field + ': ' if field else ''}{message}")
        self.status, self.code, self.message, self.field = status, code, message, field


class Client:
    """Retries when the connection fails, and on 429 and 503 after the time the service asks for.

    Sending twice does no harm (events are idempotent by line identity), except that a second DELETE finds nobody:
    that one is sent once.
    """

    def __init__(
        self,
        url: str = "http://localhost:3000",
        key: str | None = None,
        *,
        timeout: float = 2.0,
        retries: int = 2,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(
            base_url=f"{url.rstrip('/')}/v1/", headers=headers, timeout=timeout, transport=transport
        )
        self._retries = retries

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def predict(self, customer_id: str | None = None, **options: Any) -> s.Prediction:
        """Options as in the API: history, basket, as_of, k, explain, exclude, in_stock_only, repeat, upsell."""
        return self._post("predict", _about(customer_id, options), s.Prediction)

    def churn(self, customer_id: str | None = None, **options: Any) -> s.ChurnAnswer:
        return self._post("churn", _about(customer_id, options), s.ChurnAnswer)

    def customer_value(self, customer_id: str | None = None, **options: Any) -> s.CustomerValueAnswer:
        return self._post("customer_value", _about(customer_id, options), s.CustomerValueAnswer)

    def next_purchase(self, customer_id: str | None = None, **options: Any) -> s.NextPurchaseAnswer:
        return self._post("next_purchase", _about(customer_id, options), s.NextPurchaseAnswer)

    def segment(self, customer_id: str | None = None, **options: Any) -> s.SegmentAnswer:
        return self._post("segment", _about(customer_id, options), s.SegmentAnswer)

    def predict_many(self, customer_ids: Sequence[str], **options: Any) -> list[s.Prediction]:
        """In the order of the ids, at most 1,000."""
        body = {"customer_ids": list(customer_ids), **options}
        return self._post("predict_many", body, s.Predictions).predictions

    def add(self, orders: Sequence[Mapping[str, Any]] = (), events: Sequence[Mapping[str, Any]] = ()) -> s.Added:
        """Durable when it returns."""
        return self._post("events", {"orders": list(orders), "events": list(events)}, s.Added)

    def upsert_products(self, products: Sequence[Mapping[str, Any]]) -> int:
        return self._post("products", {"products": list(products)}, s.ProductsAnswer).products

    def customer(self, customer_id: str) -> dict[str, Any]:
        """All that is held on a customer."""
        return dict(self._call("GET", _customer(customer_id)).json())

    def erase(self, customer_id: str) -> s.Erased:
        return s.Erased.model_validate_json(self._call("DELETE", _customer(customer_id)).content)

    def set_consent(self, customer_id: str, **purposes: bool) -> s.Consent:
        answer = self._call("PUT", f"{_customer(customer_id)}/consent", purposes)
        return s.Consent.model_validate_json(answer.content)

    def models(self) -> s.ModelsAnswer:
        return s.ModelsAnswer.model_validate_json(self._call("GET", "models").content)

    def _post(self, path: str, body: Mapping[str, Any], kind: type[Answer]) -> Answer:
        return kind.model_validate_json(self._call("POST", path, body).content)

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
        for left in range(0 if method == "DELETE" else self._retries, -1, -1):
            try:
                response = self._http.request(method, path, json=body)
            except httpx.TransportError:
                if not left:
                    raise
                time.sleep(0.05)
                continue
            if response.status_code not in (429, 503) or not left:
                return _checked(response)
            time.sleep(_asked_wait(response))
        raise AssertionError("the last attempt returns or raises")


def _about(customer_id: str | None, options: Mapping[str, Any]) -> dict[str, Any]:
    return {**({} if customer_id is None else {"customer_id": customer_id}), **options}


def _customer(customer_id: str) -> str:
    return f"customers/{quote(customer_id, safe='')}"


def _checked(response: httpx.Response) -> httpx.Response:
    if response.is_success:
        return response
    try:
        error = s.ErrorAnswer.model_validate_json(response.content).error
    except ValueError:
        raise ApiError(response.status_code, "unknown", "not an answer of this service") from None
    raise ApiError(response.status_code, error.code, error.message, error.field)


def _asked_wait(response: httpx.Response) -> float:
    asked = response.headers.get("Retry-After", "0")
    return min(float(asked) if asked.isdigit() else 0.0, _PATIENCE)
