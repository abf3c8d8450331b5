"""Speed of the feature kernel beside the same columns in Polars and DuckDB, on one made-up history.

python -m benchmarks.features [--customers N] [--lines N] [--repeats N] [--json OUT]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.made_up import AS_OF, made_up_history
from features.customers import NAMES, customer_features, warm_up
from histories.clock import local_day
from histories.history import History

Row = dict[str, Any]
Result = dict[str, NDArray]  # customer, then columns by name


def main() -> None:
    options = _options()
    warm_up()
    history = made_up_history(options.customers, options.lines)
    one = _middle_customer(history)
    ours = customer_features(history, AS_OF)
    rows = [_ours(history, one, options.repeats)]
    for name, open_peer in (("polars", _polars), ("duckdb", _duckdb)):
        rows.append(_peer(name, open_peer, history, one, ours, options.repeats))
    best = min((row["seconds"] for row in rows[1:] if "seconds" in row), default=None)
    for row in rows:
        row["times_the_best_peer"] = round(best / row["seconds"], 1) if best and "seconds" in row else None
    _report(rows, options, len(history.lines.amount))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=200_000)
    parser.add_argument("--lines", type=int, default=8_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def _ours(history: History, one: History, repeats: int) -> Row:
    seconds = _best(lambda: customer_features(history, AS_OF), repeats)
    single = _best(lambda: customer_features(history, AS_OF, threads=1), repeats)

    def hundred_calls() -> None:
        for _ in range(100):
            customer_features(one, AS_OF)

    touched = _bytes(history) + 4 * len(history) * len(NAMES)
    return {
        "method": "regulars", "columns": len(NAMES), "seconds": seconds, "seconds_one_thread": single,
        "one_customer_us": _best(hundred_calls, 200) * 1e4,
        "gigabytes_per_second": touched / seconds / 1e9, "memory_limit_gigabytes_per_second": _bandwidth(),
    }  # fmt: skip


def _peer(name: str, open_peer: Callable, history: History, one: History, ours: NDArray, repeats: int) -> Row:
    """A peer's time for what it covers; a peer that fails is a row with its error."""
    try:
        run, run_one = open_peer(history), open_peer(one)
        result = run()
        agree, differ = _compare(result, ours)
        seconds = _best(run, repeats)
        alone = _best(run_one, 20) * 1e6
    except Exception as error:  # noqa: BLE001
        return {"method": name, "error": f"{type(error).__name__}: {str(error)[:300]}"}
    return {
        "method": name, "columns": len(agree), "columns_that_differ": differ, "seconds": seconds,
        "one_customer_us": alone,
    }  # fmt: skip


def _compare(result: Result, ours: NDArray) -> tuple[list[str], list[str]]:
    """Names on which the peer agrees with the kernel for every customer with a purchase, and those it has otherwise."""
    mine = ours[result["customer"]]
    agree: list[str] = []
    differ: list[str] = []
    for column, name in enumerate(NAMES):
        if name in result:
            same = np.isclose(mine[:, column], result[name].astype(np.float64), rtol=1e-4, atol=1e-4, equal_nan=True)
            (agree if same.all() else differ).append(name)
    return agree, differ


def tables(history: History) -> tuple[pa.Table, pa.Table]:
    """What the peers are given, in memory: lines with their customer, position and category, and events."""
    lines, events, category = history.lines, history.events, history.catalog.category
    customers = np.arange(len(history), dtype=np.int32)
    with_lines = {
        "customer": np.repeat(customers, np.diff(lines.offsets)),
        "position": np.arange(len(lines.amount), dtype=np.int32),
        "category": np.where(lines.product >= 0, category[lines.product], -1),
        "day": lines.local_day,
        "hour": lines.local_hour,
    }
    names = ("occurred_at", "recorded_at", "voided_at", "kind", "product", "quantity", "amount", "discount", "channel")
    with_lines |= {name: getattr(lines, name) for name in names}
    with_events = {"customer": np.repeat(customers, np.diff(events.offsets))}
    with_events |= {name: getattr(events, name) for name in ("occurred_at", "recorded_at", "kind")}
    return pa.table(with_lines), pa.table(with_events)


