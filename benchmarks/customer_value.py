"""Churn, orders and spend beside the peers: python -m benchmarks.customer_value --orders FILE --cutoff DATE ..."""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.metrics_value import Forecast, Outcome, calibration_evidence, judge, paired_gains
from benchmarks.orders import read_history
from benchmarks.peers_value import PEERS, Problem, calibration
from histories.clock import end_of_day
from histories.history import NEVER, PURCHASE, History

EPOCH = date(1970, 1, 1)


def purchase_days(history: History) -> pd.DataFrame:
    """One row per customer and shop-local purchase day (customer, day, amount), sorted; void lines left out."""
    lines = history.lines
    table = pd.DataFrame(
        {
            "customer": np.repeat(np.arange(len(history)), np.diff(lines.offsets)),
            "day": lines.local_day,
            "amount": lines.amount,
        }
    )
    counted = (lines.kind == PURCHASE) & (lines.voided_at == NEVER)
    return table[counted].groupby(["customer", "day"], as_index=False, sort=True)["amount"].sum()


def outcome(days: pd.DataFrame, customers: NDArray[np.int64], cutoff_day: int, horizon_days: int) -> Outcome:
    """Orders and spend of these customers in (cut-off, cut-off + horizon]."""
    window = days[(days["day"] > cutoff_day) & (days["day"] <= cutoff_day + horizon_days)]
    grouped = window.groupby("customer")["amount"]
    orders, spend = (np.asarray(s.reindex(customers).fillna(0.0), float) for s in (grouped.size(), grouped.sum()))
    return Outcome(orders, spend if days["amount"].ne(0).any() else None)


def pose(days: pd.DataFrame, cutoff_day: int, horizon_days: int) -> tuple[Problem, NDArray[np.int64]]:
    """What the peers may see, and the customers (codes) to forecast."""
    now, customers = calibration(days, cutoff_day)
    earlier = cutoff_day - horizon_days
    has_amount = bool(days["amount"].ne(0).any())
    if earlier <= days["day"].min():
        return Problem(now, None, None, None, horizon_days, has_amount), customers
    before, codes = calibration(days, earlier)
    came = outcome(days[days["day"] <= cutoff_day], codes, earlier, horizon_days)
    spend = np.zeros(len(codes)) if came.spend is None else came.spend
    return Problem(now, before, came.orders, spend, horizon_days, has_amount), customers


def regulars(history: History, customers: NDArray[np.int64], as_of: int, horizon_days: int) -> Forecast:
    """This project: the models that the service serves, trained on what is known at the cut-off."""
    from features.attributes import AttributeEncoder
    from models.churn import Churn
    from models.customer_value import CustomerValue
    from models.frame import rows, training_frame

    encoder = AttributeEncoder.fit(history)
    frame = training_frame(history, as_of, horizon_days, encoder)
    churn = Churn.fit(frame)
    value = CustomerValue.fit(frame, churn)
    X = rows(history, as_of, encoder)[0][customers]
    answer = value.predict(X, as_of)
    spend = answer.mean, answer.median, answer.percentile, answer.low, answer.high
    return Forecast(answer.orders, churn.predict(X, as_of), *spend)


def run(history: History, cutoff: date, horizon_days: int, draws: int = 500) -> dict[str, Any]:
    """Fit everything at the end of the cut-off day and judge it on the horizon after it."""
    started = time.perf_counter()
    as_of, cutoff_day = end_of_day(cutoff, history.zone), (cutoff - EPOCH).days
    days = purchase_days(history)
    _check(days, cutoff, cutoff_day, horizon_days)
    problem, customers = pose(days, cutoff_day, horizon_days)
    came = outcome(days, customers, cutoff_day, horizon_days)
    rows, forecasts = [], {}
    methods: dict[str, Callable[[], Forecast]] = {"regulars": lambda: regulars(history, customers, as_of, horizon_days)}
    methods |= {name: lambda peer=peer: peer(problem) for name, peer in PEERS.items()}  # type: ignore[misc]
    for name, forecast in methods.items():
        row, made = _row(name, forecast, came)
        rows.append(row)
        if made is not None:
            forecasts[name] = made
    if "regulars" in forecasts:
        for row in rows[1:]:
            if str(row["method"]) in forecasts:
                row["gain_of_regulars"] = paired_gains(
                    came, forecasts["regulars"], forecasts[str(row["method"])], draws, 7
                )
    return {
        "rows": rows,
        "seconds": time.perf_counter() - started,
        "machine": f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}",
        "customers": len(customers),
        "cutoff": cutoff.isoformat(),
        "horizon_days": horizon_days,
    }


