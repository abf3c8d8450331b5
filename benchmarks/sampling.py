"""Whether training on more customers would have helped: metrics on one holdout, by customers trained on.

python -m benchmarks.sampling --store URL [--customers 5000,10000,20000,40000,40000:800000] [--horizon-days 90]

A size may say how many rows its training frame may have at most (customers:rows); models.frame.MAX_ROWS unless it does.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from histories.sample import drawn, hashes
from histories.selection import of_customers
from histories.settings import Settings
from histories.storage.store import Store
from models import frame
from training import judge, recipe
from training.backtest import hold_out, last_cut, until
from training.judge import METRICS
from training.train import SAMPLE_SEED

SHOWN = ("auc", "log_loss", "ece", "count_rmse", "spend_mae", "spend_spearman", "recall@10", "ndcg@10")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", required=True)
    parser.add_argument("--customers", default="5000,10000,20000,40000,40000:800000")
    parser.add_argument("--horizon-days", type=int, default=90)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    sizes = [
        (int(n), int(rows or frame.MAX_ROWS)) for n, _, rows in (s.partition(":") for s in options.customers.split(","))
    ]
    rows = learning_curve(options.store, sizes, options.horizon_days)
    if options.json:
        options.json.write_text(json.dumps({"rows": rows, "seconds": sum(row["seconds"] for row in rows)}, indent=1))


def learning_curve(url: str, sizes: list[tuple[int, int]], horizon_days: int) -> list[dict[str, Any]]:
    """One row per size: the recipe fitted on that many customers, asked about customers of none of the samples."""
    store = Store.open(url, Settings.model_validate({"store": url}))
    everybody = store.sample(1.0, purpose="training")
    as_of = int(everybody.lines.occurred_at.max())
    hashed = hashes(everybody.customer_id)
    apart = np.flatnonzero(~drawn(hashed, max(sizes)[0] / len(everybody), SAMPLE_SEED))
    holdout = hold_out(of_customers(everybody, apart), as_of, horizon_days)
    before = until(everybody, last_cut(everybody, as_of, horizon_days))
    rows, last = [], None
    for size, frame.MAX_ROWS in sizes:
        began = time.perf_counter()
        part = of_customers(before, np.flatnonzero(drawn(hashed, size / len(everybody), SAMPLE_SEED)))
        fitted, made = recipe.fit(part, holdout.cut, horizon_days, lambda stage: None)
        answers = recipe.answers(fitted, holdout)
        row: dict[str, Any] = {
            "customers": len(part),
            "rows": len(made.X),
            "seconds": round(time.perf_counter() - began, 1),
        }
        for metric in METRICS:
            if metric.name in SHOWN:
                row[metric.name] = round(judge.measure(metric, holdout.truth, answers), 4)
                row |= _noise(metric, holdout.truth, answers, last)
        last = answers
        rows.append(row)
        print(json.dumps(row), flush=True)
    return rows


def _noise(
    metric: judge.Metric, truth: judge.Truth, ours: judge.Answers, before: judge.Answers | None
) -> dict[str, Any]:
    """The gain over the size before, with its 95 % paired bootstrap interval, turned so that positive is better."""
    if before is None:
        return {}
    found = judge.difference(metric, truth, ours, before)
    return {f"{metric.name} gain": [round(float(each), 4) for each in (found.gain, found.low, found.high)]}


if __name__ == "__main__":
    main()
