"""Shared fixtures: what is slow to make is made once per run, for all workers of pytest-xdist together."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

Factory = pytest.TempPathFactory


def once(factory: Factory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that the first worker to come fills; the others wait and find it full."""
    base = factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, done = root / name, root / f"{name}.done"
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            done.touch()
    return folder


@pytest.fixture(scope="session")
def migrated_mlflow_db(tmp_path_factory: Factory) -> Path:
    """An empty, migrated MLflow database to copy: migrating a fresh one takes seconds, copying 0.04 s."""

    def migrate(folder: Path) -> None:
        from training.tracking import Tracker

        Tracker(f"sqlite:///{folder}/mlflow.db").client.search_experiments()

    return once(tmp_path_factory, "mlflow", migrate) / "mlflow.db"


@pytest.fixture
def tracking_uri(migrated_mlflow_db: Path, tmp_path: Path) -> str:
    """An MLflow of the test's own."""
    (tmp_path / "mlruns").mkdir()
    shutil.copy(migrated_mlflow_db, tmp_path / "mlruns")
    return f"sqlite:///{tmp_path}/mlruns/mlflow.db"
