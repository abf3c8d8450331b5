"""The feature rows of everybody as Parquet: on this machine, or on Spark."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from engines.spark import histories, in_mind, reachable, session
from features.customers import NAMES, customer_features, warm_up
from histories.clock import asked
from histories.errors import BadInput
from histories.history import History
from histories.settings import Settings
from histories.storage.erasure import noting
from histories.storage.outputs import unfinished_of
from histories.storage.store import Store

SCHEMA: Final = pa.schema([("customer_id", pa.string()), *((name, pa.float32()) for name in NAMES)])
_CHUNK: Final = 10_000  # customers


def feature_table(as_of: int, history: History) -> pa.Table:
    """One row of SCHEMA per customer, in the order of the history, as known at as_of (inclusive, us)."""
    X = customer_features(history, as_of)
    ids = pa.array(history.customer_id, pa.string())
    return pa.table([ids, *(pa.array(column) for column in X.T.copy())], schema=SCHEMA)


def write_here(store: Store, out: str, as_of: str, progress: Callable[[int], None] = lambda customers: None) -> int:
    """Into a file that appears whole or not at all; how many rows. Raises BadInput."""
    path, moment = Path(out), asked(as_of, store.zone, "as_of")
    if path.suffix != ".parquet" or not path.absolute().parent.is_dir():
        raise BadInput(f"{out}: name a FILE.parquet in a folder that exists")
    unfinished, rows = unfinished_of(path), 0
    try:
        with noting(store, str(path.absolute())):
            with pq.ParquetWriter(unfinished, SCHEMA) as file:
                for history in store.chunks(_CHUNK):
                    file.write_table(feature_table(moment, history))
                    rows += len(history)
                    progress(rows)
            unfinished.replace(path)
    except OSError as error:
        raise BadInput(f"{out} cannot be written: {error.strerror or error}") from None
    finally:
        unfinished.unlink(missing_ok=True)
    return rows


def write_on_spark(
    store: Callable[[], Store],
    settings: Settings,
    out: str,
    as_of: str,
    snapshot: str | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> int:
    """The same rows into a folder of Parquet files, in place of what is there; how many. Raises BadInput."""
    if not out.endswith("/"):
        raise BadInput(f"{out}: --engine spark writes folders of Parquet files; name one that ends in /")
    warm_up()
    opened = reachable(store, say) if snapshot else store()
    with session(settings.spark_master) as spark, histories(spark, opened, snapshot) as everybody:
        moment = asked(as_of, everybody.shop.zone, "as_of")
        with in_mind(opened, out):
            everybody.map(partial(feature_table, moment), SCHEMA).write.mode("overwrite").parquet(out)
        return int(spark.read.parquet(out).count())
