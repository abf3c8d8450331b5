"""Whether training on more customers would have helped: metrics on one holdout, by customers trained on.

python -m benchmarks.sampling --store URL [--customers 12500,25000,50000,100000] [--horizon-days 90] [--json OUT]
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
from histories.store import Store
from training import judge, recipe
from training.backtest import hold_out, last_cut, until
from training.judge import METRICS
from training.train import SAMPLE_SEED

SHOWN = ("auc", "log_loss", "ece", "count_rmse", "spend_mae", "spend_spearman", "recall@10", "ndcg@10")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", required=True)
    parser.add_argument("--customers", default="12500,25000,50000,100000")
    parser.add_argument("--horizon-days", type=int, default=90)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = learning_curve(options.store, [int(n) for n in options.customers.split(",")], options.horizon_days)
    if options.json:
        options.json.write_text(json.dumps({"rows": rows, "seconds": sum(row["seconds"] for row in rows)}, indent=1))


def learning_curve(url: str, sizes: list[int], horizon_days: int) -> list[dict[str, Any]]:
    """One row per size: the recipe fitted on that many customers, asked about customers of none of the samples."""
    store = Store.open(url, Settings.model_validate({"store": url}))
    everybody = store.sample(1.0, purpose="training")
    as_of = int(everybody.lines.occurred_at.max())
    hashed = hashes(everybody.customer_id)
    apart = np.flatnonzero(~drawn(hashed, max(sizes) / len(everybody), SAMPLE_SEED))
    holdout = hold_out(of_customers(everybody, apart), as_of, horizon_days)
    before = until(everybody, last_cut(everybody, as_of, horizon_days))
    rows, last = [], None
    for size in sizes:
        began = time.perf_counter()
        part = of_customers(before, np.flatnonzero(drawn(hashed, size / len(everybody), SAMPLE_SEED)))
        fitted, _ = recipe.fit(part, holdout.cut, horizon_days, lambda stage: None)
        answers = recipe.answers(fitted, holdout)
        row: dict[str, Any] = {"customers": len(part), "seconds": round(time.perf_counter() - began, 1)}
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
