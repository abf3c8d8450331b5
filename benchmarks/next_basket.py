"""Next basket: the served recommender beside its peers, on a file of baskets.

    python -m benchmarks.next_basket --baskets FILE [--users FILE] [--json OUT]

FILE is {user: [[item, ...], ...]}, oldest first; the last basket is the target. With a users file
{"train": [...], "validation": [...], "test": [...]} only its test users are scored, and the last baskets of the
others may be trained on; without one all users are scored and no last basket is seen.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.basket_metrics import METRICS, gain, measure
from benchmarks.baskets import Split, read_split, to_history
from benchmarks.peers_baskets import gp_top_freq, tifu_knn, up_cf
from models.next_purchase import NextPurchase

DEPTH = 20  # products asked of every method
Method = Callable[[Split], NDArray[np.int64]]


def regulars(split: Split) -> NDArray[np.int64]:
    """The model as it is served, its default configuration."""
    history, as_of = to_history(split)
    model = NextPurchase.fit(history, as_of)
    answers = model.recommend(history, as_of, DEPTH, in_stock_only=False)
    top = np.full((len(split.scored), DEPTH), -1, dtype=np.int64)
    for place, user in enumerate(split.scored):
        codes = [recommendation.product for recommendation in answers[user]]
        top[place, : len(codes)] = codes
    return top


METHODS: dict[str, Method] = {
    "regulars": regulars,
    "tifu_knn": tifu_knn,
    "up_cf": up_cf,
    "gp_top_freq": gp_top_freq,
}


def run(baskets: Path, users: Path | None) -> dict[str, object]:
    split = read_split(baskets, users)
    scores: dict[str, dict[str, NDArray[np.float64]]] = {}
    rows: list[dict[str, object]] = []
    for name, method in METHODS.items():
        begin = time.perf_counter()
        try:
            scores[name] = measure(method(split), split)
        except Exception as failure:  # noqa: BLE001 - a peer that fails is a row with its error
            rows.append({"method": name, "error": f"{type(failure).__name__}: {failure}"})
            continue
        means: dict[str, object] = {metric: float(np.nanmean(values)) for metric, values in scores[name].items()}
        rows.append({"method": name, **means, "seconds": time.perf_counter() - begin})
    for row in rows:
        name = str(row["method"])
        if name != "regulars" and name in scores and "regulars" in scores:
            row["gain_of_regulars"] = {m: gain(scores["regulars"][m], scores[name][m]) for m in METRICS}
    return {"rows": rows, "users": len(split.scored), "items": split.items, "machine": _machine()}


def _machine() -> str:
    cores = len(os.sched_getaffinity(0))
    return f"{platform.machine()}, {cores} cores, {platform.system()}, Python {platform.python_version()}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.next_basket")
    parser.add_argument("--baskets", type=Path, required=True)
    parser.add_argument("--users", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    begin = time.perf_counter()
    try:
        result = run(options.baskets, options.users)
    except (OSError, ValueError) as problem:
        parser.exit(2, f"{problem}\n")
    result["seconds"] = time.perf_counter() - begin
    _show(result)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2))


def _show(result: dict) -> None:
    columns = (*METRICS, *(f"{m}_{part}" for m in ("recall@10",) for part in ("repeat", "new")), "seconds")
    print(f"{'method':12}" + "".join(f"{c:>18}" for c in columns))
    for row in result["rows"]:
        cells = [f"{row[c]:18.4f}" for c in columns] if "error" not in row else [f"  {row['error']}"]
        print(f"{row['method']:12}" + "".join(cells))
    for row in result["rows"]:
        for metric, (mean, low, high) in row.get("gain_of_regulars", {}).items():
            print(f"gain over {row['method']:12} {metric:14} {mean:+.4f}  95 % interval {low:+.4f} to {high:+.4f}")
    print(f"{result['users']} users, {result['items']} items, {result['seconds']:.0f} s, {result['machine']}")


if __name__ == "__main__":
    main()
