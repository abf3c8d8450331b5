"""Past scores against what happened since, and drift: by hand, by chance, and on a shop."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import regulars
from histories.clock import parse_as_of
from histories.errors import BadInput
from histories.sample import drawn, hashes
from histories.settings import Settings
from histories.storage.store import Store
from service.batch import score
from service.shelf import Shelf
from tests.conftest import Trained
from tests.databases import copy_database
from tests.shops import toy_history
from training.drift import drifts, reference
from training.outcomes import judge_scores, outcomes
from training.past_scores import read, runs
from training.tracking import Tracker

PAST = "2025-10-15"  # the toy shop's data end 77 days later, its horizon is 60 days


def rows(**columns: object) -> pd.DataFrame:
    usual = {"release": "r", "as_of": pd.Timestamp("2024-03-01", tz="UTC"), "low": 0.0, "high": 10.0,
             "expected_orders": 1.0, "source": "model", "products_source": "model"}  # fmt: skip
    return pd.DataFrame(usual | columns)


def test_scores_are_judged_by_hand() -> None:
    history = toy_history(
        [
            {"customer_id": "a", "occurred_at": "2024-02-01", "product_id": "x"},
            {"customer_id": "a", "occurred_at": "2024-03-10", "product_id": "x", "unit_price": 8.0},
            {"customer_id": "a", "occurred_at": "2024-03-10", "product_id": "y", "unit_price": 4.0},
            {"customer_id": "b", "occurred_at": "2024-02-01", "product_id": "x"},
            {"customer_id": "c", "occurred_at": "2024-02-01", "product_id": "x"},
            {"customer_id": "c", "occurred_at": "2024-03-20", "product_id": "z", "unit_price": 3.0},
            {"customer_id": "c", "occurred_at": "2024-05-20", "product_id": "x"},  # after the horizon
        ]
    )
    table = rows(
        customer_id=["a", "b", "c", "gone", "d"],
        churn_probability=[0.2, 0.9, 0.4, 0.5, 0.5],
        expected_spend=[10.0, 2.0, 6.0, 1.0, 1.0],
        segment=["loyal", "lost", "loyal", "loyal", "loyal"],
        products=[["y", "w"], ["x"], ["x"], ["x"], ["x"]],
    )
    judged = judge_scores(history, table, "r", parse_as_of("2024-03-01", "UTC"), 30)
    assert (judged.customers, judged.left_out) == (3, 2)
    every, loyal = judged.by_segment["all"], judged.by_segment["loyal"]
    assert every["churn_forecast"] == pytest.approx(0.5)
    assert every["churn_observed"] == pytest.approx(1 / 3)
    assert every["auc"] == 1.0
    assert every["gain_at_10"] == 1.0  # the one lost customer is the most likely one
    assert every["spend_bias"] == pytest.approx(18 / 15 - 1)
    assert every["coverage_80"] == pytest.approx(2 / 3)  # 12 is above 10
    assert every["hit_rate"] == pytest.approx(1 / 2)  # y of a; c bought z
    assert (loyal["customers"], loyal["churn_observed"]) == (2, 0)


def test_psi_stays_below_its_noise_by_chance_and_rises_above_it_with_drift() -> None:
    random = np.random.default_rng(3)
    then = reference({"x": random.normal(size=2_000)})
    chance = [drifts(then, {"x": random.normal(size=1_000)})[0] for _ in range(200)]
    assert sum(each.psi > each.noise for each in chance) <= 2
    assert max(each.psi for each in chance) > 0.2 * chance[0].noise  # and the bound is not idle
    moved = drifts(then, {"x": random.normal(1.0, size=1_000), "unknown": np.ones(3)})
    assert [each.column for each in moved] == ["x"]
    assert moved[0].psi > max(0.25, moved[0].noise)


def test_psi_by_hand() -> None:
    then = {"x": {"edges": [1.0], "counts": [49.5, 49.5, 0.0]}}
    found = drifts(then, {"x": np.array([0.0] * 24 + [2.0] * 74)})[0]  # 24.5 and 74.5 of 99 with half a customer each
    assert found.psi == pytest.approx((74.5 - 24.5) / 99 / 2 * np.log(74.5 / 24.5), rel=1e-3)


@pytest.fixture
def own(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """A copy of shop and registry to write to, and a shelf of the test's own."""
    monkeypatch.setattr(Shelf, "of", classmethod(lambda cls, settings: cls(tmp_path / "shelf")))
    (tmp_path / "mlruns").mkdir()
    copy_database(trained.folder / "mlruns" / "mlflow.db", tmp_path / "mlruns")
    copy_database(trained.shop.store_url.removeprefix("sqlite:///"), tmp_path / "regulars.db")
    urls = {"store": f"sqlite:///{tmp_path}/regulars.db", "tracking_uri": f"sqlite:///{tmp_path}/mlruns/mlflow.db"}
    return trained.settings.model_copy(update={**urls, "clock": "data"})


