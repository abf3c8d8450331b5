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
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa

from histories.errors import BadInput
from histories.export import write
from histories.history import History
from histories.snapshot import shop_of, unpack
from histories.store import Store

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

BATCH = 2_000  # customers in one call of the function


class Shared(Hashable, Protocol):
    """Files by name, as every executor has them (a broadcast of Spark's): one object for the life of a worker."""

    @property
    def value(self) -> dict[str, bytes]: ...


Function = Callable[[History], pa.Table]


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
def histories(spark: SparkSession, store: Callable[[], Store], url: str | None) -> Iterator[Histories]:
    """Those of a snapshot, else those of the store, by a snapshot on this machine that is gone afterwards.

    Raises BadInput where Spark runs on other machines, which could not see that.
    """
    if url:
        yield Histories(spark, url)
        return
    master = str(spark.sparkContext.master)
    if not master.startswith("local"):
        raise BadInput(
            f"--history is needed with {master}: a snapshot (regulars export) that all its machines can read"
        )
    with tempfile.TemporaryDirectory(prefix="regulars-") as folder:
        write(store(), f"{folder}/snapshot")
        yield Histories(spark, f"{folder}/snapshot")


class Histories:
    """A snapshot (histories.snapshot) on Spark."""

    def __init__(self, spark: SparkSession, url: str) -> None:
        """`url` as Spark names it (folder, s3a://, hdfs://, ...). Raises BadInput unless a whole snapshot is there."""
        self.spark = spark
        self._rows = _read(url, lambda: spark.read.parquet(f"{url}/histories"))
        card = _read(url, lambda: spark.read.text(f"{url}/shop.json", wholetext=True).collect()[0][0])
        self.shop = shop_of(card, spark.read.parquet(f"{url}/products").coalesce(1).toArrow())
        self._shop = spark.sparkContext.broadcast(self.shop)

    def map(self, function: Function, schema: pa.Schema) -> DataFrame:
        """What the function, importable on the executors, makes of every few customers, as one table of `schema`."""
        from pyspark.sql.pandas.types import from_arrow_schema

        shop = self._shop

        def over(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for batch in batches:
                yield from function(unpack(batch, shop.value)).cast(schema).to_batches()

        return self._rows.mapInArrow(over, from_arrow_schema(schema))

    def first(self, customers: int) -> History:
        """Some customers, in this process."""
        return unpack(self._rows.limit(customers).toArrow(), self.shop)

    def learned_since(self, instant: int) -> Histories:
        """Only those of whom a line or an event was recorded at or after an instant (us)."""
        from pyspark.sql import functions as F

        news = [F.exists(f"{table}_recorded_at", lambda at: at >= instant) for table in ("lines", "events")]
        changed = copy(self)
        changed._rows = self._rows.filter(news[0] | news[1])
        return changed


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


def write_day(rows: DataFrame, folder: str, day: str) -> None:
    """Into folder/day=YYYY-MM-DD, in place of what is there; other days stay."""
    from pyspark.sql import functions as F

    dated = rows.withColumn("day", F.lit(day)).write.partitionBy("day")
    dated.mode("overwrite").option("partitionOverwriteMode", "dynamic").parquet(folder)


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
