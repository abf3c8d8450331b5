"""The recommender as the assortment grows, at the same number of order lines: nothing may grow with its square.

Times are the processor's, of all threads: what others do on the machine is not in them.

python -m benchmarks.items [--products 10000,100000] [--customers 20000] [--lines 500000] [--json OUT]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from math import log
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.measured import measure

Row = dict[str, Any]
ASKED: Final = 5_000  # customers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--products", default="10000,100000")
    parser.add_argument("--customers", type=int, default=20_000)
    parser.add_argument("--lines", type=int, default=500_000)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    sizes = [int(size) for size in options.products.split(",")]
    if options.alone:  # the process that is measured
        print(json.dumps(_measured(sizes[0], options.customers, options.lines)))
        return
    rows = [_in_a_process(size, options.customers, options.lines) for size in sizes]
    _report(rows, options.json)


def _in_a_process(products: int, customers: int, lines: int) -> Row:
    asked = [f"--products={products}", f"--customers={customers}", f"--lines={lines}", "--alone"]
    row = measure([sys.executable, "-m", "benchmarks.items", *asked], {})
    found: Row = {"method": "regulars", "products": products, "customers": customers, "lines": lines}
    said = json.loads(row.pop("said").splitlines()[-1]) if "said" in row else {}
    return found | said | {name: row[name] for name in ("peak_gb", "error") if name in row}


def _measured(products: int, customers: int, lines: int) -> Row:
    from benchmarks.made_up import AS_OF, made_up_history
    from histories.selection import of_customers
    from models.next_purchase import NextPurchase

    _small(NextPurchase)
    history = made_up_history(customers, lines, products=products)
    began = time.process_time()
    model = NextPurchase.fit(history, AS_OF)
    fitted = time.process_time()
    some = of_customers(history, np.arange(min(ASKED, customers)))
    model.recommend(some, AS_OF)
    ended = time.process_time()
    bought = len(np.unique(history.lines.product))
    each = (ended - fitted) / len(some) * 1e6
    return {
        "bought": bought,
        "fit_cpu_seconds": round(fitted - began, 2),
        "cpu_microseconds_per_customer": round(each, 1),
    }


def _small(model: Any) -> None:
    """What is compiled on the first call is compiled before the clock starts."""
    from benchmarks.made_up import AS_OF, made_up_history

    history = made_up_history(500, 10_000, products=500)
    model.fit(history, AS_OF).recommend(history, AS_OF)


def _report(rows: list[Row], out: Path | None) -> None:
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    for name in ("fit_cpu_seconds", "cpu_microseconds_per_customer", "peak_gb"):
        if len(rows) > 1 and all(name in row for row in (rows[0], rows[-1])):
            power = log(rows[-1][name] / rows[0][name]) / log(rows[-1]["products"] / rows[0]["products"])
            print(f"{name} grows with products to the power of {power:.2f}")
    if out:
        machine = {"processor": platform.machine(), "cores": os.cpu_count()}
        out.write_text(json.dumps({"rows": rows, "machine": machine}, indent=1))


if __name__ == "__main__":
    main()
