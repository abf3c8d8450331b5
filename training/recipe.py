"""The recipe: how the four models of a release are made from a history, and asked together."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.attributes import AttributeEncoder
from histories.history import History
from histories.selection import of_customers
from models.churn import Churn
from models.customer_value import CustomerValue
from models.frame import Frame, rows, training_frame
from models.next_purchase import NextPurchase
from models.segments import Segments
from training import metrics
from training.backtest import Holdout
from training.judge import Answers, K

Step = Callable[[str], None]
Frames = Callable[..., Frame]  # of (history, as_of, horizon_days, encoder), as models.frame.training_frame
STAGES = ("features", "churn", "customer_value", "segments", "next_purchase")


@dataclass(frozen=True)
class Fitted:
    """Four models fitted on one history up to as_of, and the encoder of the attributes they were shown."""

    encoder: AttributeEncoder
    churn: Churn
    customer_value: CustomerValue
    next_purchase: NextPurchase
    segments: Segments

    @property
    def models(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _KINDS}

    def of_a_share(self, share: float) -> Fitted:
        """Fitted on that share of the customers: the segments' sizes are estimates of everybody's."""
        table = [row | {"size": round(row["size"] / share)} for row in self.segments.table]
        return replace(self, segments=replace(self.segments, table=table))

    def save(self, folder: Path, shop: Mapping[str, object]) -> dict[str, Path]:
        """Each model in a folder of its own that holds all it needs: {model: folder}."""
        saved = {}
        for name, model in self.models.items():
            saved[name] = folder / name
            saved[name].mkdir(parents=True)
            model.save(saved[name])
            (saved[name] / "attributes.json").write_text(self.encoder.to_json(), encoding="utf-8")
            meta = {**shop, "model": name}
            (saved[name] / "shop.json").write_text(json.dumps(meta, indent=1), encoding="utf-8")
        return saved

    @classmethod
    def load(cls, folder: Path) -> Fitted:
        encoder = AttributeEncoder.from_json((folder / "churn" / "attributes.json").read_text(encoding="utf-8"))
        return cls(encoder, *(kind.load(folder / name) for name, kind in _KINDS.items()))


_KINDS: dict[str, Any] = {
    "churn": Churn,
    "customer_value": CustomerValue,
    "next_purchase": NextPurchase,
    "segments": Segments,
}


def fit(
    history: History, as_of: int, horizon_days: int, step: Step, frames: Frames = training_frame
) -> tuple[Fitted, Frame]:
    """The recipe. `step` is told each stage as it begins; `frames` makes the frame, here or elsewhere."""
    step("features")
    encoder = AttributeEncoder.fit(history)
    frame = frames(history, as_of, horizon_days, encoder)
    step("churn")
    churn = Churn.fit(frame)
    step("customer_value")
    value = CustomerValue.fit(frame, churn)
    step("segments")
    segments = Segments.fit(frame, value)
    step("next_purchase")  # not beside the others: LightGBM crashes where two threads begin to train at once
    next_purchase = NextPurchase.fit(history, as_of, frame)
    return Fitted(encoder, churn, value, next_purchase, segments), frame


def answers(fitted: Fitted, holdout: Holdout) -> Answers:
    """What the four models said of the holdout customers at the cut. Raises ValueError when they cannot be fed."""
    X, names = rows(holdout.history, holdout.cut, fitted.encoder)

    def asked(model: Any) -> NDArray[np.float32]:
        return columns(X, names, model.features)

    value = fitted.customer_value.predict(asked(fitted.customer_value), holdout.cut)
    churn = fitted.churn.predict(asked(fitted.churn), holdout.cut)
    days, _ = fitted.next_purchase.when(asked(fitted.next_purchase.timing), holdout.cut, churn)
    recall, ndcg = ranked(holdout, _recommended(fitted.next_purchase, holdout))
    return {
        "churn": churn,
        "mean": value.mean,
        "median": value.median,
        "low": value.low,
        "high": value.high,
        "orders": value.orders,
        "segment": fitted.segments.predict(asked(fitted.segments), holdout.cut),
        "days": days,
        "recall": recall,
        "ndcg": ndcg,
        **({} if np.isnan(value.percentile).any() else {"rank": value.percentile}),  # a champion of before has none
    }


def ranked(holdout: Holdout, lists: Sequence[NDArray]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """recall@10 and ndcg@10 per holdout customer, nan without a basket, from one list per customer with one."""
    found = np.full((len(holdout.truth), 2), np.nan)
    for row, products in zip(np.flatnonzero(holdout.truth.has_basket), lists, strict=True):
        found[row] = metrics.recall_and_ndcg(holdout.baskets[row], products, K)
    return found[:, 0], found[:, 1]


def _recommended(model: NextPurchase, holdout: Holdout) -> list[NDArray]:
    """Stock is of today, not of the cut: it plays no part here."""
    buyers = np.flatnonzero(holdout.truth.has_basket)
    part = of_customers(holdout.history, buyers)
    lists = model.recommend(part, holdout.cut, K, in_stock_only=False)
    return [np.array([each.product for each in found], dtype=np.int32) for found in lists]


def columns(X: NDArray[np.float32], names: tuple[str, ...], wanted: tuple[str, ...]) -> NDArray[np.float32]:
    """The wanted feature columns, in that order; ValueError naming the first that is not made any more."""
    if tuple(names) == tuple(wanted):
        return X
    missing = [name for name in wanted if name not in names]
    if missing:
        raise ValueError(f"the feature {missing[0]} is not made any more")
    return np.ascontiguousarray(X[:, [names.index(name) for name in wanted]])
