"""Batch scoring: the same answers as over HTTP, whole or not at all."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from histories.clock import parse_as_of
from histories.errors import BadInput, Refused
from histories.settings import Settings
from histories.storage.store import Store
from service import scorer
from service.batch import score
from service.shelf import Shelf
from tests.conftest import Trained
from tests.postgres import create_database
from tests.web import shelf_of, web_of
from training import past_scores

AS_OF = "2025-11-15"


@pytest.fixture(scope="module")
def settings(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings whose shelf is a folder of this module's."""
    folder = tmp_path_factory.mktemp("batch")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Shelf, "of", classmethod(lambda cls, settings: cls(folder)))
        yield trained.settings.model_copy(update={"clock": "data"})


@pytest.fixture(scope="module")
def store(settings: Settings) -> Iterator[Store]:
    with closing(Store.open(settings.store, settings)) as opened:
        yield opened


def rows_of(path: Path) -> list[dict[str, Any]]:
    return list(pq.read_table(path).to_pylist())


@pytest.mark.parametrize("as_of", [None, AS_OF])
def test_every_row_equals_the_online_answer(
    trained: Trained, settings: Settings, store: Store, tmp_path: Path, as_of: str | None
) -> None:
    done = score(store, settings, tmp_path / "scores.parquet", as_of=as_of, k=5)
    rows = rows_of(tmp_path / "scores.parquet")
    assert [row["customer_id"] for row in rows] == store.customer_ids()
    assert done.rows == len(rows)
    with web_of(settings, shelf_of(trained, tmp_path / "shelf")) as web:
        for row in rows[::25]:
            asked = {"customer_id": row["customer_id"], "k": 5} | ({"as_of": as_of} if as_of else {})
            online = web.post("/v1/predict", asked).json()
            assert row["release"] == online["release"] == done.release
            assert f"{row['as_of']:%Y-%m-%dT%H:%M:%SZ}" == online["as_of"]
            assert row["churn_probability"] == online["churn"]["probability"]
            for name in ("expected_spend", "median_spend", "low", "high", "expected_orders", "percentile"):
                assert row[name] == online["customer_value"][name]
            assert row["segment"] == online["segment"]["name"]
            assert row["expected_at"] == online["next_purchase"]["expected_at"]
            products = online["next_purchase"]["products"]
            assert row["products"] == [product["product_id"] for product in products]
            assert row["product_scores"] == [product["score"] for product in products]
            assert (row["source"], row["fallback"]) == (online["churn"]["source"], online["churn"]["fallback"])


def test_csv_holds_the_same(settings: Settings, store: Store, tmp_path: Path) -> None:
    score(store, settings, tmp_path / "a.parquet", as_of=AS_OF)
    score(store, settings, tmp_path / "a.csv", as_of=AS_OF)
    table = pyarrow.csv.read_csv(tmp_path / "a.csv")
    rows = rows_of(tmp_path / "a.parquet")
    assert table["churn_probability"].to_pylist() == [row["churn_probability"] for row in rows]
    assert table["products"].to_pylist() == [";".join(row["products"]) for row in rows]


