"""Locks between jobs: who excludes whom, that a refusal names the holder, and that no lock outlives its process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import regulars
from histories.errors import Refused
from histories.settings import Settings
from histories.storage.locks import held
from histories.storage.store import Store
from tests.postgres import create_database

HOLD = """
import sys, time
from histories.storage.locks import held
from histories.settings import Settings
from histories.storage.store import Store
url, shared = sys.argv[1:]
with held(Store.open(url, Settings()).engine, "data", "import", shared=bool(shared)):
    print("held", flush=True)
    time.sleep(60)
"""


@contextmanager
def holding(url: str, *, shared: bool) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the data until it is killed."""
    arguments = [sys.executable, "-c", HOLD, url, "shared" if shared else ""]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def check(url: str) -> None:
    engine = Store.open(url, Settings()).engine
    with holding(url, shared=False) as other:
        for shared in (False, True):
            with (
                pytest.raises(Refused, match=f"import, process {other.pid} on"),
                held(engine, "data", "score", shared=shared),
            ):
                pass
        with held(engine, "training", "train"):  # another thing
            pass
        other.kill()
        other.wait()
        with held(engine, "data", "score"):  # gone with its process
            pass
    with holding(url, shared=True), held(engine, "data", "score", shared=True), pytest.raises(Refused):
        held(engine, "data", "import").__enter__()
    engine.dispose()


def test_jobs_exclude_each_other_on_sqlite(tmp_path: Path) -> None:
    check(f"sqlite:///{tmp_path}/shop.db")


@pytest.mark.prove
def test_jobs_exclude_each_other_on_postgresql(postgres_server: str) -> None:
    check(create_database(postgres_server, "locks"))


def test_a_second_job_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"sqlite:///{tmp_path}/shop.db"
    (tmp_path / "orders.csv").write_text("customer_id,occurred_at\n1,2024-01-01\n")
    with held(Store.open(url, Settings()).engine, "data", "import"):
        code = regulars.run(["import", "--orders", f"{tmp_path}/orders.csv", "--store", url])
    assert code == regulars.REFUSED
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert f"import, process {os.getpid()} on" in said[0]
