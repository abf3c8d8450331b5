"""Batch work on one machine: import, training and scoring of simulated shops, and peers beside the scoring.

python -m benchmarks.batch [--sizes 10000,100000,1000000] [--stages ...] [--peers-at N] [--folder DIR] [--json OUT]

With --folder, shops, stores and finished rows are kept there: a run that broke off goes on after its last row.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Sequence
from datetime import date
from itertools import pairwise
from math import log
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

from benchmarks.measured import measure

Row = dict[str, Any]
DAYS: Final = 820  # of the shop, for 50 lines per customer
ENDS: Final = date(2026, 6, 30)
STAGES: Final = ("import", "train", "score", "score with recommendations")
PEERS: Final = ("pandas_lightgbm", "mlflow_spark_udf", "implicit_als")
_SCORE: Final = ("score", "--workers", str(os.cpu_count() or 1), "--out")


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        rows = [row for size in options.sizes for row in _shop(folder, size, options)]
    _report(rows, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=_numbers, default=[10_000, 100_000, 1_000_000], help="customers")
    parser.add_argument("--stages", type=lambda text: text.split(","), default=[*STAGES, *PEERS])
    parser.add_argument("--peers-at", type=int, default=100_000, help="customers of the shop on which peers run")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def _numbers(text: str) -> list[int]:
    return [int(part.replace("_", "")) for part in text.split(",")]


def _shop(folder: Path, size: int, options: argparse.Namespace) -> list[Row]:
    """The rows of one size: those kept from an earlier run as they were, the others measured now."""
    home = folder / str(size)
    stages = [name for name in (*STAGES, *PEERS) if name in options.stages]
    rows = []
    for stage in stages:
        if stage in PEERS and size != options.peers_at:
            continue
        kept = home / f"{stage.replace(' ', '_')}.json"
        if not kept.exists():
            _simulate(home, size)
            row = _peer(home, stage) if stage in PEERS else _ours(home, stage)
            kept.write_text(json.dumps(_about(row, home, size, stage)))
        rows.append(json.loads(kept.read_text()))
        print(_line(rows[-1]), flush=True)
    return rows


def _simulate(home: Path, size: int) -> None:
    """Whole or not at all; outside the measured time."""
    from simulator.shop import simulate

    if not (home / "shop").exists():
        shutil.rmtree(home / "unfinished", ignore_errors=True)
        simulate(size, 1, home / "unfinished", ends=ENDS, days=DAYS)
        (home / "unfinished").rename(home / "shop")


def _ours(home: Path, stage: str) -> Row:
    orders, *others = (f"{home}/shop/{name}.parquet" for name in ("orders", "customers", "products"))
    arguments = {
        "import": ("import", "--orders", orders, "--customers", others[0], "--products", others[1]),
        "train": ("train",),
        "score": (*_SCORE, f"{home}/scores.parquet", "--no-products"),
        "score with recommendations": (*_SCORE, f"{home}/recommended.parquet"),
    }[stage]
    if stage == "import":
        for file in home.glob("regulars.db*"):
            file.unlink()
    row = _regulars(home, arguments)
    if stage == "train" and "error" not in row:
        _regulars(home, ("promote", "--force"))
    return {"method": "regulars", **row}


def _regulars(home: Path, arguments: Sequence[str]) -> Row:
    settings = {
        "REGULARS_STORE": f"sqlite:///{home.absolute()}/regulars.db",
        "MLFLOW_TRACKING_URI": f"sqlite:///{home.absolute()}/mlruns/mlflow.db",
        "REGULARS_CLOCK": "data",
    }
    return measure([sys.executable, "-m", "regulars", *arguments], settings)


def _peer(home: Path, name: str) -> Row:
    settings = {"MLFLOW_TRACKING_URI": f"sqlite:///{home.absolute()}/mlruns/mlflow.db"}
    row = measure([sys.executable, "-m", "benchmarks.peers_batch", name, str(home)], settings)
    said = row.pop("said", "").strip().splitlines()
    return {"method": name, **row, **(json.loads(said[-1]) if said and "error" not in row else {})}


def _about(row: Row, home: Path, size: int, stage: str) -> Row:
    """The row with what was worked on; the first line of a command's own words is not kept."""
    row.pop("said", None)
    lines = pq.ParquetFile(home / "shop" / "orders.parquet").metadata.num_rows
    speed = {"customers_per_second": round(size / row["seconds"])} if "error" not in row else {}
    return {
        "method": row.pop("method"),
        "stage": row.pop("stage", stage),
        "customers": size,
        "lines": lines,
        **row,
        **speed,
    }


def slopes(rows: Sequence[Row]) -> list[Row]:
    """Between sizes that follow each other, per stage: the exponent of cost in customers (1 is linear)."""
    found = []
    for stage in STAGES:
        sized = [row for row in rows if row["method"] == "regulars" and row["stage"] == stage and "error" not in row]
        for small, large in pairwise(sorted(sized, key=lambda row: row["customers"])):
            exponent = log(large["seconds"] / small["seconds"]) / log(large["customers"] / small["customers"])
            more = (large["seconds"] - small["seconds"]) / (large["customers"] - small["customers"])
            found.append(
                {
                    "stage": stage,
                    "from": small["customers"],
                    "to": large["customers"],
                    "exponent": round(exponent, 2),
                    "seconds_per_1000_more": round(1000 * more, 3),
                }
            )
    return found


def _line(row: Row) -> str:
    head = f"{row['method']:18} {row['stage']:28} {row['customers']:>10,}"
    if "error" in row:
        return f"{head}  {row['error']}"
    times = f"{row['seconds']:>9.1f} s {row.get('cpu_seconds', 0):>9.1f} cpu s"
    return f"{head} {times} {row['peak_gb']:>7.2f} GB {row['customers_per_second']:>9,} customers/s"


def _report(rows: list[Row], options: argparse.Namespace) -> None:
    grown = slopes(rows)
    for each in grown:
        print(
            f"slope of {each['stage']}, {each['from']:,} to {each['to']:,} customers: {each['exponent']:.2f} "
            f"(1 is linear), {each['seconds_per_1000_more']:.3f} s for each 1,000 more"
        )
    if options.json:
        machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()}
        report = {"rows": rows, "slopes": grown, "seconds": sum(row.get("seconds", 0) for row in rows)}
        options.json.write_text(json.dumps(report | {"machine": machine}, indent=2))


if __name__ == "__main__":
    main()
