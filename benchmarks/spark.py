"""Scoring on local Spark: what a customer costs a core once Spark runs, and what starting it costs.

python -m benchmarks.spark --home DIR [--times 8] [--json OUT]

DIR is one size of `benchmarks.batch --folder`: a store, and an MLflow with a champion. Its snapshot is scored as it is,
and again with every file `times` over: the difference is work alone. Processor time, which others on the machine do
not lengthen.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.measured import measure

Row = dict[str, Any]
CORES: Final = os.cpu_count() or 1
STAGES: Final = {"score": ["--no-products"], "score with recommendations": []}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--times", type=int, default=8)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = [_export(options.home)]
    _repeat(options.home / "snapshot", options.home / "repeated", options.times)
    rows += [_row(options.home, stage, options.times) for stage in STAGES]
    for row in rows:
        print(json.dumps(row))
    if options.json:
        machine = {"processor": platform.machine(), "cores": CORES}
        options.json.write_text(json.dumps({"rows": rows, "machine": machine}, indent=1))


def _export(home: Path) -> Row:
    shutil.rmtree(home / "snapshot", ignore_errors=True)
    row = {"method": "regulars", "stage": "export", **_run(home, "export", "--out", f"{home}/snapshot")}
    size = sum(file.stat().st_size for file in (home / "snapshot").rglob("*.parquet"))
    return row | {"customers": _customers(home / "snapshot"), "bytes": size}


def _customers(snapshot: Path) -> int:
    return int(json.loads((snapshot / "shop.json").read_text())["customers"])


def _repeat(snapshot: Path, into: Path, times: int) -> None:
    """Every customer several times, which the scores do not mind."""
    shutil.rmtree(into, ignore_errors=True)
    shutil.copytree(snapshot, into)
    for file in sorted((snapshot / "histories").iterdir()):
        for copy in range(1, times):
            shutil.copy(file, into / "histories" / f"{copy}-{file.name}")


def _row(home: Path, stage: str, times: int) -> Row:
    once, repeated = (_score(home, folder, STAGES[stage]) for folder in ("snapshot", "repeated"))
    row: Row = {"method": f"regulars, Spark on {CORES} cores", "stage": stage, **repeated}
    if "error" in once or "error" in repeated:
        return row | {"error": once.get("error") or repeated["error"]}
    customers = _customers(home / "snapshot")
    work = (repeated["cpu_seconds"] - once["cpu_seconds"]) / (customers * (times - 1))
    start = once["cpu_seconds"] - work * customers
    return row | {
        "customers": customers * times,
        "core_microseconds_per_customer": round(work * 1e6),
        "start_cpu_seconds": round(start, 1),
    }


def _score(home: Path, snapshot: str, more: Sequence[str]) -> Row:
    return _run(home, "score", "--engine", "spark", "--history", f"{home}/{snapshot}", "--out", f"{home}/spark/", *more)


def _run(home: Path, *arguments: str) -> Row:
    settings = {
        "REGULARS_STORE": f"sqlite:///{home.absolute()}/regulars.db",
        "MLFLOW_TRACKING_URI": f"sqlite:///{home.absolute()}/mlruns/mlflow.db",
        "REGULARS_CLOCK": "data",
        "SPARK_MASTER": f"local[{CORES}]",
    }
    row = measure([sys.executable, "-m", "regulars", *arguments], settings)
    row.pop("said", None)
    return row


if __name__ == "__main__":
    main()