def test_outcomes_of_a_shop(own: Settings, trained: Trained, tmp_path: Path) -> None:
    with closing(Store.open(own.store, own)) as store:
        score(store, own, f"{tmp_path}/scores/", as_of=PAST)
        score(store, own, tmp_path / "today.parquet", k=0)
        tracker = Tracker(own.tracking_uri)
        found = outcomes(store, tracker)
    (judged,) = found.judged
    assert (judged.release, judged.horizon_days) == (trained.release, 60)
    assert judged.customers > 300
    assert judged.by_segment["all"]["auc"] > 0.8
    assert 0 < judged.by_segment["all"]["hit_rate"] <= 1
    assert [line for line in found.waiting if "60 of 60 days are still to come" in line]
    scores = {each.column: each for each in found.drifts if each.column.startswith("score/")}
    assert scores["score/churn"].psi < 0.01  # trained on these very customers
    assert not any(each.column.startswith("as_of_") for each in found.drifts)


def test_the_command_says_it_draws_it_and_raises_the_alarm(
    own: Settings, trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", own.tracking_uri)
    with closing(Store.open(own.store, own)) as store:
        score(store, own, tmp_path / "made.parquet", as_of=PAST, k=0)
        (judged,) = outcomes(store, Tracker(own.tracking_uri), [f"{tmp_path}/made.parquet"]).judged
    found = judged.by_segment["all"]  # whatever the models of the day say, the scores are made right, or wrong in spend
    table, too_high = pq.read_table(tmp_path / "made.parquet"), 1 + found["spend_bias"]
    level = found["churn_observed"] / found["churn_forecast"]
    churn = pa.array(np.minimum(table["churn_probability"].to_numpy() * level, 1.0))
    table = table.set_column(3, "churn_probability", churn)
    for name, factor in {"scores": 1 / too_high, "wrong": 3 / too_high}.items():
        spend = pa.array(table["expected_spend"].to_numpy() * factor)
        pq.write_table(table.set_column(4, "expected_spend", spend), tmp_path / f"{name}.parquet")
    arguments = ["outcomes", "--store", own.store, "--plots", f"{tmp_path}/plots", "--scores"]
    for _ in range(2):
        assert regulars.run([*arguments, f"{tmp_path}/scores.parquet"]) == regulars.DONE
    assert f"release {trained.release}, scores of 2025-10-15" in capsys.readouterr().out
    assert regulars.run([*arguments, f"{tmp_path}/wrong.parquet"]) == regulars.REFUSED
    assert "spend was forecast +" in capsys.readouterr().err
    drawn = {file.stem.split("-")[-1] for file in (tmp_path / "plots").iterdir()}
    assert drawn == {"calibration", "gain", "value_by_decile", "segments", "drift"}
    tracker = Tracker(own.tracking_uri)
    release = tracker.release(trained.release)
    assert release is not None
    logged = tracker.client.get_metric_history(release.run_id, "outcomes/all/spend_bias")
    assert len(logged) == 2  # of the two files; the first was not logged again
    assert {file.path for file in tracker.client.list_artifacts(release.run_id, "outcomes")} == {"outcomes/2025-10-15"}


def test_a_run_is_read_by_itself_wherever_its_rows_lie(tmp_path: Path) -> None:
    """Two nights in a folder and one of them again in a file; of two rows of a customer one counts."""
    usual = dict.fromkeys(("low", "high", "expected_orders", "churn_probability", "expected_spend"), 0.5)
    usual |= {"segment": "lost", "source": "model", "products_source": "model", "release": "r", "products": ["x"]}
    for day, ids in {1: ["a", "b", "c"], 2: ["b"]}.items():
        at = {"as_of": datetime(2024, 3, day, tzinfo=UTC)}
        table = pa.Table.from_pylist([usual | at | {"customer_id": name} for name in ids])
        (tmp_path / f"scores/day={day}").mkdir(parents=True)
        pq.write_table(table, tmp_path / f"scores/day={day}/part.parquet")
    (tmp_path / "scores/_parts").mkdir()
    pq.write_table(table, tmp_path / "again.parquet")
    places = [f"{tmp_path}/scores", f"{tmp_path}/again.parquet"]
    found = runs(places)
    assert [(run.as_of.day, held) for run, held in found.items()] == [(1, places[:1]), (2, places)]
    first, second = found
    assert read(found[first], first)["customer_id"].tolist() == ["a", "b", "c"]
    assert read(found[second], second)["customer_id"].tolist() == ["b"]
    assert [list(each) for each in read(found[second], second)["products"]] == [["x"]]
    kept = drawn(hashes(["a", "b", "c"]), 0.5, 2).tolist()
    some = read(found[first], first, 0.5, 2)["customer_id"].tolist()
    assert some == [name for name, keep in zip("abc", kept, strict=True) if keep]
    (tmp_path / "empty").mkdir()
    assert runs([f"{tmp_path}/empty"]) == {}


def test_what_are_no_scores_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"none.parquet cannot be read"):
        runs([f"{tmp_path}/none.parquet"])
    pq.write_table(pa.table({"customer_id": ["a"]}), tmp_path / "orders.parquet")
    with pytest.raises(BadInput, match="the column release is missing"):
        runs([f"{tmp_path}/orders.parquet"])
    (tmp_path / "notes.json").write_text(json.dumps({}))
    with pytest.raises(BadInput):
        runs([f"{tmp_path}/notes.json"])
