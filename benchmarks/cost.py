"""What a customer costs one core: exporting, and scoring of a snapshot's rows, in CPU time of this process alone.

python -m benchmarks.cost --home DIR [--json OUT]

DIR is one size of `benchmarks.batch --folder`: a store, and an MLflow with a champion. CPU time does not count what
others do on the machine, so that the figures hold on a busy one; waiting for disks is left out with it.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

from histories.settings import Settings
from histories.storage.export import write
from histories.storage.snapshot import shop_of, unpack
from histories.storage.store import Store
from service.ask import Moment
from service.batch import champion
from service.scoring import score_table

Row = dict[str, Any]
_BATCH: Final = 2_000  # customers, as on Spark


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    home = options.home.absolute()
    urls = {"store": f"sqlite:///{home}/regulars.db", "MLFLOW_TRACKING_URI": f"sqlite:///{home}/mlruns/mlflow.db"}
    settings = Settings.model_validate(urls)
    with tempfile.TemporaryDirectory() as folder:
        rows = _rows(settings, f"{folder}/snapshot")
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    if options.json:
        options.json.write_text(json.dumps({"rows": rows, "machine": {"processor": platform.machine()}}, indent=1))


def _rows(settings: Settings, snapshot: str) -> list[Row]:
    store = Store.open(settings.store, settings)
    next(store.chunks(1))  # what is compiled or read once is not of a customer
    began = time.process_time()
    customers = write(store, snapshot)
    exported = time.process_time() - began
    files = [*Path(snapshot, "histories").iterdir()]
    size = sum(file.stat().st_size for file in files)
    lines = store.counts("lines")["lines"]
    rows = [{"stage": "export", **_each(exported, customers), "lines": lines, "bytes": round(size / customers)}]
    return rows + [_scoring(store, settings, snapshot, k) for k in (0, 10)]


def _scoring(store: Store, settings: Settings, snapshot: str, k: int) -> Row:
    shop = shop_of(Path(snapshot, "shop.json").read_text(), pq.read_table(f"{snapshot}/products"))
    release, (_, newest) = champion(store, settings), store.span() or (0, 0)
    moment = Moment(newest, live=False)
    table = pq.read_table(f"{snapshot}/histories")
    score_table(unpack(table.slice(0, 200), shop), release, moment, k)
    began = time.process_time()
    for start in range(0, len(table), _BATCH):
        score_table(unpack(table.slice(start, _BATCH), shop), release, moment, k)
    stage = f"score with {k} products" if k else "score"
    return {"stage": stage, **_each(time.process_time() - began, len(table))}


def _each(seconds: float, customers: int) -> Row:
    return {"customers": customers, "core_microseconds_per_customer": round(seconds / customers * 1e6, 1)}


if __name__ == "__main__":
    main()
