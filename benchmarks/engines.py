"""Whether Spark makes of an export of yours what one machine makes of it: scores, feature rows, training frame.

python -m benchmarks.engines --orders FILE [--preset P] [--horizon-days 90] [--json OUT]

Imports, trains and promotes in a folder that is gone afterwards, then asks both engines as of the data's end. Prints
the largest relative difference of any number; exit code 1 where one is above 1e-9. All else must be equal.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from engines.spark import Histories, session
from features.attributes import AttributeEncoder
from histories.clock import local_day
from histories.settings import Settings
from histories.storage.store import Store
from models.frame import training_frame
from training.spark import training_frame as spark_frame
from training.train import SAMPLE_SEED, sampled_share

Row = dict[str, Any]
LIMIT: Final = 1e-9
_FRAME: Final = ("X", "as_of", "customer", "orders", "spend", "next_day")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", type=Path, required=True)
    parser.add_argument("--preset")
    parser.add_argument("--horizon-days", type=int, default=90)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = compare(Path(folder), options.orders.absolute(), options.preset, options.horizon_days)
    for row in rows:
        print(f"{row['what']:<16}{row['rows']:>10,} rows {row['numbers']:>12,} numbers   largest relative difference "
              f"{row['largest']:.1e}{row['column'] and ' in ' + row['column']}")  # fmt: skip
    if options.json:
        options.json.write_text(json.dumps({"rows": rows}, indent=1))
    sys.exit(any(row["largest"] > LIMIT for row in rows))


def compare(home: Path, orders: Path, preset: str | None, horizon_days: int) -> list[Row]:
    """A row for each of what both engines make; raises AssertionError where anything but a number differs."""
    settings = {
        "REGULARS_STORE": f"sqlite:///{home}/regulars.db",
        "MLFLOW_TRACKING_URI": f"sqlite:///{home}/mlruns/mlflow.db",
        "REGULARS_CLOCK": "data",
        "REGULARS_HORIZON_DAYS": str(horizon_days),
        "SPARK_MASTER": os.environ.get("SPARK_MASTER", "local[2]"),
    }
    _run(settings, "import", "--orders", str(orders), *(["--preset", preset] if preset else []))
    _run(settings, "train")
    _run(settings, "promote", "--force")
    _run(settings, "export", "--out", f"{home}/snapshot")
    store = Store.open(settings["REGULARS_STORE"], Settings.model_validate({"store": settings["REGULARS_STORE"]}))
    ends = str(np.datetime64(local_day((store.span() or (0, 0))[1], store.zone), "D"))
    return [
        _both(home, settings, "score"),
        _both(home, settings, "features", "--as-of", ends),
        _frames(store, f"{home}/snapshot", settings["SPARK_MASTER"], horizon_days),
    ]


def _both(home: Path, settings: Mapping[str, str], command: str, *more: str) -> Row:
    here, there = home / f"{command}.parquet", home / command
    _run(settings, command, *more, "--out", str(here))
    _run(settings, command, *more, "--engine", "spark", "--history", f"{home}/snapshot", "--out", f"{there}/")
    files = [pq.read_table(file, partitioning=None) for file in sorted(there.rglob("*.parquet"))]
    ours, theirs = pq.read_table(here), pa.concat_tables(files).sort_by("customer_id")
    return _row(command, len(ours), differences(ours, theirs), _numbers(ours))


def _frames(store: Store, snapshot: str, master: str, horizon_days: int) -> Row:
    share, as_of = sampled_share(store), (store.span() or (0, 0))[1]
    history = store.sample(share, purpose="training", seed=SAMPLE_SEED)
    encoder = AttributeEncoder.fit(history)
    here = training_frame(history, as_of, horizon_days, encoder)
    with session(master) as spark:
        there = spark_frame(Histories(spark, snapshot), share, history, as_of, horizon_days, encoder)
    worst = {name: _apart(getattr(here, name), getattr(there, name)) for name in _FRAME}
    return _row("training frame", len(here.X), worst, sum(getattr(here, name).size for name in _FRAME))


def _row(what: str, rows: int, worst: Mapping[str, float], numbers: int) -> Row:
    column = max(worst, key=worst.__getitem__)
    largest = worst[column]
    return {"what": what, "rows": rows, "numbers": numbers, "largest": largest, "column": column if largest else ""}


def differences(one: pa.Table, other: pa.Table) -> dict[str, float]:
    """Largest relative difference of every column of numbers; all else must be equal."""
    assert (one.column_names, len(one)) == (other.column_names, len(other))
    worst: dict[str, float] = {}
    for name in one.column_names:
        a, b = (_flat(table[name]) for table in (one, other))
        if pa.types.is_floating(a.type):
            worst[name] = _apart(*(values.to_numpy(zero_copy_only=False) for values in (a, b)))
        else:
            assert a.to_pylist() == b.to_pylist(), name
    return worst


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    x, y = one.astype(np.float64), other.astype(np.float64)
    np.testing.assert_array_equal(np.isnan(x), np.isnan(y))
    scale = np.maximum(np.maximum(np.abs(x), np.abs(y)), 1e-300)
    return float(np.nanmax(np.abs(x - y) / scale, initial=0.0))


def _flat(column: pa.ChunkedArray) -> pa.Array:
    whole = column.combine_chunks()
    return whole.flatten() if pa.types.is_list(whole.type) else whole


def _numbers(table: pa.Table) -> int:
    flat = [_flat(table[name]) for name in table.column_names]
    return sum(len(values) - values.null_count for values in flat if pa.types.is_floating(values.type))


def _run(settings: Mapping[str, str], *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "regulars", *arguments], env={**os.environ, **settings}, check=True,
                   stdout=subprocess.DEVNULL)  # fmt: skip


if __name__ == "__main__":
    main()
