"""Shared fixtures: what is slow to make is made once per run, for all workers of pytest-xdist together."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from uuid import uuid4

import pyarrow.parquet as pq
import pytest

from histories.clock import to_instant
from histories.settings import Settings
from histories.storage.store import Store
from tests.databases import copy_database
from tests.postgres import create_schema, postgres

Factory = pytest.TempPathFactory
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as regulars.main: the tests' processes share the cores
TOY_CUSTOMERS = 600


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
    copy_database(migrated_mlflow_db, tmp_path / "mlruns")
    return f"sqlite:///{tmp_path}/mlruns/mlflow.db"


@dataclass(frozen=True)
class Shop:
    """A simulated shop in a store; read it, copy the database to write to it."""

    store_url: str
    settings: Settings

    def open(self) -> Store:
        return Store.open(self.store_url, self.settings)


@dataclass(frozen=True)
class Trained:
    """A shop whose release is champion. `settings` names its store and its MLflow; copy mlflow.db to write to it."""

    shop: Shop
    settings: Settings
    release: str
    folder: Path  # holds mlruns/mlflow.db


@pytest.fixture(scope="session")
def toy_shop(tmp_path_factory: Factory) -> Shop:
    """600 simulated customers over two years, imported."""

    def fill(folder: Path) -> None:
        from simulator.shop import simulate

        made = simulate(TOY_CUSTOMERS, 11, folder, ends=date(2025, 12, 31))
        tables = {name: pq.read_table(made.file(name)) for name in ("orders", "events", "customers", "products")}
        now = to_instant(datetime(2026, 1, 1, tzinfo=UTC))
        with closing(Store.open(f"sqlite:///{folder}/regulars.db", settings_of(folder))) as store:
            store.add(tables["orders"], tables["events"], tables["customers"], tables["products"], now=now)

    folder = once(tmp_path_factory, "shop", fill)
    return Shop(f"sqlite:///{folder}/regulars.db", settings_of(folder))


@pytest.fixture(scope="session")
def toy_store(toy_shop: Shop) -> Iterator[Store]:
    with closing(toy_shop.open()) as store:
        yield store


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A PostgreSQL server for the tests of one worker: create_database(server, name) gives a URL to use."""
    with postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.prove)])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty store of the test's own, of each kind of database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/shop.db"
    return create_schema(request.getfixturevalue("postgres_server"), f"shop_{uuid4().hex}")


@pytest.fixture
def open_store(store_url: str) -> Iterator[Callable[..., Store]]:
    """Opens the test's own store with these settings, as often as wanted; all are closed at the end."""
    with ExitStack() as stack:
        yield lambda **given: stack.enter_context(closing(Store.open(store_url, Settings(**given))))


@pytest.fixture(scope="session")
def trained(tmp_path_factory: Factory, toy_shop: Shop, migrated_mlflow_db: Path) -> Trained:
    """The toy shop's first release, trained and promoted; read it, do not promote over it."""

    def make(folder: Path) -> None:
        from training.promote import promote
        from training.train import train

        (folder / "mlruns").mkdir()
        copy_database(migrated_mlflow_db, folder / "mlruns")
        settings = with_mlflow(toy_shop.settings, folder)
        with closing(toy_shop.open()) as store:
            made = train(store, settings)
        promote(settings, made.id)
        (folder / "release").write_text(made.id)
        (folder / "table.txt").write_text(made.table())

    folder = once(tmp_path_factory, "trained", make)
    return Trained(toy_shop, with_mlflow(toy_shop.settings, folder), (folder / "release").read_text(), folder)


def settings_of(folder: Path) -> Settings:
    return Settings(store=f"sqlite:///{folder}/regulars.db", timezone="UTC", horizon_days=60)


def with_mlflow(settings: Settings, folder: Path) -> Settings:
    return settings.model_copy(update={"tracking_uri": f"sqlite:///{folder}/mlruns/mlflow.db"})
