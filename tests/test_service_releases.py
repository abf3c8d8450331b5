"""Releases: fetched to a shelf, checked, swapped, refused, kept."""

from __future__ import annotations

import json
import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from histories.clock import DAY
from histories.errors import Refused
from service.batch import champion
from service.metrics import Metrics
from service.present import _Coverage
from service.registry import bring_champion
from service.release import Release
from service.releases import Releases
from service.shelf import Shelf
from service.start import environment
from service.trial import trial
from tests.conftest import Trained
from tests.databases import copy_database
from tests.web import shelf_of, web_of


@pytest.fixture
def shelf(trained: Trained, tmp_path: Path) -> Shelf:
    return shelf_of(trained, tmp_path / "shelf")


def another(shelf: Shelf, name: str, of: str) -> str:
    """A copy of a release under another id, named by the registry."""
    shutil.copytree(shelf.path(of), shelf.path(name))
    card = json.loads((shelf.path(name) / "release.json").read_text())
    (shelf.path(name) / "release.json").write_text(json.dumps(card | {"release": name}))
    shelf.say(name)
    return name


def test_the_champion_is_brought_once(trained: Trained, tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    assert bring_champion(trained.settings, shelf) == trained.release
    made = (shelf.path(trained.release) / "release.json").stat().st_mtime_ns
    assert bring_champion(trained.settings, shelf) == trained.release
    assert (shelf.path(trained.release) / "release.json").stat().st_mtime_ns == made
    release = Release.load(shelf.path(trained.release))
    assert release.id == trained.release
    assert set(release.versions) == {"churn", "customer_value", "next_purchase", "segments"}
    assert release.grades


def test_a_new_champion_is_served_without_a_restart(trained: Trained, shelf: Shelf) -> None:
    with web_of(trained.settings, shelf) as web:
        assert web.post("/v1/churn", {"customer_id": "1"}).json()["release"] == trained.release
        another(shelf, "2026-01-02-abcdef", trained.release)
        web.backend.releases.look()
        assert web.post("/v1/churn", {"customer_id": "1"}).json()["release"] == "2026-01-02-abcdef"
        assert shelf.last_served() == "2026-01-02-abcdef"


def test_a_release_that_cannot_be_fed_is_refused_once(
    trained: Trained, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    with web_of(trained.settings, shelf) as web:
        bad = another(shelf, "2026-01-03-badbad", trained.release)
        encoder = shelf.path(bad) / "churn" / "attributes.json"
        encoder.write_text(json.dumps({"categories": {}}))
        web.backend.releases.look()
        told = web.get("/v1/models").json()
        assert told["release"] == trained.release
        assert told["last_refusal"]["release"] == bad
        assert "wants the feature attr_" in told["last_refusal"]["reason"]
        monkeypatch.setattr(Release, "load", lambda folder: pytest.fail("tried again"))
        web.backend.releases.look()
    monkeypatch.undo()
    with web_of(trained.settings, shelf) as restarted:
        told = restarted.get("/v1/models").json()
        assert (told["release"], told["last_refusal"]["release"]) == (trained.release, bad)


def test_what_is_said_of_a_newcomer_is_computed_once_a_day(trained: Trained, shelf: Shelf) -> None:
    release = Release.load(shelf.path(trained.release))
    morning = 20_000 * DAY
    said = release.newcomer(morning)
    assert release.newcomer(morning + DAY - 1) is said
    assert said[0] == pytest.approx(release.churn.fallback(morning + DAY // 2), abs=0.005)
    assert release.newcomer(morning + DAY) is not said


def test_a_worker_is_ready_once_all_lines_were_read(
    trained: Trained, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()
    scan = _Coverage._scan
    monkeypatch.setattr(_Coverage, "_scan", lambda coverage: go.wait(60) and scan(coverage))
    with web_of(trained.settings, shelf) as web:
        assert not web.backend.ready
        go.set()
        assert web.post("/v1/churn", {"customer_id": "1", "as_of": "2025-06-30"}).json()["data_as_of"] is not None
        assert web.backend.ready


def test_a_damaged_release_is_refused(trained: Trained, shelf: Shelf) -> None:
    (shelf.path(trained.release) / "segments" / "model.json").write_text("{")
    with pytest.raises(Refused, match="cannot be read"):
        Release.load(shelf.path(trained.release))


def test_a_release_that_fails_its_trial_is_refused(trained: Trained, shelf: Shelf) -> None:
    def attempt(release: Release) -> None:
        raise ZeroDivisionError

    releases = Releases(shelf, Metrics(), attempt)
    releases.look()
    assert releases.current is None
    assert releases.refusal is not None
    assert releases.refusal.reason == "it failed its trial: ZeroDivisionError"


def test_a_release_that_is_too_slow_is_refused(trained: Trained, shelf: Shelf) -> None:
    with closing(trained.shop.open()) as store:
        with pytest.raises(Refused, match=r"takes \d+ ms, more than the 0 ms allowed"):
            trial(store, budget=1e-9)(Release.load(shelf.path(trained.release)))
        trial(store, budget=60.0)(Release.load(shelf.path(trained.release)))


def test_a_release_that_is_slow_in_service_is_left_for_the_one_before(trained: Trained, shelf: Shelf) -> None:
    with web_of(trained.settings, shelf) as web:
        releases = web.backend.releases
        releases._budget = 1e-9
        bad = another(shelf, "2026-01-05-slowly", trained.release)
        releases.look()
        served = [web.post("/v1/segment", {"customer_id": f"c{n}"}).json()["release"] for n in range(120)]
        assert served == [bad] * 101 + [trained.release] * 19
        releases.look()
        told = web.get("/v1/models").json()
        assert (told["release"], told["last_refusal"]["release"]) == (trained.release, bad)
        assert "slow in service" in told["last_refusal"]["reason"]
    with web_of(trained.settings, shelf) as restarted:
        assert restarted.get("/v1/models").json()["release"] == trained.release


def test_a_release_that_is_quick_in_service_stays(trained: Trained, shelf: Shelf) -> None:
    with web_of(trained.settings, shelf) as web:
        releases = web.backend.releases
        good = another(shelf, "2026-01-06-quickly", trained.release)
        releases.look()
        for _ in range(200):
            assert releases.current is not None
            releases.took(releases.current, 0.001)
        assert releases._probation is None  # the one before is no longer held
        assert web.get("/v1/models").json()["release"] == good


def test_a_store_that_fails_during_a_trial_is_no_fault_of_the_release(trained: Trained, shelf: Shelf) -> None:
    def attempt(release: Release) -> None:
        raise sqlite3.OperationalError("database is locked")

    releases = Releases(shelf, Metrics(), attempt)
    releases.look()
    assert releases.current is None
    assert releases.refusal is None
    releases._attempt = lambda release: None
    releases.look()
    assert releases.current is not None


def test_the_last_good_release_serves_when_the_named_one_is_bad(trained: Trained, shelf: Shelf) -> None:
    shelf.served(trained.release)
    bad = another(shelf, "2026-01-03-badbad", trained.release)
    (shelf.path(bad) / "churn" / "model.json").unlink(missing_ok=True)
    shutil.rmtree(shelf.path(bad) / "segments")
    with web_of(trained.settings, shelf) as web:
        assert web.post("/v1/churn", {"customer_id": "1"}).json()["release"] == trained.release


def test_old_releases_are_dropped_but_those_in_use(trained: Trained, shelf: Shelf) -> None:
    shelf.served(trained.release)
    for day in range(1, 6):
        another(shelf, f"2026-02-0{day}-aaaaaa", trained.release)
    shelf.prune()
    kept = sorted(card.parent.name for card in shelf.folder.glob("*/release.json"))
    assert trained.release in kept
    assert "2026-02-05-aaaaaa" in kept
    assert len(kept) <= 4


def test_champions_of_two_releases_are_waited_for(trained: Trained, tmp_path: Path) -> None:
    shutil.copytree(trained.folder / "mlruns", tmp_path / "mlruns", ignore=shutil.ignore_patterns("mlflow.db*"))
    copy_database(trained.folder / "mlruns" / "mlflow.db", tmp_path / "mlruns")
    settings = trained.settings.model_copy(update={"tracking_uri": f"sqlite:///{tmp_path}/mlruns/mlflow.db"})
    from mlflow import MlflowClient

    client = MlflowClient(settings.tracking_uri, settings.tracking_uri)
    client.delete_registered_model_alias("churn", "champion")
    shelf = Shelf(tmp_path / "shelf")
    assert bring_champion(settings, shelf) is None
    assert shelf.said()["waiting"] == "the four champions are not of one release"


def test_batch_scores_with_the_champion(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Shelf, "of", classmethod(lambda cls, settings: cls(tmp_path)))
    with closing(trained.shop.open()) as store:
        assert champion(store, trained.settings).id == trained.release


def test_workers_read_the_same_settings(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    from histories.settings import Settings

    settings = trained.settings.model_copy(update={"clock": "data"})
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    read = Settings.model_validate({})
    assert (read.store, read.tracking_uri) == (settings.store, settings.tracking_uri)
    assert (read.clock, read.horizon_days, read.timezone) == ("data", 60, "UTC")