def _duckdb(history: History) -> Callable[[], Result]:
    import duckdb

    from benchmarks.features_duckdb import query

    lines, events = tables(history)
    connection = duckdb.connect()
    connection.register("given_lines", lines)
    connection.register("given_events", events)
    connection.execute("CREATE TABLE lines AS FROM given_lines; CREATE TABLE events AS FROM given_events")
    text = query(AS_OF, local_day(AS_OF, history.zone))
    return lambda: {name: _plain(name, values) for name, values in connection.execute(text).fetchnumpy().items()}


def _plain(name: str, values: Any) -> NDArray:
    """NULL is masked in what DuckDB gives; nan here."""
    return np.asarray(values) if name == "customer" else np.ma.filled(values.astype(np.float64), np.nan)


def _polars(history: History) -> Callable[[], Result]:
    import polars as pl

    from benchmarks.features_polars import plan

    lines, events = (pl.DataFrame(pl.from_arrow(table)) for table in tables(history))
    lazy = plan(lines.lazy(), events.lazy(), AS_OF, local_day(AS_OF, history.zone))
    return lambda: {
        column.name: column.to_numpy() if column.name == "customer" else column.cast(pl.Float64).to_numpy()
        for column in lazy.collect().iter_columns()
    }


def _middle_customer(history: History) -> History:
    """The customer with the mean number of lines, alone."""
    counts = np.diff(history.lines.offsets)
    i = int(np.abs(counts - counts.mean()).argmin())
    lines, events = history.lines, history.events
    return replace(history, customer_id=history.customer_id[i : i + 1], lines=_of(lines, i), events=_of(events, i))


def _of(part: Any, i: int) -> Any:
    span = slice(part.offsets[i], part.offsets[i + 1])
    values = {field.name: getattr(part, field.name)[span].copy() for field in fields(part) if field.name != "offsets"}
    return replace(part, **values, offsets=part.offsets[i : i + 2] - part.offsets[i])


def _best(run: Callable[[], object], repeats: int) -> float:
    """Shortest wall time of some runs, in seconds, after one to warm up."""
    run()
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def _bytes(history: History) -> int:
    """Of the arrays that the kernel reads."""
    lines, events = history.lines, history.events
    read = [getattr(lines, field.name) for field in fields(lines)]
    return sum(array.nbytes for array in [*read, events.occurred_at, events.recorded_at, events.kind])


def _bandwidth() -> float:
    """Gigabytes per second of one thread that only sums a large array: what no single-threaded kernel exceeds."""
    large = np.ones(50_000_000)
    return float(large.nbytes / _best(large.sum, 3) / 1e9)


def _report(rows: list[Row], options: argparse.Namespace, lines: int) -> None:
    print(f"{options.customers:,} customers, {lines:,} lines; best of {options.repeats} runs")
    print(f"{'method':10} {'columns':>8} {'seconds':>8} {'x best peer':>12} {'one customer, us':>17}")
    for row in rows:
        if "error" in row:
            print(f"{row['method']:10} {row['error']}")
            continue
        times = row["times_the_best_peer"] or "-"
        print(
            f"{row['method']:10} {row['columns']:8} {row['seconds']:8.3f} {times!s:>12} {row['one_customer_us']:17.1f}"
        )
        if row.get("columns_that_differ"):
            print(f"{'':10} differ: {', '.join(row['columns_that_differ'])}")
    ours = rows[0]
    print(f"one thread {ours['seconds_one_thread']:.3f} s; all threads touch {ours['gigabytes_per_second']:.1f} GB/s of"
          f" {ours['memory_limit_gigabytes_per_second']:.1f} GB/s that one thread reads at best")  # fmt: skip
    if options.json:
        machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count(),
                   "python": platform.python_version()}  # fmt: skip
        report = {"rows": rows, "customers": options.customers, "lines": lines, "machine": machine}
        report["seconds"] = sum(row.get("seconds", 0.0) for row in rows)
        options.json.write_text(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
