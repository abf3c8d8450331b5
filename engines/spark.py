"""Histories on Spark: one function over whole customers, on every partition of a snapshot.

The one module that imports PySpark. Scheduling, retries, memory and files are Spark's; ours is the function.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import pyarrow as pa

from histories.clock import asked
from histories.errors import BadInput
from histories.history import History
from histories.storage.erasure import EverErased, forget_output, noting
from histories.storage.export import write
from histories.storage.outputs import NO_RELEASE
from histories.storage.snapshot import shop_of, unpack
from histories.storage.store import Store

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

BATCH = 2_000  # customers in one call of the function


class Shared(Hashable, Protocol):
    """Files by name, as every executor has them (a broadcast of Spark's): one object for the life of a worker."""

    @property
    def value(self) -> dict[str, bytes]: ...


Function = Callable[[History], pa.Table]
Rows = TypeVar("Rows", pa.RecordBatch, pa.Table)


@contextmanager
def session(master: str = "") -> Iterator[SparkSession]:
    """A Spark session, ended on leaving; without a master the one that Spark itself is configured with, or local[*].

    Raises BadInput where PySpark or Java is missing, or Spark does not start.
    """
    with warnings.catch_warnings():  # PySpark warns of pandas 3, which plays no part here: all is Arrow
        warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
        spark = _start(master)
        try:
            yield spark
        finally:
            spark.stop()


def _start(master: str) -> SparkSession:
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        raise BadInput("--engine spark needs PySpark: install regulars[spark]") from None
    _find_java()
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName("regulars").config(map=_configuration())
    try:
        return (builder.master(master) if master else builder).getOrCreate()
    except Exception as error:  # noqa: BLE001 - py4j, Spark and the JVM's launcher each have their own
        raise BadInput(f"Spark did not start with master {master or 'local[*]'}: {_first_line(error)}") from None


@contextmanager
def histories(
    spark: SparkSession, store: Store | None, url: str | None, since: str | None = None
) -> Iterator[Histories]:
    """Those of a snapshot, without whom the store has erased since; else those of the store itself.

    The latter by a snapshot on this machine that is gone afterwards. `since` (a date or time): only those of whom
    something was recorded since then. Raises BadInput where Spark runs on other machines, which could not see that.
    """
    if url:
        everybody = Histories(spark, url, EverErased.of(store) if store else None)
        yield everybody if since is None else everybody.learned_since(asked(since, everybody.shop.zone, "since"))
        return
    master = str(spark.sparkContext.master)
    if not master.startswith("local"):
        raise BadInput(
            f"--history is needed with {master}: a snapshot (regulars export) that all its machines can read"
        )
    assert store is not None
    with tempfile.TemporaryDirectory(prefix="regulars-") as folder:
        write(store, f"{folder}/snapshot", since=None if since is None else asked(since, store.zone, "since"))
        yield Histories(spark, f"{folder}/snapshot")
    forget_output(store, f"{folder}/snapshot")


def reachable(store: Callable[[], Store], say: Callable[[str], None]) -> Store | None:
    """For work on a snapshot, which may be far from the store: None where it cannot be opened, and that is said."""
    try:
        return store()
    except BadInput as error:
        say(f"whom the store has erased since the snapshot is not left out: {error}")
        return None


def in_mind(
    store: Store | None, out: str, release: str = NO_RELEASE, as_of: int | None = None
) -> AbstractContextManager[None]:
    """histories.storage.erasure.noting of what is written to this machine; the store does not reach others."""
    if store is None or "://" in out:
        return nullcontext()
    return noting(store, str(Path(out).absolute()), release, as_of)


class Histories:
    """A snapshot (histories.storage.snapshot) on Spark."""

    def __init__(self, spark: SparkSession, url: str, erased: EverErased | None = None) -> None:
        """`url` as Spark names it (folder, s3a://, hdfs://, ...), `erased` are passed over.

        Raises BadInput unless a whole snapshot is there.
        """
        self.spark, self._erased = spark, erased
        self._rows = _read(url, lambda: spark.read.parquet(f"{url}/histories"))
        card = _read(url, lambda: spark.read.text(f"{url}/shop.json", wholetext=True).collect()[0][0])
        self.shop = shop_of(card, spark.read.parquet(f"{url}/products").coalesce(1).toArrow())
        self._shop = spark.sparkContext.broadcast(self.shop)

    def map(self, function: Function, schema: pa.Schema) -> DataFrame:
        """What the function, importable on the executors, makes of every few customers, as one table of `schema`."""
        from pyspark.sql.pandas.types import from_arrow_schema

        shop, erased = self._shop, self._erased

        def over(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for batch in batches:
                yield from function(unpack(_without(batch, erased), shop.value)).cast(schema).to_batches()

        return self._rows.mapInArrow(over, from_arrow_schema(schema))

    def first(self, customers: int) -> History:
        """Some customers, in this process."""
        return unpack(_without(self._rows.limit(customers).toArrow(), self._erased), self.shop)

    def learned_since(self, instant: int) -> Histories:
        """Only those of whom a line or an event was recorded at or after an instant (us)."""
        from pyspark.sql import functions as F

        news = [F.exists(f"{table}_recorded_at", lambda at: at >= instant) for table in ("lines", "events")]
        changed = copy(self)
        changed._rows = self._rows.filter(news[0] | news[1])
        return changed


def _without(rows: Rows, erased: EverErased | None) -> Rows:
    if erased is None or not any(gone := erased(rows["customer_id"].to_pylist())):
        return rows
    return rows.filter(pa.array([not each for each in gone]))


def shared(spark: SparkSession, files: Path) -> Shared:
    """The plain files of a folder, sent to every executor once."""
    found = {str(path.relative_to(files)): path.read_bytes() for path in sorted(files.rglob("*")) if path.is_file()}
    sent: Shared = spark.sparkContext.broadcast(found)
    return sent


def lay_out(files: dict[str, bytes], folder: Path) -> None:
    """The files that were shared, in a folder again."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def write_day(rows: DataFrame, folder: str, day: str) -> int:
    """Into folder/day=YYYY-MM-DD, in place of what is there; other days stay, and so does this one without rows.

    Returns how many.
    """
    from pyspark.sql import Observation
    from pyspark.sql import functions as F

    written = Observation()
    counted = rows.observe(written, F.count(F.lit(1)).alias("rows"))
    dated = counted.withColumn("day", F.lit(day)).write.partitionBy("day")
    dated.mode("overwrite").option("partitionOverwriteMode", "dynamic").parquet(folder)
    return int(written.get["rows"])


def _configuration() -> dict[str, Any]:
    return {
        "spark.sql.execution.arrow.maxRecordsPerBatch": BATCH,
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.ui.showConsoleProgress": str(sys.stderr.isatty()).lower(),
    }


def _find_java() -> None:
    home = os.environ.get("JAVA_HOME")
    if not (Path(home, "bin", "java").is_file() if home else shutil.which("java")):
        raise BadInput("--engine spark needs Java 17 or later: install openjdk-17-jre-headless, or set JAVA_HOME")


def _read(url: str, read: Callable[[], Any]) -> Any:
    from pyspark.errors import PySparkException

    try:
        return read()
    except PySparkException as error:
        raise BadInput(f"{url} is no snapshot (regulars export --out makes one): {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
