"""MLflow's door to our models: `mlflow.pyfunc.load_model("models:/churn@champion").predict(frame)`.

MLflow calls `_load_pyfunc` with the folder that a model was saved in. churn, customer_value and segments take a
DataFrame of feature columns and `as_of` (UTC), one answer per row; next_purchase takes order lines and answers with
ranked products per customer. This is for notebooks: the service loads the folders itself and is far quicker.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from histories.arrays import sorted_events, sorted_lines
from histories.clock import parse_as_of
from histories.history import NO_CODE, Catalog, History
from models.churn import Churn
from models.customer_value import CustomerValue
from models.frame import Frame
from models.next_purchase import NextPurchase
from models.segments import Segments

_ROWS_SHOWN = 5
_LINE_COLUMNS = ("customer_id", "occurred_at", "product_id", "quantity", "unit_price")


class Predictor(Protocol):
    def predict(self, frame: pd.DataFrame, params: Mapping[str, Any] | None = None) -> pd.DataFrame: ...


def _load_pyfunc(path: str) -> Predictor:
    folder = Path(path)
    shop = json.loads((folder / "shop.json").read_text(encoding="utf-8"))
    match shop["model"]:
        case "next_purchase":
            return Products(NextPurchase.load(folder), shop["zone"])
        case "churn":
            return Rows(Churn.load(folder), _churn)
        case "customer_value":
            return Rows(CustomerValue.load(folder), _value)
        case "segments":
            return Rows(Segments.load(folder), _segment)
        case other:
            raise ValueError(f"{folder}: no model is called {other!r}")


class Rows:
    """A model of customer rows: columns are taken by name, in the order the model was trained on."""

    def __init__(self, model: Any, answer: Any) -> None:
        self.model, self._answer = model, answer

    def predict(self, frame: pd.DataFrame, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        missing = [name for name in ("as_of", *self.model.features) if name not in frame]
        if missing:
            raise ValueError(f"the column {missing[0]} is missing ({len(missing)} in all)")
        X = np.array(frame.loc[:, list(self.model.features)], np.float32, order="C")
        return pd.DataFrame(self._answer(self.model, X, _instants(frame["as_of"])), index=frame.index)


class Products:
    """The recommender on order lines: customer_id, occurred_at, product_id, quantity, unit_price.

    params: as_of (default: the newest line), k (default 10). One row per customer and product, best first.
    """

    def __init__(self, model: NextPurchase, zone: str) -> None:
        self.model, self._zone = model, zone

    def predict(self, frame: pd.DataFrame, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        missing = [name for name in _LINE_COLUMNS if name not in frame]
        if missing:
            raise ValueError(f"the column {missing[0]} is missing; order lines have {', '.join(_LINE_COLUMNS)}")
        asked = params or {}
        history = _history(frame, self.model.products, self._zone)
        newest = int(history.lines.occurred_at.max(initial=0))
        as_of = parse_as_of(asked["as_of"], self._zone) if asked.get("as_of") else newest
        found = self.model.recommend(history, as_of, int(asked.get("k", 10)))
        rows = [
            (customer, rank, history.catalog.product_id[each.product], each.score, each.reason)
            for customer, products in zip(history.customer_id, found, strict=True)
            for rank, each in enumerate(products, start=1)
        ]
        return pd.DataFrame(rows, columns=["customer_id", "rank", "product_id", "score", "reason"])


def example(folder: Path, frame: Frame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A valid input of the model saved in a folder and its answer, from a model loaded as MLflow loads it."""
    loaded = _load_pyfunc(str(folder))
    if isinstance(loaded, Products):
        given = pd.DataFrame(
            [
                (
                    "customer 1",
                    _time(frame.as_of)[0],
                    loaded.model.products[0] if loaded.model.products else "",
                    1.0,
                    9.5,
                )
            ],
            columns=_LINE_COLUMNS,
        )
    else:
        shown = slice(0, _ROWS_SHOWN)
        given = pd.DataFrame(frame.X[shown].astype(np.float64), columns=list(frame.names))
        given = given.assign(as_of=_time(frame.as_of[shown]))
    return given, loaded.predict(given)


def _churn(model: Churn, X: np.ndarray, as_of: np.ndarray) -> dict[str, np.ndarray]:
    return {"probability": model.predict(X, as_of)}


def _value(model: CustomerValue, X: np.ndarray, as_of: np.ndarray) -> dict[str, np.ndarray]:
    value = model.predict(X, as_of)
    return {
        "expected_spend": value.mean,
        "median_spend": value.median,
        "low": value.low,
        "high": value.high,
        "expected_orders": value.orders,
        "percentile": value.percentile,
    }


def _segment(model: Segments, X: np.ndarray, as_of: np.ndarray) -> dict[str, np.ndarray]:
    return {"segment": np.array(model.names, dtype=object)[model.predict(X, as_of)]}


def _instants(times: pd.Series) -> np.ndarray:
    """Microseconds since 1970 of a time column; naive times are UTC."""
    return pd.to_datetime(times, utc=True).dt.as_unit("us").astype("int64").to_numpy()


def _time(instants: np.ndarray) -> pd.DatetimeIndex:
    return pd.to_datetime(instants, unit="us").as_unit("ns")


def _history(frame: pd.DataFrame, products: tuple[str, ...], zone: str) -> History:
    """A history of order lines; products the model does not know are added to its own."""
    customer, ids = pd.factorize(frame["customer_id"].astype(object), sort=True)
    own = dict.fromkeys([*products, *frame["product_id"].dropna().astype(str)])
    code_of = {product: code for code, product in enumerate(own)}
    n, at = len(frame), _instants(frame["occurred_at"])
    quantity, price = frame["quantity"].to_numpy(float), frame["unit_price"].to_numpy(float)
    columns = {
        "customer": customer,
        "line_id": np.arange(n),
        "occurred_at": at,
        "recorded_at": at,
        "order_id": np.full(n, None, dtype=object),
        "product": np.array([code_of.get(str(product), NO_CODE) for product in frame["product_id"]], dtype=np.int32),
        "channel": np.full(n, NO_CODE),
        "quantity": quantity,
        "unit_price": price,
        "amount": quantity * price,
        "discount": np.zeros(n),
    }
    nothing = dict.fromkeys(("customer", "occurred_at", "recorded_at", "kind", "product"), np.empty(0, dtype=np.int64))
    return History(
        customer_id=np.asarray(ids, dtype=object),
        lines=sorted_lines(columns, len(ids), zone),
        events=sorted_events(nothing | {"value": np.empty(0)}, len(ids)),
        attributes={},
        catalog=_catalog(tuple(own), code_of),
        channels=(),
        zone=zone,
    )


def _catalog(products: tuple[str, ...], code_of: dict[str, int]) -> Catalog:
    n = len(products)
    return Catalog(
        product_id=np.array(products, dtype=object),
        name=np.full(n, "", dtype=object),
        category=np.full(n, NO_CODE, dtype=np.int32),
        categories=(),
        price=np.full(n, np.nan),
        in_stock=np.ones(n, dtype=bool),
        sellable=np.ones(n, dtype=bool),
        code_of=code_of,
    )
