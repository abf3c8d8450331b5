"""The Spark engine: the same numbers as on one machine; a clear line where Spark cannot start."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import SecretStr

import regulars as regulars_py
from benchmarks.engines import differences
from engines.features import write_here
from engines.spark import lay_out, reachable, session
from features.attributes import AttributeEncoder
from features.customers import NAMES, customer_features
from histories.clock import DAY, parse_as_of
from histories.errors import BadInput
from histories.history import History
from histories.settings import Settings
from histories.storage.erasure import note_training
from histories.storage.export import write
from histories.storage.snapshot import pack, unpack
from histories.storage.store import Store
from models.frame import Frame, training_frame
from service import spark
from tests.conftest import Trained, with_mlflow
from tests.databases import copy_database
from tests.web import own_copy, shelf_of
from training.backtest import until
from training.spark import training_frame as spark_frame
from training.tracking import Tracker
from training.train import SAMPLE_SEED
from training.verdict import Verdict

AS_OF = "2025-11-15"


def test_without_pyspark_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pyspark", "pyspark.sql"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(BadInput, match=r"^--engine spark needs PySpark: install regulars\[spark\]$"), session():
        pass


@pytest.mark.parametrize("home", [None, "/no/such/home"])
def test_without_java_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, home: str | None
) -> None:
    pytest.importorskip("pyspark", reason="the extra spark is not installed")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("JAVA_HOME", home) if home else monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(BadInput, match=r"^--engine spark needs Java 17 or later: install openjdk-17"), session():
        pass


def test_the_engine_is_imported_by_those_who_ask_for_it() -> None:
    code = "import engines.features, service.spark, sys; assert 'pyspark' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])


@pytest.mark.parametrize("out", ["scores.csv", "scores.parquet", "postgresql://me@host/shop/"])
def test_it_writes_folders_of_parquet_only(out: str) -> None:
    with pytest.raises(BadInput, match="--engine spark writes folders of Parquet files"):
        spark.score(lambda: pytest.fail("nothing needs to be opened"), Settings(), out)


def test_shared_files_are_laid_out_again(tmp_path: Path) -> None:
    lay_out({"a.txt": b"1", "b/c.bin": b"\x00"}, tmp_path)
    assert [(tmp_path / "a.txt").read_bytes(), (tmp_path / "b/c.bin").read_bytes()] == [b"1", b"\x00"]


def test_a_release_of_the_executors_holds_nothing_of_the_erased(trained: Trained, tmp_path: Path) -> None:
    release = shelf_of(trained, tmp_path).path(trained.release)
    files = {str(path.relative_to(release)): path.read_bytes() for path in release.rglob("*") if path.is_file()}
    whole, masked = (spark._release(Sent(files), rows).next_purchase.evidence.pool for rows in ((), (7,)))
    sizes = np.diff(whole.start)
    assert sizes[7] > 0
    sizes[7] = 0
    assert np.diff(masked.start).tolist() == sizes.tolist()


class Sent:
    """What Spark's broadcast is to an executor."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.value = files


def test_a_store_out_of_reach_is_said_and_not_made(tmp_path: Path) -> None:
    settings, said = Settings(store=f"sqlite:///{tmp_path}/none.db"), list[str]()
    assert reachable(lambda: regulars_py._open_existing(settings), said.append) is None
    assert said == [
        f"whom the store has erased since the snapshot is not left out: there is no store {tmp_path}/none.db"
    ]
    assert not list(tmp_path.iterdir())


class Partitions:
    """What engines.spark.Histories does with a function, without Spark: some customers at a time, rows in any order."""

    def __init__(self, store: Store) -> None:
        self.chunks = [unpack(pack(chunk), shop_like(chunk)) for chunk in store.chunks(70)]

    def map(self, function: Callable[[History], pa.Table], schema: pa.Schema) -> Partitions:
        made = pa.concat_tables(function(chunk).cast(schema) for chunk in self.chunks)
        self.made = made.take(np.random.default_rng(0).permutation(len(made)))
        return self

    def toArrow(self) -> pa.Table:
        return self.made


def shop_like(history: History) -> Any:
    kinds = {name: "number" if values.dtype.kind == "f" else "text" for name, values in history.attributes.items()}
    return SimpleNamespace(
        attributes=kinds, catalog=history.catalog, channels=history.channels, zone=history.zone
    )  # fmt: skip


@pytest.mark.parametrize(("share", "earlier"), [(1.0, 0), (0.4, 100)])
def test_a_frame_of_partitions_is_that_of_the_whole(toy_store: Store, share: float, earlier: int) -> None:
    span = toy_store.span()
    assert span is not None
    history = toy_store.sample(share, purpose="training", seed=SAMPLE_SEED)
    encoder = AttributeEncoder.fit(history)
    as_of = span[1] - earlier * DAY
    known = until(history, as_of)
    parts = spark_frame(Partitions(toy_store), share, known, as_of, 60, encoder)  # type: ignore[arg-type]
    same_frames(parts, training_frame(known, as_of, 60, encoder))


def test_the_rows_of_everybody_are_those_of_the_function(toy_store: Store, tmp_path: Path) -> None:
    assert write_here(toy_store, f"{tmp_path}/rows.parquet", AS_OF) == len(toy_store.customer_ids())
    rows, history = pq.read_table(tmp_path / "rows.parquet"), toy_store.history()
    X = customer_features(history, parse_as_of(AS_OF, toy_store.zone))
    assert rows["customer_id"].to_pylist() == history.customer_id.tolist()
    np.testing.assert_array_equal(np.column_stack([rows[name].to_numpy() for name in NAMES]), X)
    with pytest.raises(BadInput, match=r"name a FILE\.parquet in a folder that exists"):
        write_here(toy_store, f"{tmp_path}/no/rows.parquet", AS_OF)
    with pytest.raises(BadInput, match="as_of must be a date"):
        write_here(toy_store, f"{tmp_path}/rows.parquet", "soon")


