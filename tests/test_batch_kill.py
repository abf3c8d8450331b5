"""Batch scoring killed for real: the workers go with it, the lock is free, and the next run makes the same bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from histories.storage.store import Store
from service import scorer
from service.batch import score
from service.shelf import Shelf
from tests.conftest import Trained

KILLED = '''
import multiprocessing, os, signal, sys
from pathlib import Path
from histories.settings import Settings
from histories.storage.store import Store
from service import scorer
from service.batch import score
from service.shelf import Shelf

def die(scored, customers):
    """As soon as four parts are there."""
    if scored >= 200:
        Path("workers").write_text(" ".join(str(each.pid) for each in multiprocessing.active_children()))
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    scorer.CHUNK = 50
    Shelf.of = classmethod(lambda cls, settings: cls(Path("shelf").absolute()))
    settings = Settings.model_validate_json(sys.argv[1])
    score(Store.open(settings.store, settings), settings, "scores.parquet", workers=2, progress=die)
'''


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split(") ")[1][:1]


@pytest.mark.prove
def test_a_killed_run_leaves_nothing_behind_and_goes_on(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = trained.settings.model_copy(update={"clock": "data"})
    (tmp_path / "killed.py").write_text(KILLED)
    here = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "killed.py", settings.model_dump_json(exclude={"erasure_key"})]
    killed = subprocess.run(command, cwd=tmp_path, env=here, check=False, timeout=100)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "scores.parquet").exists()
    workers, until = [int(pid) for pid in (tmp_path / "workers").read_text().split()], time.monotonic() + 20
    assert len(workers) == 2
    while any(alive(pid) for pid in workers):
        assert time.monotonic() < until, "the workers outlived the run"
        time.sleep(0.1)

    monkeypatch.setattr(scorer, "CHUNK", 50)
    monkeypatch.setattr(Shelf, "of", classmethod(lambda cls, settings: cls(tmp_path / "shelf")))
    said: list[str] = []
    with closing(Store.open(settings.store, settings)) as store:
        score(store, settings, tmp_path / "scores.parquet", workers=1, say=said.append)
        score(store, settings, tmp_path / "whole.parquet", workers=2)
    assert len(said) == 1
    assert said[0].startswith("going on with an interrupted run:")
    assert (tmp_path / "scores.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
