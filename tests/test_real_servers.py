"""The whole way through real servers: PostgreSQL for histories and for MLflow, MLflow over HTTP."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest

from histories.settings import Settings
from service.shelf import Shelf
from tests.postgres import create_database, free_port

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
SECONDS = 300  # that a server may take to answer: patience for a busy machine

pytestmark = pytest.mark.prove


@dataclass(frozen=True)
class Servers:
    folder: Path
    environment: Mapping[str, str]
    mlflow: str  # URL

    def regulars(self, *arguments: str) -> str:
        """What a command says; it must succeed."""
        command = [str(BIN / "regulars"), *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=dict(self.environment), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (arguments, done.stderr[-3000:])
        return done.stdout


@pytest.fixture(scope="module")
def servers(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """A store and an MLflow on PostgreSQL, empty; no file of the client's own holds anything."""
    folder = tmp_path_factory.mktemp("real")
    store, runs = (create_database(postgres_server, name) for name in ("histories", "mlflow"))
    (folder / "server").mkdir()
    with mlflow_server(runs, folder / "server") as url:
        own = {name: value for name, value in os.environ.items() if not name.startswith(("REGULARS_", "MLFLOW_"))}
        environment = own | {
            "REGULARS_STORE": store,
            "REGULARS_HORIZON_DAYS": "60",
            "MLFLOW_TRACKING_URI": url,
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        yield Servers(folder, environment, url)
        shutil.rmtree(Shelf.of(Settings(store=store, MLFLOW_TRACKING_URI=url)).folder, ignore_errors=True)


@contextmanager
def mlflow_server(database: str, folder: Path) -> Iterator[str]:
    """MLflow's server on PostgreSQL, which takes the artifacts over HTTP into a root of its own."""
    port = free_port()
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", database.replace("postgresql://", "postgresql+psycopg://")),
        *("--artifacts-destination", str(folder / "artifacts")),
    ]
    with running(command, folder, os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}) as process:
        wait_for(process, f"http://127.0.0.1:{port}/health", folder)
        yield f"http://127.0.0.1:{port}"


@contextmanager
def running(command: list[str], folder: Path, environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=dict(environment), stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(process: subprocess.Popen[bytes], url: str, folder: Path) -> None:
    until = time.monotonic() + SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            if httpx.get(url, timeout=5).is_success:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise AssertionError(
        f"{url} (exit code {process.poll()}) does not answer: {(folder / 'server.log').read_text()[-3000:]}"
    )


def test_the_whole_way(servers: Servers) -> None:
    """import, train, promote, score, serve: in the order of a first night, each a process of its own."""
    files = [f"--{name}=shop/{name}.parquet" for name in ("orders", "events", "customers", "products")]
    servers.regulars("simulate", "--customers", "400", "--seed", "3", "--out", "shop", "--until", "2025-12-31")
    assert "rows new to the store, 0 already there" in servers.regulars("import", *files)
    assert "is registered as challenger" in servers.regulars("train")
    promoted = servers.regulars("promote")
    servers.regulars("score", "--out", "scores.parquet", "--as-of", "2025-12-31")
    scores = pq.read_table(servers.folder / "scores.parquet").to_pylist()
    (release,) = {row["release"] for row in scores}
    assert f"release {release} is champion" in promoted
    assert release in registered(servers.mlflow)
    assert not [path.name for path in servers.folder.iterdir() if path.name in ("mlruns", "data")]
    serves_the_same(servers, scores)


def registered(mlflow: str) -> str:
    """The release that MLflow's own HTTP interface names as champion of churn."""
    asked = {"name": "churn", "alias": "champion"}
    answer = httpx.get(f"{mlflow}/api/2.0/mlflow/registered-models/alias", params=asked, timeout=20)
    return str(answer.json()["model_version"]["tags"])


def serves_the_same(servers: Servers, scores: list[dict[str, Any]]) -> None:
    """Online as in batch, and what is posted is in the database for the next prediction."""
    port = free_port()
    command = [str(BIN / "regulars"), "serve", "--port", str(port), "--workers", "2"]
    url = f"http://127.0.0.1:{port}"
    with (
        running(command, servers.folder, servers.environment) as process,
        httpx.Client(base_url=url, timeout=30) as web,
    ):
        wait_for(process, f"{url}/readyz", servers.folder)
        for row in scores[::40]:
            asked = {"customer_id": row["customer_id"], "as_of": "2025-12-31"}
            answer = web.post("/v1/predict", json=asked).json()
            assert answer["release"] == row["release"]
            assert answer["churn"]["probability"] == pytest.approx(row["churn_probability"], rel=1e-9)
            assert answer["customer_value"]["expected_spend"] == pytest.approx(row["expected_spend"], rel=1e-9)
        line = {"customer_id": "came-today", "occurred_at": "2025-12-31T12:00:00Z", "quantity": 1, "unit_price": 9.5}
        assert web.post("/v1/events", json={"orders": [line]}).json()["accepted"] == 1
        for _ in range(4):  # whichever worker answers
            answer = web.post("/v1/churn", json={"customer_id": "came-today"}).json()
            assert answer["churn"]["source"] == "model"