def same_frames(one: Frame, other: Frame) -> None:
    for name in ("X", "as_of", "customer", "orders", "spend", "next_day"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    for ours, theirs in zip(one.base, other.base, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert (one.names, one.window_days) == (other.names, other.window_days)


def regulars(settings: Settings, *arguments: str, **variables: str) -> str:
    """What a command says; it must succeed. Spark is the real one, on two cores."""
    environment = os.environ | {
        "REGULARS_STORE": settings.store,
        "MLFLOW_TRACKING_URI": settings.tracking_uri,
        "SPARK_MASTER": "local[2]",
        "PYSPARK_SUBMIT_ARGS": "--conf spark.ui.enabled=false pyspark-shell",
        **variables,
    }
    command = [sys.executable, "-m", "regulars", *arguments]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[1], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.prove
def test_spark_scores_as_one_machine_does(trained: Trained, tmp_path: Path) -> None:
    """From a snapshot of several files, so that both workers have their part."""
    settings = own_copy(trained, tmp_path)
    write(Store.open(settings.store, settings), f"{tmp_path}/snapshot", chunk=20)
    regulars(settings, "score", "--out", f"{tmp_path}/local.parquet", "--as-of", AS_OF)
    said = regulars(
        settings, "score", "--engine", "spark", "--history", f"{tmp_path}/snapshot", "--out", f"{tmp_path}/spark/",
        "--as-of", AS_OF,
    )  # fmt: skip
    assert "customers scored by release" in said
    ours, theirs = (
        pq.read_table(tmp_path / "local.parquet"),
        pq.read_table(tmp_path / "spark/day=2025-11-15", partitioning=None),
    )
    worst = differences(ours, theirs.sort_by("customer_id"))
    assert {"churn_probability", "expected_spend", "product_scores"} <= set(worst)
    assert max(worst.values()) <= 1e-9, worst


@pytest.mark.prove
def test_spark_leaves_out_the_erased_and_those_without_news(trained: Trained, tmp_path: Path) -> None:
    """A snapshot from before an erasure, beyond the store's reach as if it were elsewhere; and none at all."""
    settings = own_copy(trained, tmp_path).model_copy(update={"erasure_key": SecretStr("key")})
    store, since = Store.open(settings.store, settings), "2025-12-20"
    write(store, f"{tmp_path}/made")
    (tmp_path / "made").rename(tmp_path / "snapshot")
    gone = store.learned_since(parse_as_of(since, store.zone))[0]
    note_training(store, trained.release, [gone], np.array([7], dtype=np.int32))
    assert store.erase(gone)
    asked = ("score", "--since", since, "--as-of", AS_OF)
    regulars(settings, *asked, "--out", f"{tmp_path}/local.parquet")
    ours = pq.read_table(tmp_path / "local.parquet")
    assert 0 < len(ours) < len(store.customer_ids())
    for name, snapshot in (("from", ["--history", f"{tmp_path}/snapshot"]), ("without", [])):
        said = regulars(settings, *asked, "--engine", "spark", *snapshot, "--out", f"{tmp_path}/{name}/",
                        REGULARS_ERASURE_KEY="key")  # fmt: skip
        assert said.startswith(f"{len(ours):,} customers scored")
        theirs = pq.read_table(tmp_path / name / f"day={AS_OF}", partitioning=None)
        assert max(differences(ours, theirs.sort_by("customer_id")).values()) <= 1e-9
    other = ours["customer_id"][0].as_py()
    done = store.erase(other)
    assert done is not None
    assert {f"{tmp_path}/from", f"{tmp_path}/without"} <= set(done.outputs)
    said = regulars(settings, *asked[:2], "2030-01-01", *asked[3:], "--engine", "spark", "--out", f"{tmp_path}/nobody/")
    assert said.startswith("0 customers scored")


@pytest.mark.prove
def test_spark_makes_the_features_of_one_machine(toy_store: Store, tmp_path: Path) -> None:
    """Out of the store, by a snapshot that is gone afterwards; and no lines are left behind in temporary folders."""
    settings = toy_store.settings.model_copy(update={"store": str(toy_store.engine.url)})
    regulars(settings, "features", "--out", f"{tmp_path}/here.parquet", "--as-of", AS_OF)
    regulars(
        settings, "features", "--engine", "spark", "--out", f"{tmp_path}/spark/", "--as-of", AS_OF, TMPDIR=str(tmp_path)
    )
    here, there = pq.read_table(tmp_path / "here.parquet"), pq.read_table(tmp_path / "spark")
    assert set(differences(here, there.sort_by("customer_id")).values()) == {0.0}
    assert not list(tmp_path.glob("regulars-*"))


@pytest.mark.prove
def test_spark_trains_a_release(trained: Trained, tmp_path: Path) -> None:
    """The same recipe on the same rows: judged beside the champion, every difference is nought."""
    settings = own_copy(trained, tmp_path)
    (tmp_path / "mlruns").mkdir()
    copy_database(trained.settings.tracking_uri.removeprefix("sqlite:///"), tmp_path / "mlruns")
    settings = with_mlflow(settings, tmp_path)
    said = regulars(settings, "train", "--engine", "spark", REGULARS_HORIZON_DAYS=str(settings.horizon_days))
    assert "is registered as challenger" in said
    tracker = Tracker(settings.tracking_uri)
    newest = tracker.newest()
    assert newest is not None
    assert newest.id != trained.release
    verdict = Verdict.from_json(tracker.read_json(newest, "verdict.json"))
    assert {each.gain for found in verdict.beside_champion.values() for each in found} == {0.0}
