"""The recommender on catalogs of different sizes: how long it trains, what it holds, what one customer costs.

    python -m benchmarks.many_products [--products 10000,100000] [--customers N] [--json OUT]

Made-up baskets (benchmarks.made_up_baskets), some 50 lines per customer. One call is `recommend` for one customer whose
history is in memory, k = 10; each size runs in a process of its own, so that its peak of memory is its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from benchmarks.baskets import Split, to_history
from benchmarks.made_up_baskets import made_up_baskets
from histories.selection import of_customers
from models.next_purchase import NextPurchase

CALLS = 2_000


def one_size(products: int, customers: int) -> dict[str, object]:
    baskets = list(made_up_baskets(customers, products, 8, 6, 0.4).values())
    history, as_of = to_history(Split(baskets, [], [], products))
    held = _peak_gb()
    begin = time.perf_counter()
    model = NextPurchase.fit(history, as_of)
    seconds = time.perf_counter() - begin
    one = [of_customers(history, np.array([at % customers])) for at in range(CALLS)]
    model.recommend(one[0], as_of)
    times = np.array([_microseconds(model, history, as_of) for history in one])
    begin = time.perf_counter()
    model.recommend(history, as_of)
    return {
        "products": products,
        "products_bought": len(model.products),
        "customers": customers,
        "lines": len(history.lines.product),
        "fit_seconds": seconds,
        "peak_gb": _peak_gb(),
        "peak_gb_before": held,
        "p50_us": float(np.median(times)),
        "p99_us": float(np.quantile(times, 0.99)),
        "batch_us": (time.perf_counter() - begin) / customers * 1e6,
    }


def _microseconds(model: NextPurchase, history, as_of: int) -> float:  # type: ignore[no-untyped-def]
    begin = time.perf_counter()
    model.recommend(history, as_of)
    return (time.perf_counter() - begin) * 1e6


def _peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many_products")
    parser.add_argument("--products", default="10000,100000")
    parser.add_argument("--customers", type=int, default=20_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    for products in map(int, options.products.split(",")):
        with ProcessPoolExecutor(1, get_context("spawn")) as alone:
            rows.append(alone.submit(one_size, products, options.customers).result())
        print(
            "  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in rows[-1].items()), flush=True
        )
    if options.json:
        options.json.write_text(json.dumps({"rows": rows}, indent=2))


if __name__ == "__main__":
    main()
