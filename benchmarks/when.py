"""The date of the next order beside the peers: python -m benchmarks.when --orders FILE --cutoff DATE --horizon-days N

Same customers for every method: all with a purchase by the cut-off. Who does not order within the horizon is censored
at its end: such a customer counts in the concordance (anybody who came was earlier), not in the error of the date.
Dates are whole days, as they are served; where this project gives none, the customer comes last, and the error is
without end.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.orders import read_history
from features.attributes import AttributeEncoder
from features.labels import labels
from histories.clock import end_of_day
from histories.history import History
from models.btyd.bg_nbd import BgNbd
from models.churn import Churn
from models.frame import Frame, training_frame
from models.when import NOT_COMING, WEEKS, When
from training import metrics
from training.backtest import until
from training.baselines import Columns, mean_gap, textbook

Floats = NDArray[np.float64]
_DRAWS = 200


class Problem(NamedTuple):
    """What is known at the cut-off. The frame's latest rows are the customers to forecast."""

    frame: Frame
    as_of: int
    horizon_days: int

    @property
    def X(self) -> NDArray[np.float32]:
        return self.frame.X[self.frame.latest]

    @property
    def columns(self) -> Columns:
        return Columns(self.X, self.frame.names)


class Forecast(NamedTuple):
    """Days to the next order, inf for never; and probabilities of the next weeks where a method has them."""

    days: Floats
    weeks: Floats | None = None


def regulars(problem: Problem) -> Forecast:
    """This project: the models that the service serves."""
    lapse = Churn.fit(problem.frame).predict(problem.X, problem.as_of)
    return Forecast(*When.fit(problem.frame).predict(problem.X, problem.as_of, lapse))


def bg_nbd(problem: Problem) -> Forecast:
    """Horizon / expected orders in it: the mean time between orders that BG/NBD foresees."""
    return Forecast(textbook(problem.columns, problem.horizon_days)["bg_nbd"]["days"], _bg_curve(problem, WEEKS * 7)[1])


def bg_nbd_median(problem: Problem) -> Forecast:
    """BG/NBD's own curve, read as this project reads its curve: the control of what the choice of statistic brings."""
    days, weeks = _bg_curve(problem, problem.horizon_days)
    return Forecast(days, weeks)


def _bg_curve(problem: Problem, until_day: int) -> tuple[Floats, Floats]:
    now = problem.columns
    frequency, recency, T = now["frequency"], now["recency"], now["T"]
    model = BgNbd.fit(frequency, recency, T, shrink=0.0)
    last = max(until_day, WEEKS * 7)
    gone = np.array([model.forecast(frequency, recency, T, float(day))[1] for day in range(1, last + 1)]).T
    came = 1 - gone[:, :until_day]
    odds = gone[:, until_day - 1] / np.maximum(1 - gone[:, until_day - 1], 1e-12)
    level = 0.5 * (1 + NOT_COMING * odds)
    reached = came >= (level * came[:, -1])[:, None]
    days = np.where(level < 1, 1 + reached.argmax(axis=1), np.inf)
    weekly = np.column_stack([np.ones(len(gone)), gone[:, 6 : WEEKS * 7 : 7]])
    return days, -np.diff(weekly, axis=1)


def gap_rule(problem: Problem) -> Forecast:
    """The mean gap after the last order, of the shop where a customer has none; tomorrow at the earliest."""
    return Forecast(mean_gap(problem.columns)["days"])


def constant(problem: Problem) -> Forecast:
    """The median wait of those who came in the label windows: what can be had without knowing the customer."""
    waits = problem.frame.next_day[problem.frame.labelled]
    came = waits[waits <= problem.horizon_days]
    return Forecast(np.full(len(problem.X), float(np.median(came)) if len(came) else np.inf))


PEERS: dict[str, Callable[[Problem], Forecast]] = {
    "mean_gap": gap_rule,
    "bg_nbd": bg_nbd,
    "bg_nbd_median": bg_nbd_median,
    "constant": constant,
}


