"""What a shop would otherwise run on everybody, each in a process of its own.

python -m benchmarks.peers_batch NAME DIR

DIR holds shop/orders.parquet and, for Spark, the release that the benchmark trained. Each prints one JSON object.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

HORIZON_DAYS = 90
K = 10


def pandas_lightgbm(home: Path) -> dict[str, Any]:
    """Group-by features of everybody at two instants, LightGBM's scikit-learn wrapper in between; churn alone."""
    from lightgbm import LGBMClassifier

    orders = pd.read_parquet(home / "shop" / "orders.parquet")
    end = orders["occurred_at"].max()
    cut = end - pd.Timedelta(days=HORIZON_DAYS)
    before = pandas_features(orders[orders["occurred_at"] <= cut], cut)
    came = orders.loc[(orders["occurred_at"] > cut) & (orders["quantity"] > 0), "customer_id"].unique()
    model = LGBMClassifier(n_estimators=120, num_leaves=15, n_jobs=2, verbose=-1)
    model.fit(before, ~before.index.isin(came))
    began = time.perf_counter()
    now = pandas_features(orders, end)
    churn = np.asarray(model.predict_proba(now))[:, 1]
    pd.DataFrame({"customer_id": now.index, "churn": churn}).to_parquet(home / "pandas.parquet")
    return {"stage": "features, fit and score churn", "score_seconds": round(time.perf_counter() - began, 2),
            "columns": now.shape[1]}  # fmt: skip


def pandas_features(orders: pd.DataFrame, as_of: pd.Timestamp) -> pd.DataFrame:
    """The usual two dozen columns per customer: recency, frequency, money, windows, gaps, breadth."""
    lines = orders[orders["quantity"] > 0].copy()
    lines["amount"] = lines["quantity"] * lines["unit_price"]
    lines["day"] = lines["occurred_at"].dt.floor("D")
    lines["ago"] = (as_of - lines["occurred_at"]).dt.days
    by = lines.groupby("customer_id")
    days = lines.groupby(["customer_id", "day"], as_index=False)["amount"].sum()
    gaps = days.assign(gap=days.groupby("customer_id")["day"].diff().dt.days).groupby("customer_id")
    columns = {
        "recency": by["ago"].min(), "tenure": by["ago"].max(), "lines": by.size(),
        "orders": gaps.size(), "spend": by["amount"].sum(), "spend_mean": gaps["amount"].mean(),
        "spend_std": gaps["amount"].std(), "gap_mean": gaps["gap"].mean(), "gap_std": gaps["gap"].std(),
        "gap_median": gaps["gap"].median(), "gap_max": gaps["gap"].max(), "products": by["product_id"].nunique(),
        "categories": by["category"].nunique(), "units": by["quantity"].sum(), "discount": by["discount"].sum(),
        "price_mean": by["unit_price"].mean(),
    }  # fmt: skip
    for window in (30, 90, 180, 365):
        recent = lines[lines["ago"] < window].groupby("customer_id")
        columns |= {f"spend_{window}": recent["amount"].sum(), f"orders_{window}": recent["day"].nunique()}
    return pd.DataFrame(columns).fillna({name: 0.0 for name in columns if name.startswith(("spend_", "orders_"))})


def mlflow_spark_udf(home: Path) -> dict[str, Any]:
    """The release's own churn model through MLflow's Spark function, on feature rows that are ready in Parquet."""
    import mlflow
    from pyspark.sql import SparkSession

    rows = _feature_rows(home)
    began = time.perf_counter()
    os.environ["PYSPARK_PYTHON"] = sys.executable
    session = SparkSession.builder.master("local[2]").config("spark.driver.memory", "4g")
    spark = session.config("spark.ui.enabled", "false").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    started = time.perf_counter() - began
    predict = mlflow.pyfunc.spark_udf(spark, "models:/churn@champion", result_type="double", env_manager="local")
    frame = spark.read.parquet(str(rows)).repartition(2)
    names = [name for name in frame.columns if name != "customer_id"]
    scored = frame.select("customer_id", predict(*names).alias("churn"))
    scored.write.mode("overwrite").parquet(str(home / "spark.parquet"))
    return {"stage": "score churn, features ready", "start_seconds": round(started, 2),
            "score_seconds": round(time.perf_counter() - began - started, 2)}  # fmt: skip


def _feature_rows(home: Path) -> Path:
    """Our feature rows of everybody as Parquet, made in a process of their own: not the peer's work."""
    import subprocess

    out = home / "rows.parquet"
    if not out.exists():
        subprocess.run([sys.executable, "-m", "benchmarks.peers_batch", "feature_rows", str(home)], check=True)
    return out


def feature_rows(home: Path) -> dict[str, Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from histories.settings import Settings
    from histories.storage.store import Store
    from models.frame import rows
    from service.batch import champion

    settings = Settings.model_validate({"store": f"sqlite:///{home.absolute()}/regulars.db"})
    store = Store.open(settings.store, settings)
    release, as_of = champion(store, settings), (store.span(0) or (0, 0))[1]
    unfinished = home / "rows.unfinished"
    with pq.ParquetWriter(unfinished, _schema(release.row_names)) as file:
        for chunk in store.chunks(10_000):
            X, names = rows(chunk, as_of, release.encoder)
            columns = {name: X[:, at].astype(np.float64) for at, name in enumerate(names)}
            at = pa.array(np.full(len(chunk), as_of), pa.timestamp("us"))
            file.write_table(pa.table({"customer_id": pa.array(chunk.customer_id), **columns, "as_of": at}))
    unfinished.rename(home / "rows.parquet")
    return {}


def _schema(names: tuple[str, ...]) -> Any:
    import pyarrow as pa

    numbers = [(name, pa.float64()) for name in names]
    return pa.schema([("customer_id", pa.string()), *numbers, ("as_of", pa.timestamp("us"))])


def implicit_als(home: Path) -> dict[str, Any]:
    """Alternating least squares on who bought what, then ten products for everybody."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from implicit.als import AlternatingLeastSquares
    from scipy import sparse

    orders = pd.read_parquet(home / "shop" / "orders.parquet", columns=["customer_id", "product_id", "quantity"])
    orders = orders[orders["quantity"] > 0]
    customer, ids = pd.factorize(orders["customer_id"], sort=True)
    product, products = pd.factorize(orders["product_id"], sort=True)
    ones = np.ones(len(orders), dtype=np.float32)
    bought = sparse.csr_matrix((ones, (customer, product)), shape=(len(ids), len(products)))
    model = AlternatingLeastSquares(factors=64, iterations=15, num_threads=2, random_state=1)
    model.fit(bought, show_progress=False)
    began = time.perf_counter()
    codes, _ = model.recommend(np.arange(len(ids)), bought, N=K, filter_already_liked_items=False)
    lists = pd.DataFrame({"customer_id": ids, "products": np.asarray(products, dtype=object)[codes].tolist()})
    lists.to_parquet(home / "implicit.parquet")
    return {"stage": "fit and recommend ten", "score_seconds": round(time.perf_counter() - began, 2)}


_RUN: dict[str, Callable[[Path], dict[str, Any]]] = {
    each.__name__: each for each in (pandas_lightgbm, mlflow_spark_udf, implicit_als, feature_rows)
}


if __name__ == "__main__":
    print(json.dumps(_RUN[sys.argv[1]](Path(sys.argv[2]))))