def test_since_scores_those_with_news_and_reads_nobody_else(
    settings: Settings, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    since = "2025-12-20"
    expected = [name for name, at in newest_of(store).items() if at >= parse_as_of(since, store.zone)]
    score(store, settings, tmp_path / "all.parquet", k=2)
    every = rows_of(tmp_path / "all.parquet")
    monkeypatch.setattr(scorer, "CHUNK", 7)  # several parts
    monkeypatch.setattr(store, "between", lambda *_: pytest.fail("customers without news were read"))
    done = score(store, settings, tmp_path / "new.parquet", since=since, k=2, workers=1)
    assert 7 < done.rows == len(expected) < len(every)
    assert rows_of(tmp_path / "new.parquet") == [row for row in every if row["customer_id"] in expected]
    assert score(store, settings, tmp_path / "none.parquet", since="2030-01-01").rows == 0
    assert rows_of(tmp_path / "none.parquet") == []


def newest_of(store: Store) -> dict[str, int]:
    """When something was last recorded of each customer."""
    history = store.history()
    newest = np.full(len(history), -1, dtype=np.int64)
    for table in (history.lines, history.events):
        np.maximum.at(newest, np.repeat(np.arange(len(history)), np.diff(table.offsets)), table.recorded_at)
    return dict(zip(history.customer_id.tolist(), newest.tolist(), strict=True))


def test_products_can_be_left_out(settings: Settings, store: Store, tmp_path: Path) -> None:
    score(store, settings, tmp_path / "all.parquet", as_of=AS_OF)
    score(store, settings, tmp_path / "few.parquet", as_of=AS_OF, k=0)
    every, few = (pq.read_table(tmp_path / f"{name}.parquet") for name in ("all", "few"))
    left_out = ["products", "product_scores", "products_source"]
    assert few.drop_columns(left_out) == every.drop_columns(left_out)
    assert all(few[name].null_count == len(few) for name in left_out)


def test_a_folder_takes_a_partition_per_day(settings: Settings, store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "scores"
    for _ in range(2):  # again changes nothing
        done = score(store, settings, f"{folder}/", as_of=AS_OF, k=2)
        score(store, settings, folder, as_of="2025-12-01", k=2)
        assert [part.name for part in sorted(folder.iterdir())] == [f"day={AS_OF}", "day=2025-12-01"]
        day = pyarrow.dataset.dataset(folder, partitioning="hive").to_table(filter=pc.field("day") == AS_OF)
        assert day["customer_id"].to_pylist() == store.customer_ids()
        assert json.loads((folder / f"day={AS_OF}" / "_manifest.json").read_text())["digest"] == done.digest


def test_a_table_is_replaced_at_once(settings: Settings, store: Store, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/marketing.db"
    for _ in range(2):
        score(store, settings, url, as_of=AS_OF, k=2, table="regulars_scores")
    scored = score(store, settings, tmp_path / "scores.parquet", as_of=AS_OF, k=2)
    changed = score(store, settings, url, since="2025-12-20", k=2, table="regulars_scores")
    with closing(sqlite3.connect(tmp_path / "marketing.db")) as marketing:
        rows = marketing.execute(
            "SELECT as_of, count(*), min(length(products)) FROM regulars_scores GROUP BY 1"
        ).fetchall()
        about = marketing.execute("SELECT manifest FROM regulars_scores_manifest").fetchall()
    assert {as_of[:10]: count for as_of, count, _ in rows} == {
        AS_OF: scored.rows - changed.rows,
        changed.as_of[:10]: changed.rows,
    }
    assert [json.loads(text)["digest"] for (text,) in about] == [changed.digest]
    place = f"{url}#regulars_scores"
    sizes = {
        run.as_of.isoformat()[:10]: len(past_scores.read(held, run)) for run, held in past_scores.runs([place]).items()
    }
    assert sizes == {as_of[:10]: count for as_of, count, _ in rows}


def test_a_table_that_an_earlier_version_made_gets_the_columns_it_lacks(
    settings: Settings, store: Store, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/marketing.db"
    with closing(sqlite3.connect(tmp_path / "marketing.db")) as marketing:
        marketing.execute("CREATE TABLE scores (customer_id TEXT PRIMARY KEY, churn_probability DOUBLE)")
        marketing.execute("INSERT INTO scores VALUES ('somebody of then', 0.5)")
        marketing.commit()
    done = score(store, settings, url, as_of=AS_OF, k=0)
    with closing(sqlite3.connect(tmp_path / "marketing.db")) as marketing:
        ((rows, ranked),) = marketing.execute("SELECT count(*), count(percentile) FROM scores").fetchall()
    assert rows == done.rows
    assert 0 < ranked <= rows


@pytest.mark.prove
def test_a_table_of_postgresql_takes_them_and_outcomes_read_them(
    settings: Settings, store: Store, postgres_server: str, tmp_path: Path
) -> None:
    url = create_database(postgres_server, "marketing")
    for _ in range(2):
        score(store, settings, url, as_of=AS_OF, k=2)
    done = score(store, settings, tmp_path / "scores.csv", as_of=AS_OF, k=2)
    places = [f"{url.replace('postgresql', 'postgresql+psycopg')}#scores", f"{tmp_path}/scores.csv"]
    ((run, held),) = past_scores.runs(places).items()
    assert (run.release, f"{run.as_of:%Y-%m-%d}", held) == (done.release, AS_OF, places)
    from_table, from_csv = (past_scores.read([place], run) for place in places)
    one, other = (
        frame.sort_values("customer_id").astype(object).where(frame.sort_values("customer_id").notna(), None)
        for frame in (from_table, from_csv)
    )
    for name in past_scores.COLUMNS:
        assert one[name].tolist() == other[name].tolist(), name


def test_the_manifest_says_what_was_done(settings: Settings, store: Store, tmp_path: Path) -> None:
    done = score(store, settings, tmp_path / "a.csv", as_of=AS_OF, k=3)
    said = json.loads((tmp_path / "a.csv.manifest.json").read_text())
    assert said == json.loads(json.dumps(asdict(done)))
    assert (said["rows"], said["as_of"][:10], said["k"]) == (len(store.customer_ids()), AS_OF, 3)
    assert score(store, settings, tmp_path / "b.parquet", as_of=AS_OF, k=3).digest == done.digest


def stop_after(parts: int) -> Callable[[int, int], None]:
    def progress(scored: int, customers: int) -> None:
        if scored >= parts * 100:
            raise KeyboardInterrupt

    return progress


def test_an_interrupted_run_goes_on_to_the_same_bytes(
    settings: Settings, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scorer, "CHUNK", 100)
    out, whole, said = tmp_path / "scores.parquet", tmp_path / "whole.parquet", list[str]()
    out.write_text("as before")
    score(store, settings, whole, k=3, workers=1)
    with pytest.raises(KeyboardInterrupt):
        score(store, settings, out, k=3, workers=1, progress=stop_after(3))
    assert out.read_text() == "as before"
    score(store, settings, out, k=3, workers=1, say=said.append)
    assert said == ["going on with an interrupted run: 3 parts are there"]
    assert out.read_bytes() == whole.read_bytes()
    left = sorted(file.name for file in tmp_path.iterdir())
    assert left == [f"{name}.parquet{more}" for name in ("scores", "whole") for more in ("", ".manifest.json")]


def test_an_interrupted_run_of_another_question_starts_anew(
    settings: Settings, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scorer, "CHUNK", 100)
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        score(store, settings, tmp_path / "a.csv", k=3, workers=1, progress=stop_after(3))
    monkeypatch.setattr(store, "version", lambda: 10**6)
    score(store, settings, tmp_path / "a.csv", k=0, workers=1, say=said.append, progress=lambda *_: None)
    assert len(said) == 1
    assert "starting anew" in said[0]


def test_two_runs_into_one_output_exclude_each_other(settings: Settings, store: Store, tmp_path: Path) -> None:
    def again(scored: int, customers: int) -> None:
        with pytest.raises(Refused, match=r"score into .*a.csv, process \d+ on"):
            score(store, settings, tmp_path / "a.csv")
        score(store, settings, tmp_path / "b.csv", k=0)

    score(store, settings, tmp_path / "a.csv", k=0, progress=again)
    assert sorted(file.name for file in tmp_path.glob("*.csv")) == ["a.csv", "b.csv"]


@pytest.mark.parametrize(
    ("out", "options", "message"),
    [
        ("scores.xlsx", {}, "must end in .parquet or .csv"),
        ("nowhere/scores/", {}, "no such folder"),
        ("nowhere/scores.csv", {}, "no such folder"),
        ("scores.csv", {"as_of": "soon"}, "as_of must be a date"),
        ("scores.csv", {"since": "soon"}, "since must be a date"),
    ],
)
def test_what_cannot_be_done_is_said(
    settings: Settings, store: Store, tmp_path: Path, out: str, options: dict[str, str], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        score(store, settings, f"{tmp_path}/{out}", **options)


def test_without_a_release_it_says_what_to_do(settings: Settings, store: Store, tmp_path: Path) -> None:
    nowhere = settings.model_copy(update={"tracking_uri": f"sqlite:///{tmp_path}/none.db"})
    with pytest.raises(BadInput, match="train and promote first"):
        score(store, nowhere, tmp_path / "scores.csv")
    assert not (tmp_path / "none.db").exists()