def _row(name: str, method: Callable[[], Forecast], came: Outcome) -> tuple[dict[str, Any], Forecast | None]:
    """A method's metrics and seconds; a peer that fails is a row with its error, a failure of ours is raised."""
    began = time.perf_counter()
    try:
        made = method()
    except Exception as error:
        if name == "regulars":
            raise
        return {"method": name, "error": f"{type(error).__name__}: {error}"}, None
    row = {"method": name, **judge(came, made), "seconds": time.perf_counter() - began}
    return row | calibration_evidence(came, made), made


def _check(days: pd.DataFrame, cutoff: date, cutoff_day: int, horizon_days: int) -> None:
    if not len(days):
        raise ValueError("no purchase in the orders: lines need quantity > 0 and price > 0")
    first, last = int(days["day"].min()), int(days["day"].max())
    if not first <= cutoff_day < last:
        span = f"{date.fromordinal(EPOCH.toordinal() + first)} to {date.fromordinal(EPOCH.toordinal() + last)}"
        raise ValueError(f"--cutoff {cutoff} leaves nothing before or after it; purchases span {span}")
    if horizon_days < 1:
        raise ValueError(f"--horizon-days must be at least 1, not {horizon_days}")
    if beyond := max(0, cutoff_day + horizon_days - last):
        print(
            f"the last {beyond} of {horizon_days} days have no purchase: does the file reach so far?", file=sys.stderr
        )


def show(result: dict[str, Any]) -> str:
    """The table: one line per method, then our gains with their intervals."""
    rows = pd.DataFrame(result["rows"]).set_index("method")
    shown = rows.drop(columns=[c for c in ("gain_of_regulars", "error") if c in rows])
    parts = [shown.T.to_string(float_format=lambda v: f"{v:.4f}", na_rep="-")]
    for row in result["rows"]:
        if "error" in row:
            parts.append(f"{row['method']} failed: {row['error']}")
        if "gain_of_regulars" in row:
            gains = ", ".join(f"{n} {low:+.4f}..{high:+.4f}" for n, (low, high) in row["gain_of_regulars"].items())
            parts.append(f"gain over {row['method']} (95 %): {gains}")
    parts.append("churn_ece_perfect: if every probability were right; _levelled: once one constant sets the rate")
    parts.append("interval_coverage_1 .. _10: of tenths of the customers, by expected spend, the least first")
    parts.append("spend_mae is of the median and spend_spearman of the rank, where a method has one, else of its mean")
    return "\n".join(parts)


def biases(results: Sequence[dict[str, Any]]) -> dict[str, list[float]]:
    """By method, the bias of the sum of expected spend at each cut-off; methods without one left out."""
    found: dict[str, list[float]] = {}
    for result in results:
        for row in result["rows"]:
            if "spend_bias" in row:
                found.setdefault(row["method"], []).append(row["spend_bias"])
    return {name: each for name, each in found.items() if len(each) == len(results)}


def summary(results: Sequence[dict[str, Any]]) -> str:
    """Of several cut-offs: spend bias of each method, and the means of it and of its size."""
    table = pd.DataFrame(biases(results), index=[result["cutoff"] for result in results]).T
    table["mean"], table["mean of size"] = table.mean(axis=1), table.abs().mean(axis=1)
    return "spend bias (sum of forecasts / sum of actuals - 1)\n" + table.to_string(float_format=lambda v: f"{v:+.3f}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.customer_value", description=__doc__)
    parser.add_argument("--orders", type=Path, required=True, help="CSV or Parquet: customer_id, timestamp, ...")
    parser.add_argument("--preset", choices=["online-retail"])
    parser.add_argument("--cutoff", type=date.fromisoformat, required=True, nargs="+", help="one date, or several")
    parser.add_argument("--horizon-days", type=int, required=True)
    parser.add_argument("--draws", type=int, default=500, help="bootstrap draws of the paired gains")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    results = []
    try:
        history = read_history(options.orders, options.preset)
        for cutoff in options.cutoff:
            results.append(run(history, cutoff, options.horizon_days, options.draws))
            print(f"{cutoff}, {options.horizon_days} days\n{show(results[-1])}", flush=True)
    except (ValueError, OSError) as error:
        print(f"benchmarks.customer_value: {error}", file=sys.stderr)
        return 2
    if len(results) > 1:
        print(summary(results))
    if options.json:
        made = results[0] if len(results) == 1 else {"cutoffs": results, "spend_bias": biases(results)}
        options.json.write_text(json.dumps(made, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