def run(history: History, cutoff: date, horizon_days: int, draws: int = _DRAWS) -> dict[str, Any]:
    """Fit everything at the end of the cut-off day and judge it on the horizon after it. Raises ValueError."""
    started = time.perf_counter()
    as_of = end_of_day(cutoff, history.zone)
    if as_of + horizon_days * 86_400_000_000 > history.lines.occurred_at.max() + 86_400_000_000:
        raise ValueError(f"the file ends less than {horizon_days} days after {cutoff}")
    known = until(history, as_of)
    frame = training_frame(known, as_of, horizon_days, AttributeEncoder.fit(known))
    customers = frame.customer[frame.latest]
    days = labels(history, as_of, horizon_days).next_day[customers].astype(float)
    days[days > horizon_days] = np.nan
    problem = Problem(frame, as_of, horizon_days)
    ours = regulars(problem)
    rows = [{"method": "regulars", **judge(days, ours, horizon_days)}]
    rows += [_peer(name, method, problem, days, ours, draws) for name, method in PEERS.items()]
    return {
        "rows": rows,
        "seconds": time.perf_counter() - started,
        "machine": f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}",
        "customers": len(days),
        "came": int((~np.isnan(days)).sum()),
        "cutoff": cutoff.isoformat(),
        "horizon_days": horizon_days,
    }


def _peer(
    name: str, method: Callable[[Problem], Forecast], problem: Problem, days: Floats, ours: Forecast, draws: int
) -> dict[str, Any]:
    """A peer that fails is a row with its error."""
    try:
        made = method(problem)
    except (ValueError, KeyError, ArithmeticError) as error:
        return {"method": name, "error": f"{type(error).__name__}: {error}"}
    gains = paired_gains(days, ours, made, problem.horizon_days, draws)
    return {"method": name, **judge(days, made, problem.horizon_days), "gain_of_regulars": gains}


def judge(days: Floats, forecast: Forecast, horizon_days: int) -> dict[str, Any]:
    """`days`: until the next order, nan where none came within the horizon."""
    dates = np.round(forecast.days)
    scores: dict[str, Any] = {
        "concordance": metrics.concordance(days, dates, horizon_days),
        "date_error_days": metrics.date_error(days, dates),
        "no_date": float(np.isinf(dates).mean()),
    }
    if forecast.weeks is not None:
        for week in range(WEEKS):
            came = ((days > 7 * week) & (days <= 7 * week + 7)).sum()
            scores[f"week{week + 1}_ratio"] = float(forecast.weeks[:, week].sum() / came) if came else float("nan")
    return scores


def paired_gains(
    days: Floats, ours: Forecast, peer: Forecast, horizon_days: int, draws: int, seed: int = 7
) -> dict[str, tuple[float, float]]:
    """95 % bootstrap intervals over customers of our gain in both measures; above zero means ours is better."""
    random = np.random.default_rng(seed)
    mine, theirs = np.round(ours.days), np.round(peer.days)
    gains = []
    for _ in range(draws):
        some = random.integers(0, len(days), len(days))
        part = [(metrics.concordance(days[some], each[some], horizon_days), metrics.date_error(days[some], each[some]))
                for each in (mine, theirs)]  # fmt: skip
        gains.append((part[0][0] - part[1][0], part[1][1] - part[0][1]))
    low, high = np.nanpercentile(gains, [2.5, 97.5], axis=0).tolist() if gains else ((), ())
    return dict(zip(("concordance", "date_error_days"), zip(low, high, strict=True), strict=True))


def show(result: dict[str, Any]) -> str:
    table = pd.DataFrame([{n: v for n, v in row.items() if n != "gain_of_regulars"} for row in result["rows"]])
    text = "{customers:,} customers, {came:,} came within {horizon_days} days of {cutoff}; {seconds:.0f} s, {machine}"
    parts = [text.format(**result), table.to_string(index=False, float_format="{:.3f}".format, na_rep="-")]
    for row in result["rows"]:
        if "gain_of_regulars" not in row:
            continue
        gains = ", ".join(f"{n} {low:+.3f}..{high:+.3f}" for n, (low, high) in row["gain_of_regulars"].items())
        parts.append(f"gain over {row['method']} (95 %): {gains}")
    return "\n".join(parts)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.when", description=__doc__)
    parser.add_argument("--orders", type=Path, required=True, help="CSV or Parquet: customer_id, timestamp, ...")
    parser.add_argument("--preset", choices=["online-retail"])
    parser.add_argument("--cutoff", type=date.fromisoformat, required=True)
    parser.add_argument("--horizon-days", type=int, required=True)
    parser.add_argument("--draws", type=int, default=_DRAWS, help="bootstrap draws of the paired gains")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    try:
        result = run(read_history(options.orders, options.preset), options.cutoff, options.horizon_days, options.draws)
    except (ValueError, OSError) as error:
        print(f"benchmarks.when: {error}", file=sys.stderr)
        return 2
    print(show(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
