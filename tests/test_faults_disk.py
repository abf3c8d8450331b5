"""A disk that is full, and a Bento that is built here and served elsewhere: both need more than a folder."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from histories.storage.store import Store
from service.start import environment
from tests.conftest import Trained
from tests.servers import Server, running, served
from tests.test_faults import PATIENT, lines, some_customers, until
from tests.web import own_copy

pytestmark = pytest.mark.prove
ROOT = Path(__file__).parents[1]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 40 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"this machine does not let a file system be mounted: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_refuses_writes_and_loses_nothing(trained: Trained, small_disk: Path, tmp_path: Path) -> None:
    settings = own_copy(trained, small_disk).model_copy(update=PATIENT)
    (customer,) = some_customers(settings, 1)
    with served(settings, tmp_path) as server:
        before = _post(server, 0)
        assert before.json()["accepted"] == 1000
        ballast = small_disk / "ballast"
        _fill(ballast)
        accepted, number = 1000, 1000
        while (answer := _post(server, number)).status_code == 200:
            accepted, number = accepted + answer.json()["accepted"], number + 1000
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        assert answer.json()["error"]["code"] == "unavailable"
        asked = httpx.post(f"{server.url}/v1/predict", json={"customer_id": customer}, timeout=30)
        assert asked.status_code == 200
        assert asked.json()["churn"]["probability"] is not None
        ballast.unlink()
        until(lambda: _post(server, number).status_code == 200)
    with closing(Store.open(settings.store, settings)) as store, store.snapshot() as connection:
        kept = connection.exec_driver_sql("SELECT COUNT(*) FROM lines WHERE line_id > 0").scalar_one()
        given = connection.exec_driver_sql("PRAGMA integrity_check").scalar_one()
    assert kept >= accepted + 1000
    assert given == "ok"


def _post(server: Server, begin: int) -> httpx.Response:
    return httpx.post(f"{server.url}/v1/events", json={"orders": lines(begin, 1000)}, timeout=60)


def _fill(file: Path) -> None:
    with file.open("wb", buffering=0) as ballast:  # or what is left in the buffer fails once more, on closing
        try:
            while True:
                ballast.write(bytes(1 << 16))
        except OSError:
            pass


def test_a_built_bento_serves_from_another_folder(trained: Trained, tmp_path: Path) -> None:
    """Without the source tree; the store and the registry are named by the environment."""
    if not importlib.util.find_spec("pip"):
        pytest.skip("bentoml build needs pip in this environment, as make has it")
    home = tmp_path / "bentoml"
    bentoml = str(Path(sys.executable).with_name("bentoml"))
    quiet = os.environ | {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True"}
    built = subprocess.run(
        [bentoml, "build", "--output", "tag", "--bentofile", "bentofile.yaml", str(ROOT)],
        cwd=ROOT, env=quiet, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr[-3000:]
    tag = built.stdout.strip().splitlines()[-1].removeprefix("__tag__:")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (customer,) = some_customers(trained.settings, 1)
    settings = own_copy(trained, elsewhere).model_copy(update=PATIENT)
    with running(
        [bentoml, "serve", tag, "--host", "127.0.0.1", "--port", "{port}"], elsewhere, quiet | environment(settings)
    ) as server:
        answer = httpx.post(f"{server.url}/v1/predict", json={"customer_id": customer}, timeout=30).json()
        assert answer["release"] == trained.release
        assert answer["churn"]["source"] == "model"
        native = httpx.post(f"{server.url}/predict", json={"customer_id": customer}, timeout=30)
        assert native.json()["churn"] == answer["churn"]
