"""A churn model as the textbooks serve it: RFM columns in pandas and LightGBM's scikit-learn wrapper.

Fitted by `fit_churn` on the benchmark's shop, served by BentoML (this module's `Churn`) or by `mlflow models serve`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import bentoml
import pandas as pd

COLUMNS = ("recency", "frequency", "tenure", "spend", "mean_order", "orders_30d", "orders_90d", "spend_90d",
           "products", "mean_gap")  # fmt: skip


def features(lines: pd.DataFrame, now: pd.Timestamp) -> dict[str, float]:
    """COLUMNS of one customer's order lines (occurred_at, order_id, product_id, amount)."""
    orders = lines.groupby("order_id").agg(at=("occurred_at", "min"), spend=("amount", "sum")).sort_values("at")
    recent = orders[orders["at"] > now - pd.Timedelta(days=90)]
    gaps = orders["at"].diff().dt.days
    return {
        "recency": (now - orders["at"].max()).days,
        "frequency": len(orders),
        "tenure": (now - orders["at"].min()).days,
        "spend": orders["spend"].sum(),
        "mean_order": orders["spend"].mean(),
        "orders_30d": int((orders["at"] > now - pd.Timedelta(days=30)).sum()),
        "orders_90d": len(recent),
        "spend_90d": recent["spend"].sum(),
        "products": lines["product_id"].nunique(),
        "mean_gap": gaps.mean(),
    }


def read_lines(orders: Path, customers: int | None = None) -> pd.DataFrame:
    """The shop's order lines with an amount, sorted and indexed by customer; of the first customers only, if said."""
    lines = pd.read_parquet(
        orders, columns=["customer_id", "occurred_at", "order_id", "product_id", "quantity", "unit_price"]
    )
    if customers is not None:
        lines = lines[lines["customer_id"] <= f"sim-{customers:06d}"]
    lines["amount"] = lines["quantity"] * lines["unit_price"]
    lines = lines[lines["amount"] > 0].drop(columns=["quantity", "unit_price"])
    return lines.set_index("customer_id").sort_index()


def fit_churn(lines: pd.DataFrame, horizon_days: int = 90) -> Any:
    """An LGBMClassifier with its defaults, on what each customer looked like a horizon before the end."""
    from lightgbm import LGBMClassifier

    cut = lines["occurred_at"].max() - pd.Timedelta(days=horizon_days)
    before = lines[lines["occurred_at"] <= cut]
    rows = pd.DataFrame([features(known, cut) for _, known in before.groupby(level=0)])
    gone = ~before.index.unique().isin(lines[lines["occurred_at"] > cut].index)
    return LGBMClassifier(verbose=-1).fit(rows[list(COLUMNS)], gone)


@bentoml.service(name="textbook", workers=1)
class Churn:
    """The model and the shop's lines in memory, as a textbook's service would hold them."""

    def __init__(self) -> None:
        import joblib

        folder = Path(os.environ["TEXTBOOK_FOLDER"])
        self.model = joblib.load(folder / "churn.joblib")  # made by this benchmark a moment ago
        self.lines = read_lines(Path(os.environ["TEXTBOOK_ORDERS"]))
        self.now = self.lines["occurred_at"].max()

    @bentoml.api
    def predict(self, customer_id: str) -> dict[str, float]:
        lines = self.lines.loc[customer_id:customer_id]  # a slice of the sorted index: its quickest way
        row = pd.DataFrame([features(lines, self.now)])[list(COLUMNS)]
        return {"probability": float(self.model.predict_proba(row)[0, 1])}
