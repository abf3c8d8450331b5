"""A PostgreSQL server that stands still, or a table that somebody locks, under load: nobody waits for it."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pyarrow.parquet as pq
import pytest

from histories.clock import to_text
from histories.settings import Settings
from histories.storage.store import Store
from service.clock import wall
from service.shelf import Shelf
from tests.conftest import Trained
from tests.load import Answer, load, questions
from tests.postgres import create_database, stopped
from tests.servers import Server, served
from tests.test_faults import lines, lines_kept, some_customers, until

pytestmark = pytest.mark.prove
DEADLINE = 1.0  # seconds; half of them may be spent waiting for the store
SLACK = 1.0  # for a busy machine
STALL = 4.0


@pytest.fixture(scope="module")
def database(postgres_server: str, trained: Trained) -> str:
    """URL of a PostgreSQL store with the toy shop."""
    url = create_database(postgres_server, "stalling")
    folder = Path(trained.shop.store_url.removeprefix("sqlite:///")).parent
    tables = {name: pq.read_table(folder / f"{name}.parquet") for name in ("orders", "events", "customers", "products")}
    with closing(Store.open(url, trained.settings)) as store:
        store.add(tables["orders"], tables["events"], tables["customers"], tables["products"], now=wall())
    return url


@pytest.fixture
def served_from(database: str, trained: Trained, tmp_path: Path) -> Iterator[tuple[Server, Settings]]:
    quick = {"deadline_ms": DEADLINE * 1000, "answer_budget_ms": 10_000.0}
    settings = trained.settings.model_copy(update={"store": database, **quick})
    with served(settings, tmp_path) as server:
        yield server, settings
    shutil.rmtree(Shelf.of(settings).folder, ignore_errors=True)


def test_a_server_that_stands_still_delays_nobody_and_loses_nothing(
    served_from: tuple[Server, Settings], postgres_server: str
) -> None:
    server, settings = served_from
    posted: dict[int, httpx.Response] = {}

    def post(begin: int) -> float:
        began = time.monotonic()
        posted[begin] = httpx.post(f"{server.url}/v1/events", json={"orders": lines(begin, 10)}, timeout=30)
        return time.monotonic() - began

    with under_load(server, settings) as answers:
        post(0)
        with stopped(postgres_server), ThreadPoolExecutor(1) as pool:
            began = time.monotonic()
            under_way = pool.submit(post, 10)  # begun before the stop is noticed, or refused at once
            time.sleep(2 * DEADLINE)
            assert max(post(begin) for begin in range(20, 60, 10)) < DEADLINE + SLACK
            time.sleep(max(0.0, began + STALL - time.monotonic()))
            ended = time.monotonic()
        assert under_way.result() < 5 + SLACK + (ended - began)
        until(lambda: answered_by_models(server, settings))
        until(lambda: post(60) > 0 and posted[60].status_code == 200)
    refused = {begin: answer for begin, answer in posted.items() if answer.status_code != 200}
    assert set(range(20, 60, 10)) <= set(refused)
    assert all(answer.status_code == 503 and answer.headers["retry-after"] for answer in refused.values())
    with closing(Store.open(settings.store, settings)) as store:
        kept = lines_kept(store)
    assert kept >= {f"line-{number}" for begin in posted.keys() - refused.keys() for number in range(begin, begin + 10)}
    quick_and_labelled(answers(), began + DEADLINE, ended)


def test_a_locked_table_delays_nobody(served_from: tuple[Server, Settings], database: str) -> None:
    import psycopg

    server, settings = served_from
    with under_load(server, settings) as answers:
        with psycopg.connect(database) as holder:
            holder.execute("LOCK TABLE lines IN ACCESS EXCLUSIVE MODE")
            began = time.monotonic()
            order = {"customer_id": "late", "occurred_at": to_text(wall()), "unit_price": 5.0}
            refused = httpx.post(f"{server.url}/v1/events", json={"orders": [order]}, timeout=30)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            assert time.monotonic() - began < 5 + SLACK
            time.sleep(max(0.0, began + STALL - time.monotonic()))
        until(lambda: answered_by_models(server, settings))
    assert {answer.status for answer in answers()} == {200}
    assert max(answer.seconds for answer in answers()) < DEADLINE + SLACK


@contextmanager
def under_load(server: Server, settings: Settings) -> Iterator[Callable[[], list[Answer]]]:
    """Four connections ask all the while; afterwards, their answers can be had."""
    over: list[bool] = []
    asked = questions(some_customers(settings, 200))
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(load, server.port, asked, 4, lambda: bool(over))
        try:
            time.sleep(2)  # all are known by then
            yield asking.result
        finally:
            over.append(True)


def answered_by_models(server: Server, settings: Settings) -> bool:
    (customer,) = some_customers(settings, 1)
    answer = httpx.post(f"{server.url}/v1/churn", json={"customer_id": customer}, timeout=30).json()
    return bool(answer["churn"]["source"] == "model")


def quick_and_labelled(answers: list[Answer], first: float, last: float) -> None:
    """What was asked in between is a labelled answer, and nothing at all took much longer than the deadline."""
    assert {answer.status for answer in answers} == {200}
    assert max(answer.seconds for answer in answers) < DEADLINE + SLACK
    between = [answer for answer in answers if first < answer.began and answer.began + answer.seconds < last]
    told = Counter(answer.json()["churn"]["fallback"] or answer.json()["churn"]["source"] for answer in between)
    assert set(told) <= {"stale", "deadline", "withheld"}
    assert told["stale"] > 20
