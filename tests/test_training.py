"""Training end to end on toy shops: what is registered, promoted, refused, and what a kill leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from histories.clock import local_day, parse_as_of, to_instant
from histories.errors import BadInput, Refused
from histories.settings import Settings
from histories.storage.store import Store
from models.mlflow_loader import _load_pyfunc
from tests.conftest import Shop, Trained, settings_of
from tests.databases import copy_database
from tests.shops import toy_history
from training import train as training
from training.backtest import hold_out, last_cut, until
from training.promote import promote
from training.retrain import retrain
from training.tracking import MODELS, Tracker
from training.verdict import Verdict

NOW = to_instant(datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
def own(trained: Trained, tmp_path: Path) -> Settings:
    """Settings of a copy of the registry that holds the trained release, for a test to write to."""
    (tmp_path / "mlruns").mkdir()
    copy_database(trained.folder / "mlruns" / "mlflow.db", tmp_path / "mlruns")
    return trained.settings.model_copy(update={"tracking_uri": f"sqlite:///{tmp_path}/mlruns/mlflow.db"})


def test_the_cut_is_the_end_of_a_local_day_a_horizon_before() -> None:
    history = toy_history([{"customer_id": "a", "occurred_at": "2011-12-09T12:00"}], zone="Europe/London")
    as_of = int(history.lines.occurred_at[0])
    assert last_cut(history, as_of, 90) == parse_as_of("2011-09-10", "Europe/London")  # across the end of summer time


def test_a_history_until_a_day_is_what_was_known_then() -> None:
    rows = [
        {"customer_id": "a", "occurred_at": "2020-01-01T10:00", "product_id": "x"},
        {"customer_id": "a", "occurred_at": "2020-01-02T10:00", "recorded_at": "2020-02-01T10:00"},
        {"customer_id": "a", "occurred_at": "2020-01-31T10:00", "product_id": "x"},
        {"customer_id": "a", "occurred_at": "2020-01-31T11:00", "product_id": "x", "quantity": -1},
        {"customer_id": "b", "occurred_at": "2020-03-01T10:00"},
    ]
    history = toy_history(rows)
    early = until(history, parse_as_of("2020-01-31T10:30", "UTC"))
    assert early.lines.offsets.tolist() == [0, 2, 2]
    assert (early.lines.voided_at > parse_as_of("2030-01-01", "UTC")).all()  # the void came half an hour later
    assert len(early.lines.occurred_at) == 2


def test_a_holdout_by_hand() -> None:
    days = ["2020-01-01", "2020-01-20", "2020-02-05", "2020-02-20"]
    rows = [{"customer_id": "a", "occurred_at": f"{day}T10:00", "product_id": f"p{day}"} for day in days]
    rows += [{"customer_id": "b", "occurred_at": "2020-02-10T10:00"}]  # nobody yet at the cut
    rows += [{"customer_id": "c", "occurred_at": "2020-01-15T10:00", "product_id": "q"}]
    history = toy_history(rows)
    held = hold_out(history, parse_as_of("2020-02-29", "UTC"), 30)
    assert local_day(held.cut, "UTC") == local_day(parse_as_of("2020-01-30", "UTC"), "UTC")
    assert list(held.history.customer_id) == ["a", "c"]
    assert held.truth.orders.tolist() == [2, 0]
    assert held.truth.days.tolist()[0] == 6
    assert np.isnan(held.truth.days[1])
    assert [[history.catalog.product_id[p] for p in basket] for basket in held.baskets] == [["p2020-02-05"], []]


def test_a_release_holds_all_that_a_service_needs(trained: Trained) -> None:
    tracker = Tracker(trained.settings.tracking_uri)
    champion = tracker.champion()
    assert champion is not None
    assert champion.id == trained.release
    for name in MODELS:
        version = tracker.client.get_model_version_by_alias(name, "champion")
        assert version.tags["release"] == trained.release
        folder = Path(mlflow.artifacts.download_artifacts(artifact_uri=version.source)) / "data" / name
        shop = json.loads((folder / "shop.json").read_text())
        assert (shop["model"], shop["release"], shop["zone"], shop["horizon_days"]) == (
            name,
            trained.release,
            "UTC",
            60,
        )
        assert (folder / "attributes.json").exists()
        assert not {file.suffix for file in folder.rglob("*")} & {".pkl", ".pickle", ".joblib"}


def test_a_run_holds_what_the_design_lists(trained: Trained) -> None:
    tracker = Tracker(trained.settings.tracking_uri)
    release = tracker.release(trained.release)
    assert release is not None
    run = tracker.client.get_run(release.run_id)
    assert {"horizon_days", "data_digest", "customers", "first_line", "last_line", "code", "zone"} <= set(
        run.data.params
    )
    assert {"churn/auc", "baseline/churn/auc/bg_nbd", "next_purchase/recall_at_10"} <= set(run.data.metrics)
    files = {file.path for file in tracker.client.list_artifacts(release.run_id)}
    assert {"features.json", "verdict.json", "scores.json", "segments.json", "table.txt", "plots", "judge"} <= files
    plots = {Path(file.path).stem for file in tracker.client.list_artifacts(release.run_id, "plots")}
    assert {"calibration", "gain", "value_by_decile", "importance_churn", "segments", "next_purchase"} <= plots


def test_the_models_are_worth_more_than_their_rules(trained: Trained) -> None:
    release = Tracker(trained.settings.tracking_uri).release(trained.release)
    assert release is not None
    verdict = Verdict.from_json(Tracker(trained.settings.tracking_uri).read_json(release, "verdict.json"))
    assert verdict.accepted
    assert "worse" not in verdict.grades.values(), (trained.folder / "table.txt").read_text()


def test_data_scientists_load_it_with_mlflow(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    Tracker(trained.settings.tracking_uri)
    churn = mlflow.pyfunc.load_model("models:/churn@champion")
    columns = churn.metadata.get_input_schema().input_names()
    rows = pd.DataFrame(np.ones((2, len(columns) - 1)), columns=columns[:-1])
    answer = churn.predict(rows.assign(as_of=pd.to_datetime(["2025-06-01", "2025-12-01"])))
    assert answer["probability"].between(0, 1).all()
    products = mlflow.pyfunc.load_model("models:/next_purchase@champion")
    lines = pd.DataFrame(
        [("a", pd.Timestamp("2025-12-01"), "p1", 1.0, 5.0)],
        columns=["customer_id", "occurred_at", "product_id", "quantity", "unit_price"],
    )
    found = products.predict(lines)
    assert list(found["rank"]) == list(range(1, len(found) + 1))


def test_a_missing_column_is_named(trained: Trained) -> None:
    release = Tracker(trained.settings.tracking_uri).release(trained.release)
    assert release is not None
    folder = Tracker(trained.settings.tracking_uri).download(release, "judge", trained.folder)
    with pytest.raises(ValueError, match="the column as_of is missing"):
        _load_pyfunc(str(folder / "churn")).predict(pd.DataFrame({"purchases": [1.0]}))


def test_training_again_changes_nothing_and_is_accepted(trained: Trained, toy_store: Store, own: Settings) -> None:
    assert str(retrain(toy_store, own)) == f"nothing new since release {trained.release}; it was champion already"
    again = training.train(toy_store, own)
    assert again.verdict.champion == trained.release
    assert again.verdict.accepted  # the same recipe on the same data: every difference is nought
    assert {each.gain for found in again.verdict.beside_champion.values() for each in found} == {0.0}
    assert promote(own).release == again.id
    tracker = Tracker(own.tracking_uri)
    assert [tracker.champion(), tracker.newest()] == [tracker.release(again.id)] * 2
    assert promote(own, trained.release).release == trained.release  # a champion of before may always return


def test_a_verdict_beside_another_champion_is_no_verdict(trained: Trained, own: Settings) -> None:
    tracker = Tracker(own.tracking_uri)
    release = tracker.release(trained.release)
    assert release is not None
    for number in (1, 2):
        with tracker.run("copy") as run:
            run.log_json("verdict.json", Verdict(f"copy-{number}", None, accepted=True).to_json())
            run.register(f"copy-{number}", _folders(tracker, release, trained.folder), _examples(), {})
    with pytest.raises(Refused, match=f"judged beside no champion, the champion is {trained.release} now"):
        promote(own, "copy-1")
    assert tracker.release("copy-1").tags["refused"].startswith("it was judged")  # type: ignore[union-attr]
    assert promote(own, "copy-1", force=True).release == "copy-1"
    with pytest.raises(BadInput, match="there is no release 2020-01-01-abcdef"):
        promote(own, "2020-01-01-abcdef")


def _folders(tracker: Tracker, release: object, scratch: Path) -> dict[str, Path]:
    folder = tracker.download(release, "judge", scratch)  # type: ignore[arg-type]
    return {name: folder / name for name in MODELS}


def _examples() -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
    return dict.fromkeys(MODELS, (pd.DataFrame({"a": [1.0]}), pd.DataFrame({"b": [1.0]})))


def shop_of(folder: Path, rows: list[dict[str, object]], **columns: list[object]) -> tuple[Store, Settings]:
    """A store of order lines; `columns` are attributes of the customers in sorted order."""
    store = Store.open(f"sqlite:///{folder}/shop.db", settings_of(folder))
    customers = None
    if columns:
        customers = pa.table({"customer_id": sorted({str(row["customer_id"]) for row in rows}), **columns})
    times = [pd.Timestamp(str(row["occurred_at"]), tz="UTC") for row in rows]
    orders = pa.Table.from_pylist(
        [{**row, "occurred_at": at, "recorded_at": at} for row, at in zip(rows, times, strict=True)]
    )
    store.add(orders, customers=customers, now=NOW)
    return store, settings_of(folder)


def once_each(customers: int) -> list[dict[str, object]]:
    first = np.datetime64("2025-01-01T10:00")
    return [
        {"customer_id": f"c{i:03}", "occurred_at": str(first + np.timedelta64(i % 300, "D")), "product_id": f"p{i % 3}",
         "quantity": 1.0, "unit_price": 5.0}
        for i in range(customers)
    ]  # fmt: skip


@pytest.mark.parametrize("customers", [1, 30])
def test_a_tiny_shop_gets_an_unjudged_release(customers: int, tmp_path: Path, tracking_uri: str) -> None:
    store, settings = shop_of(tmp_path, once_each(customers))
    settings = settings.model_copy(update={"tracking_uri": tracking_uri})
    with closing(store):
        made = training.train(store, settings)
        assert set(made.verdict.grades.values()) == {"unjudged"}
        assert "holdout customers, 50 needed" in made.table()
        assert promote(settings).accepted  # there is no champion yet
        training.train(store, settings)
        with pytest.raises(Refused, match="not judged"):
            promote(settings)


def test_an_empty_shop_is_bad_input(tmp_path: Path, tracking_uri: str) -> None:
    with closing(Store.open(f"sqlite:///{tmp_path}/shop.db", settings_of(tmp_path))) as store:
        settings = settings_of(tmp_path).model_copy(update={"tracking_uri": tracking_uri})
        with pytest.raises(BadInput, match="nobody has ordered yet"):
            training.train(store, settings)


def test_a_planted_attribute_is_refused_by_training(toy_shop: Shop, tmp_path: Path, tracking_uri: str) -> None:
    """An attribute written after the fact: whether the customer was back in the last horizon."""
    copy_database(toy_shop.store_url.removeprefix("sqlite:///"), tmp_path / "shop.db")
    settings = toy_shop.settings.model_copy(update={"tracking_uri": tracking_uri})
    with closing(Store.open(f"sqlite:///{tmp_path}/shop.db", settings)) as store:
        history, span = store.history(), store.span()
        assert span is not None
        lately = hold_out(history, span[1], settings.horizon_days)
        ids = [str(name) for name in lately.history.customer_id]
        came = ["yes" if orders else "no" for orders in lately.truth.orders]
        store.add(customers=pa.table({"customer_id": ids, "is_active": came}), now=NOW)
        with pytest.raises(Refused, match="attribute is_active tells the outcome"):
            training.train(store, settings)
        assert Tracker(tracking_uri).client.search_registered_models() == []


KILLED = """
    import os, signal, sys
    from histories.settings import Settings
    from histories.storage.store import Store
    from training.train import train

    def stop(stage, done, total):
        if stage == "plots":
            os.kill(os.getpid(), signal.SIGKILL)

    settings = Settings(store=sys.argv[1], timezone="UTC", horizon_days=60, MLFLOW_TRACKING_URI=sys.argv[2])
    train(Store.open(settings.store, settings), settings, progress=stop)
"""


@pytest.mark.prove
def test_a_killed_training_leaves_the_champion(trained: Trained, own: Settings) -> None:
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), trained.shop.store_url, own.tracking_uri],
        cwd=root, check=False, env=os.environ | {"PYTHONPATH": str(root)},
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL
    tracker = Tracker(own.tracking_uri)
    assert [tracker.champion(), tracker.newest()] == [tracker.release(trained.release)] * 2
    tracker.sweep()
    assert len(tracker.client.search_model_versions("name = 'churn'")) == 1
