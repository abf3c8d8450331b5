"""Batch scoring: the same answers as over HTTP, whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from histories.errors import BadInput
from histories.settings import Settings
from histories.store import Store
from service.batch import score
from service.shelf import Shelf
from tests.conftest import Trained
from tests.web import shelf_of, web_of

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
    assert done.customers == len(rows)
    with web_of(settings, shelf_of(trained, tmp_path / "shelf")) as web:
        for row in rows[::25]:
            asked = {"customer_id": row["customer_id"], "k": 5} | ({"as_of": as_of} if as_of else {})
            online = web.post("/v1/predict", asked).json()
            assert row["release"] == online["release"] == done.release
            assert f"{row['as_of']:%Y-%m-%dT%H:%M:%SZ}" == online["as_of"]
            assert row["churn_probability"] == online["churn"]["probability"]
            for name in ("expected_spend", "median_spend", "low", "high", "expected_orders"):
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


def test_since_scores_those_with_news(settings: Settings, store: Store, tmp_path: Path) -> None:
    done = score(store, settings, tmp_path / "new.parquet", since="2025-12-20")
    assert 0 < done.customers < len(store.customer_ids())
    assert score(store, settings, tmp_path / "none.parquet", since="2030-01-01").customers == 0
    assert rows_of(tmp_path / "none.parquet") == []


def test_a_failure_leaves_what_was_there(settings: Settings, store: Store, tmp_path: Path) -> None:
    out = tmp_path / "scores.csv"
    out.write_text("as before")

    def interrupt(scored: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        score(store, settings, out, progress=interrupt)
    assert out.read_text() == "as before"
    assert [file.name for file in tmp_path.iterdir()] == ["scores.csv"]


@pytest.mark.parametrize(
    ("out", "options", "message"),
    [
        ("scores.xlsx", {}, "must end in .parquet or .csv"),
        ("nowhere/scores.csv", {}, "no such folder"),
        ("scores.csv", {"as_of": "soon"}, "as_of must be a date"),
        ("scores.csv", {"since": "soon"}, "since must be a date"),
    ],
)
def test_what_cannot_be_done_is_said(
    settings: Settings, store: Store, tmp_path: Path, out: str, options: dict[str, str], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        score(store, settings, tmp_path / out, **options)


def test_without_a_release_it_says_what_to_do(settings: Settings, store: Store, tmp_path: Path) -> None:
    nowhere = settings.model_copy(update={"tracking_uri": f"sqlite:///{tmp_path}/none.db"})
    with pytest.raises(BadInput, match="train and promote first"):
        score(store, nowhere, tmp_path / "scores.csv")
    assert not (tmp_path / "none.db").exists()
