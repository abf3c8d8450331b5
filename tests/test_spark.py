"""The Spark engine: the same numbers as on one machine; a clear line where Spark cannot start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from engines.spark import lay_out, session
from histories.errors import BadInput
from histories.export import write
from histories.settings import Settings
from histories.store import Store
from service import spark
from tests.conftest import Trained
from tests.web import own_copy

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
    code = "import engines.spark, service.spark, sys; assert 'pyspark' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])


@pytest.mark.parametrize("out", ["scores.csv", "scores.parquet", "postgresql://me@host/shop/"])
def test_it_writes_folders_of_parquet_only(out: str) -> None:
    with pytest.raises(BadInput, match="--engine spark writes folders of Parquet files"):
        spark.score(lambda: pytest.fail("nothing needs to be opened"), Settings(), out)


def test_shared_files_are_laid_out_again(tmp_path: Path) -> None:
    lay_out({"a.txt": b"1", "b/c.bin": b"\x00"}, tmp_path)
    assert [(tmp_path / "a.txt").read_bytes(), (tmp_path / "b/c.bin").read_bytes()] == [b"1", b"\x00"]


def differences(one: pa.Table, other: pa.Table) -> dict[str, float]:
    """Largest relative difference of every column of numbers; all else must be equal."""
    assert (one.column_names, len(one)) == (other.column_names, len(other))
    worst: dict[str, float] = {}
    for name in one.column_names:
        a, b = (_flat(table[name]) for table in (one, other))
        if pa.types.is_floating(a.type):
            x, y = (values.to_numpy(zero_copy_only=False).astype(np.float64) for values in (a, b))
            np.testing.assert_array_equal(np.isnan(x), np.isnan(y), err_msg=name)
            scale = np.maximum(np.maximum(np.abs(x), np.abs(y)), 1e-300)
            worst[name] = float(np.nanmax(np.abs(x - y) / scale, initial=0.0))
        else:
            assert a.to_pylist() == b.to_pylist(), name
    return worst


def _flat(column: pa.ChunkedArray) -> pa.Array:
    whole = column.combine_chunks()
    if not pa.types.is_list(whole.type):
        return whole
    return whole.flatten()


def regulars(settings: Settings, *arguments: str) -> str:
    """What a command says; it must succeed. Spark is the real one, on two cores."""
    environment = os.environ | {
        "REGULARS_STORE": settings.store,
        "MLFLOW_TRACKING_URI": settings.tracking_uri,
        "SPARK_MASTER": "local[2]",
        "PYSPARK_SUBMIT_ARGS": "--conf spark.ui.enabled=false pyspark-shell",
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
