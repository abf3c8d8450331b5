"""Examples of the OpenAPI document. A test sends every request to the app and holds every answer against it."""

from __future__ import annotations

from typing import Any, Final

_CHURN: Final = {
    "source": "model",
    "fallback": None,
    "probability": 0.31,
    "horizon_days": 90,
    "reasons": [
        {"feature": "days_since_last_order", "value": 12.0, "effect": -0.84, "text": "ordered 12 days ago"},
    ],
}
_VALUE: Final[dict[str, Any]] = {
    "source": "model",
    "fallback": None,
    "expected_spend": 412.5,
    "median_spend": 350.0,
    "low": 120.0,
    "high": 910.0,
    "interval": 0.8,
    "expected_orders": 1.9,
    "percentile": 83.4,
    "horizon_days": 90,
    "reasons": [],
}
_NEXT: Final = {
    "source": "model",
    "fallback": None,
    "expected_at": "2011-09-29",
    "weeks": [0.18, 0.16, 0.12, 0.1],
    "products": [{"product_id": "85123A", "score": 0.21, "reason": "bought 4 times"}],
}
_SEGMENT: Final = {"source": "model", "fallback": None, "name": "loyal"}
_ENVELOPE: Final = {
    "customer_id": "13085",
    "as_of": "2011-09-10T22:59:59Z",
    "data_as_of": "2011-09-09T17:02:00Z",
    "release": "2026-11-23-1a2b3c",
}
_PREDICTION: Final = {
    **_ENVELOPE,
    "churn": _CHURN,
    "customer_value": _VALUE,
    "next_purchase": _NEXT,
    "segment": _SEGMENT,
}
_ASKED: Final = {
    "a customer": {"customer_id": "13085"},
    "as of a day, with reasons": {"customer_id": "13085", "as_of": "2011-09-10", "explain": True, "k": 5},
    "a history sent along": {
        "history": [
            {"occurred_at": "2011-06-02T10:15:00", "product_id": "85123A", "quantity": 6, "unit_price": 2.95},
            {"occurred_at": "2011-08-20T16:40:00", "product_id": "22423", "quantity": 1, "unit_price": 12.75},
        ]
    },
    "a basket alone": {"basket": ["85123A", "22423"], "k": 5},
}

REQUESTS: Final[dict[str, dict[str, Any]]] = {
    "POST /v1/predict": _ASKED,
    "POST /v1/churn": {"a customer": {"customer_id": "13085"}},
    "POST /v1/customer_value": {"a customer": {"customer_id": "13085"}},
    "POST /v1/next_purchase": _ASKED,
    "POST /v1/segment": {"a customer": {"customer_id": "13085"}},
    "POST /v1/predict_many": {"two customers": {"customer_ids": ["13085", "14911"], "k": 3}},
    "POST /v1/events": {
        "an order of two lines and a view": {
            "orders": [
                {
                    "customer_id": "13085",
                    "occurred_at": "2011-09-10T11:20:00",
                    "order_id": "566001",
                    "product_id": "85123A",
                    "quantity": 6,
                    "unit_price": 2.95,
                },
                {
                    "customer_id": "13085",
                    "occurred_at": "2011-09-10T11:20:00",
                    "order_id": "566001",
                    "product_id": "22423",
                    "quantity": 1,
                    "unit_price": 12.75,
                },
            ],
            "events": [
                {
                    "customer_id": "13085",
                    "kind": "view",
                    "occurred_at": "2011-09-10T11:05:00",
                    "product_id": "85123A",
                }
            ],
        }
    },
    "POST /v1/products": {
        "new stock and price": {"products": [{"product_id": "85123A", "price": 2.95, "in_stock": True}]}
    },
    "PUT /v1/customers/{id}/consent": {"no recommendations": {"recommendation": False}},
}

ANSWERS: Final[dict[str, Any]] = {
    "POST /v1/predict": _PREDICTION,
    "POST /v1/churn": {**_ENVELOPE, "churn": _CHURN},
    "POST /v1/customer_value": {**_ENVELOPE, "customer_value": _VALUE},
    "POST /v1/next_purchase": {**_ENVELOPE, "next_purchase": _NEXT},
    "POST /v1/segment": {**_ENVELOPE, "segment": _SEGMENT},
    "POST /v1/predict_many": {"predictions": [_PREDICTION]},
    "POST /v1/events": {"accepted": 3, "duplicate": 0, "future": 0},
    "POST /v1/products": {"products": 1},
    "PUT /v1/customers/{id}/consent": {"prediction": True, "recommendation": False, "training": True},
}
