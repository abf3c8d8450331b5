"""Runs and the registry: what a failure, a kill and a second training leave behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain, repeat
from pathlib import Path

import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from histories.errors import BadInput
from training.tracking import CHALLENGER, MODELS, Release, Run, Tracker

EXAMPLE = (pd.DataFrame({"purchases": [1.0]}), pd.DataFrame({"probability": [0.5]}))


@pytest.fixture
def tracker(tracking_uri: str) -> Tracker:
    return Tracker(tracking_uri)


def test_a_server_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.socket() as taken:  # bound, and never listening
        taken.bind(("127.0.0.1", 0))
        silent = Tracker(f"http://somebody:secret@127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(BadInput, match=r"the MLflow server at 127\.0\.0\.1 does not answer"):
            silent.newest()


@contextmanager
def server(unavailable: Iterator[bool]) -> Iterator[tuple[str, list[str]]]:
    """URL of an MLflow server that knows one experiment and is unavailable when told so; and what it was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            down = next(unavailable)
            body = json.dumps({"experiment": {"experiment_id": "7", "name": "regulars"}}).encode()
            self.send_response(503 if down else 200)
            self.send_header("Content-Length", "0" if down else str(len(body)))
            self.end_headers()
            self.wfile.write(b"" if down else body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}", asked
        listening.shutdown()


def test_only_the_first_call_is_impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is not there is named soon; one that is away for a while, in the middle of a run, is waited for."""
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_JITTER", "0")
    with server(repeat(True)) as (url, asked):
        with pytest.raises(BadInput, match="does not answer"):
            Tracker(url).experiment_id()
        assert len(asked) == 3
    with server(iter([False, *[True] * 6, False])) as (url, asked):
        tracker = Tracker(url)
        assert [tracker.experiment_id(), tracker.experiment_id()] == ["7", "7"]
        assert len(asked) == 8
    with server(chain([False], repeat(True))) as (url, _):
        tracker = Tracker(url)
        tracker.experiment_id()
        with pytest.raises(MlflowException):
            tracker.champion()  # a release must not be judged beside none because nobody could be asked
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    return model_folders(tmp_path)


def model_folders(root: Path) -> dict[str, Path]:
    made = {name: root / "saved" / name for name in MODELS}
    for name, folder in made.items():
        folder.mkdir(parents=True)
        (folder / "model.txt").write_text(name)
    return made


def register(run: Run, folders: dict[str, Path], number: int = 1) -> Release:
    return run.register(f"2026-01-01-{number:06x}", folders, dict.fromkeys(MODELS, EXAMPLE), {"data_digest": "d"})


def register_and_raise(tracker: Tracker, folders: dict[str, Path], problem: BaseException) -> None:
    with tracker.run("fails") as run:
        register(run, folders, 2)
        raise problem


def registry(tracker: Tracker) -> dict[str, tuple[list[str], dict[str, str]]]:
    """Versions and aliases per registered model."""
    return {
        model.name: (
            [found.version for found in tracker.client.search_model_versions(f"name = '{model.name}'")],
            {alias: str(version) for alias, version in model.aliases.items()},
        )
        for model in tracker.client.search_registered_models()
    }


def test_a_release_is_four_versions_of_one_run(tracker: Tracker, folders: dict[str, Path], tmp_path: Path) -> None:
    with tracker.run("a") as run:
        release = register(run, folders)
        assert tracker.release(release.id) is None  # not before the run is over
    found = tracker.release(release.id)
    assert found is not None
    assert found.versions == release.versions == dict.fromkeys(MODELS, "1")
    assert found.data_digest == "d"
    assert tracker.champion() is None
    version = tracker.client.get_model_version_by_alias("segments", CHALLENGER)
    assert (version.tags["release"], version.run_id) == (release.id, release.run_id)
    tracker.download_model(found, "churn", tmp_path / "again")
    assert (tmp_path / "again" / "model.txt").read_text() == "churn"


def test_newest_and_champion(tracker: Tracker, folders: dict[str, Path]) -> None:
    for number in (1, 2):
        with tracker.run("a") as run:
            register(run, folders, number)
    newest, first = tracker.newest(), tracker.release("2026-01-01-000001")
    assert newest is not None
    assert first is not None
    assert newest.id == "2026-01-01-000002"
    tracker.make_champion(first)
    champion = tracker.champion()
    assert champion is not None
    assert champion.id == first.id
    tracker.client.set_registered_model_alias("churn", "champion", newest.versions["churn"])
    assert tracker.champion() is None  # the four differ


def test_artifacts_lie_beside_the_database(tracker: Tracker, folders: dict[str, Path], tmp_path: Path) -> None:
    with tracker.run("a") as run:
        run.log_json("verdict.json", {"accepted": True})
        release = register(run, folders)
    assert tracker.read_json(release, "verdict.json") == {"accepted": True}
    assert list((tmp_path / "mlruns" / "artifacts").rglob("verdict.json"))
    assert len(list((tmp_path / "mlruns").rglob("data/*/model.txt"))) == 4
    assert not [file for file in (tmp_path / "mlruns").rglob("*") if file.suffix in (".pkl", ".joblib")]


def test_a_failed_run_leaves_the_registry_as_it_was(tracker: Tracker, folders: dict[str, Path]) -> None:
    before = registry(tracker)
    with pytest.raises(OSError, match="disk full"):
        register_and_raise(tracker, folders, OSError("disk full"))
    assert registry(tracker) == before == {}
    assert [run.info.status for run in tracker.client.search_runs([tracker.experiment_id()])] == ["FAILED"]
    with tracker.run("b") as run:
        register(run, folders)
    after = registry(tracker)
    with pytest.raises(KeyboardInterrupt):
        register_and_raise(tracker, folders, KeyboardInterrupt())
    assert registry(tracker) == after


def test_a_failure_between_the_four_registrations(
    tracker: Tracker, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with tracker.run("a") as run:
        register(run, folders)
    before, whole = registry(tracker), Run._new_version

    def third_fails(self: Run, name: str, *rest: object) -> str:
        if name == "next_purchase":
            raise OSError("connection lost")
        return whole(self, name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Run, "_new_version", third_fails)
    with pytest.raises(OSError, match="connection lost"), tracker.run("b") as run:
        register(run, folders, 2)
    assert registry(tracker) == before


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from tests.test_tracking import model_folders, register
    from training.tracking import Run, Tracker

    def killed(self, name, *rest):
        if name == "next_purchase":
            os.kill(os.getpid(), signal.SIGKILL)
        return whole(self, name, *rest)

    whole, Run._new_version = Run._new_version, killed
    with Tracker(sys.argv[1]).run("killed") as run:
        register(run, model_folders(Path(sys.argv[2])), 2)
"""


def test_a_kill_between_the_four_registrations(tracker: Tracker, folders: dict[str, Path], tmp_path: Path) -> None:
    with tracker.run("a") as run:
        first = register(run, folders)
    tracker.make_champion(first)
    before = registry(tracker)
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(KILLED), tracker.uri, str(tmp_path / "killed")],
        cwd=root, check=False, env=os.environ | {"PYTHONPATH": str(root)},
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL
    assert [getattr(release, "id", None) for release in (tracker.newest(), tracker.champion())] == [first.id] * 2
    tracker.sweep()  # as the next training does
    assert registry(tracker) == before
    statuses = {run.info.status for run in tracker.client.search_runs([tracker.experiment_id()])}
    assert statuses == {"FINISHED", "KILLED"}


def test_only_ids_reach_a_filter(tracker: Tracker) -> None:
    assert tracker.release("x' or tags.release != '") is None
