"""Answers as columns: a chunk of customers becomes an Arrow table of scores, equal to what is answered online."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from histories.clock import local_day
from histories.history import Catalog, History
from histories.selection import of_customers
from models.frame import rows
from service.ask import Moment
from service.next_purchases import LONGEST_WAIT_DAYS
from service.release import Release

SCHEMA: Final = pa.schema(
    [
        ("customer_id", pa.string()),
        ("release", pa.string()),
        ("as_of", pa.timestamp("us", tz="UTC")),
        ("churn_probability", pa.float64()),
        ("expected_spend", pa.float64()),
        ("median_spend", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("expected_orders", pa.float64()),
        ("percentile", pa.float64()),
        ("expected_at", pa.string()),  # shop-local date
        ("segment", pa.string()),
        ("products", pa.list_(pa.string())),  # best first; null where none were asked for
        ("product_scores", pa.list_(pa.float64())),
        ("source", pa.string()),  # of the scores: model, fallback or withheld
        ("fallback", pa.string()),
        ("products_source", pa.string()),
    ]
)
_VALUE: Final = {"expected_spend": "mean", "median_spend": "median", "low": "low", "high": "high",
                 "expected_orders": "orders", "percentile": "percentile"}  # fmt: skip

Bools = NDArray[np.bool_]
Columns = dict[str, Any]


def score_table(history: History, release: Release, moment: Moment, k: int = 10) -> pa.Table:
    """One row of SCHEMA per customer, in the order of a history with consent; a row does not depend on the others.

    k: products each; 0 leaves them out. Who has not bought by then gets the newcomer's prior; who has not consented,
    nulls and what sells.
    """
    X, _ = rows(history, moment.as_of, release.encoder, live=moment.live)
    bought = X[:, release.row_names.index("purchases")] > 0
    predicted = history.consent["prediction"]
    known = bought & predicted
    columns: Columns = {
        "customer_id": pa.array(history.customer_id, pa.string()),
        "release": _repeated(release.id, len(history), pa.string()),
        "as_of": _repeated(moment.as_of, len(history), SCHEMA.field("as_of").type),
        **_numbers(X, known, predicted, release, moment.as_of),
        "expected_at": _dates(X, known, release, moment, history.zone),
        "source": _named(("model", "fallback", "withheld"), np.select([known, predicted], [0, 1], 2)),
        "fallback": _named(("prior",), np.where(predicted & ~known, 0, -1)),
        **_products(history, X, known, predicted, known & history.consent["recommendation"], release, moment, k),
    }
    return pa.table([columns[name] for name in SCHEMA.names], schema=SCHEMA)


def _numbers(X: NDArray[np.float32], known: Bools, predicted: Bools, release: Release, as_of: int) -> Columns:
    """Churn, value and segment: of the models for the known, the newcomer's prior for others who allow it."""
    made = _by_models(X[known], release, as_of) if known.any() else {}
    prior = _prior(release, as_of)
    columns: Columns = {}
    for name, fallback in prior.items():
        values = np.full(len(X), fallback)
        values[known] = made.get(name, ())
        columns[name] = values
    segment = np.where(predicted, columns.pop("segment"), -1)
    numbers = {name: pa.array(values, mask=~predicted, from_pandas=True) for name, values in columns.items()}
    return numbers | {"segment": _named(release.segments.names, segment)}


def _by_models(X: NDArray[np.float32], release: Release, as_of: int) -> dict[str, NDArray]:
    value = release.customer_value.predict(release.columns("customer_value", X), as_of)
    return {
        "churn_probability": release.churn.predict(release.columns("churn", X), as_of),
        **{name: getattr(value, part) for name, part in _VALUE.items()},
        "segment": release.segments.predict(release.columns("segments", X), as_of),
    }


def _prior(release: Release, as_of: int) -> dict[str, Any]:
    churn, value = release.newcomer(as_of)
    return {
        "churn_probability": churn,
        **{name: float(getattr(value, part)) for name, part in _VALUE.items()},
        "segment": release.segments.names.index(release.segments.fallback()),
    }


def _dates(X: NDArray[np.float32], known: Bools, release: Release, moment: Moment, zone: str) -> pa.Array:
    """Shop-local dates of the next order; null for the unknown, and beyond what is worth a date."""
    days = np.full(len(X), np.nan)
    if known.any() and release.next_purchase.timing is not None:
        lapse = release.churn.predict(release.columns("churn", X[known]), moment.as_of)
        days[known], _ = release.next_purchase.when(release.columns("next_purchase", X[known]), moment.as_of, lapse)
    told = np.isfinite(days) & (days <= LONGEST_WAIT_DAYS)
    at = local_day(moment.as_of, zone) + np.round(np.where(told, days, 0)).astype(np.int64)
    texts = np.datetime_as_string(at.astype("datetime64[D]")).astype(object)
    return pa.array(texts, pa.string(), mask=~told)


def _products(
    history: History,
    X: NDArray[np.float32],
    known: Bools,
    predicted: Bools,
    own: Bools,
    release: Release,
    moment: Moment,
    k: int,
) -> Columns:
    """The ranker's products for `own`, what sells for the others; nulls where k is 0."""
    if not k:
        return {name: pa.nulls(len(X), SCHEMA.field(name).type)
                for name in ("products", "product_scores", "products_source")}  # fmt: skip
    who = np.flatnonzero(own)
    part = history if len(who) == len(history) else of_customers(history, who)
    chosen = release.next_purchase.recommend(part, moment.as_of, k, live=moment.live) if len(who) else []
    lists: list[Sequence[Any]] = [()] * len(history)
    if len(who) < len(history):
        lists = [release.next_purchase.popular(history.catalog, k)] * len(history)
    for customer, found in zip(who.tolist(), chosen, strict=True):
        lists[customer] = found
    source = _named(("model", "fallback", "withheld"), np.select([own, predicted], [0, 1], 2))
    return {**_lists(lists, history.catalog), "products_source": source}


def _lists(lists: Sequence[Sequence[Any]], catalog: Catalog) -> Columns:
    offsets = np.concatenate([[0], np.cumsum([len(found) for found in lists])]).astype(np.int32)
    codes = np.fromiter((item.product for item in chain.from_iterable(lists)), np.int64, offsets[-1])
    score = np.fromiter((item.score for item in chain.from_iterable(lists)), np.float64, offsets[-1])
    names = pa.array(catalog.product_id[codes], pa.string())
    return {
        "products": pa.ListArray.from_arrays(offsets, names),
        "product_scores": pa.ListArray.from_arrays(offsets, pa.array(score)),
    }


def _named(names: Sequence[str], codes: NDArray[np.int64]) -> pa.Array:
    """Text by code; null below 0."""
    return pa.array(names, pa.string()).take(pa.array(codes, mask=codes < 0))


def _repeated(value: Any, rows: int, kind: pa.DataType) -> pa.Array:
    return pa.repeat(pa.scalar(value, kind), rows)
