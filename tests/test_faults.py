"""Faults, for real: servers that are killed, registries that never answer, stores that are gone. Promises hold."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest

from histories.clock import to_text
from histories.identity import line_ids
from histories.settings import Settings
from histories.storage.store import Store
from service.clock import wall
from service.shelf import Shelf
from tests.conftest import Trained
from tests.load import lasting, load, percentile, questions
from tests.servers import Server, served, worker_at
from tests.web import own_copy, shelf_of

pytestmark = pytest.mark.prove
PARTS = ("churn", "customer_value", "next_purchase", "segment")
_BUSY = 8  # connections that keep one worker busy
PATIENT = {"deadline_ms": 60_000.0, "answer_budget_ms": 10_000.0}  # these tests are not about speed


@contextmanager
def stalled_registry() -> Iterator[str]:
    """The address of a server that takes connections and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def another(shelf: Shelf, name: str, of: str, *, damaged: bool = False) -> str:
    """A copy of a release under another id, which the registry is said to have named."""
    built = shelf.folder / f".built-{name}"
    shutil.copytree(shelf.path(of), built)
    card = json.loads((built / "release.json").read_text())
    (built / "release.json").write_text(json.dumps(card | {"release": name}))
    if damaged:
        (built / "churn" / "model.json").write_text("{")
    shelf.put(built, name)
    shelf.say(name)
    return name


def some_customers(settings: Settings, count: int) -> list[str]:
    with closing(Store.open(settings.store, settings)) as store:
        return store.customer_ids()[:count]


def lines(begin: int, count: int) -> list[dict[str, object]]:
    """Order lines with an id each."""
    at = to_text(wall())
    return [
        {"customer_id": f"new-{number % 500}", "occurred_at": at, "unit_price": 5.0, "id": f"line-{number}"}
        for number in range(begin, begin + count)
    ]


def until(holds: Callable[[], bool], seconds: float = 30.0) -> None:
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds, "it did not come about"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def without_registry(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Shelf, str]]:
    """A server whose registry never answers, started from the last release on its disk."""
    folder = tmp_path_factory.mktemp("stalled")
    with stalled_registry() as address:
        settings = own_copy(trained, folder).model_copy(update={"tracking_uri": address, **PATIENT})
        shelf = Shelf.of(settings)
        shelf.folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(shelf_of(trained, folder / "brought").folder, shelf.folder)
        (shelf.folder / "champion.json").unlink()
        shelf.served(trained.release)
        with served(settings, folder) as server:
            yield server, shelf, some_customers(settings, 1)[0]


def test_a_start_without_a_registry_serves_the_last_release(
    without_registry: tuple[Server, Shelf, str], trained: Trained
) -> None:
    server, _, customer = without_registry
    answer = httpx.post(f"{server.url}/v1/predict", json={"customer_id": customer}).json()
    assert answer["release"] == trained.release
    assert {answer[part]["source"] for part in PARTS} == {"model"}


def test_a_swap_under_full_load_fails_and_delays_nobody(
    without_registry: tuple[Server, Shelf, str], trained: Trained
) -> None:
    """As for a rush: no swap may fail anybody, and one in five must delay nobody."""
    server, shelf, _ = without_registry
    bodies = questions(some_customers(trained.settings, 500))
    load(server.port, bodies, _BUSY, lasting(2))  # warm
    assert any(_delays_nobody(server, shelf, trained, bodies, day) for day in range(1, 6))


def _delays_nobody(
    server: Server, shelf: Shelf, trained: Trained, bodies: Iterator[dict[str, object]], day: int
) -> bool:
    named = (f"2026-02-{day:02}-aaaaaa", f"2026-02-{day:02}-bbbbbb")
    swapped = threading.Event()

    def released() -> str:
        return str(httpx.get(f"{server.url}/v1/models", timeout=30).json()["release"])

    before = released()
    steady = load(server.port, bodies, _BUSY, lasting(4))
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(load, server.port, bodies, _BUSY, swapped.is_set)
        try:
            for name in named:
                another(shelf, name, trained.release)
                until(lambda name=name: released() == name)  # type: ignore[misc]
            time.sleep(1)  # on the new release
        finally:
            swapped.set()
    answers = asking.result()
    assert {answer.status for answer in answers} == {200}
    assert {answer.json()["release"] for answer in answers} == {before, *named}
    slowest = [max(answer.seconds for answer in some) for some in (steady, answers)]
    return slowest[1] <= 3 * slowest[0] + 0.1


def test_a_damaged_release_is_rolled_back_for_good(
    without_registry: tuple[Server, Shelf, str], trained: Trained
) -> None:
    server, shelf, _ = without_registry

    def told() -> dict[str, Any]:
        return dict(httpx.get(f"{server.url}/v1/models", timeout=30).json())

    serving = told()["release"]
    bad = another(shelf, "2026-03-01-cccccc", trained.release, damaged=True)
    until(lambda: told()["last_refusal"] is not None)
    assert told()["last_refusal"]["release"] == bad
    assert told()["release"] == serving
    assert "regulars_releases_refused_total 1.0" in httpx.get(f"{server.url}/metrics").text
    assert shelf.refused(bad)  # which a restart reads


def test_a_registry_process_that_dies_is_replaced(without_registry: tuple[Server, Shelf, str]) -> None:
    server, _, customer = without_registry
    (before,) = server.registries()
    os.kill(before, signal.SIGSTOP)  # slow beyond measure
    assert httpx.post(f"{server.url}/v1/churn", json={"customer_id": customer}).status_code == 200
    os.kill(before, signal.SIGKILL)
    until(lambda: bool(server.registries()) and before not in server.registries())
    assert httpx.post(f"{server.url}/v1/churn", json={"customer_id": customer}).status_code == 200


@pytest.fixture(scope="module")
def crowded(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Settings]]:
    """A server that lets few requests wait."""
    folder = tmp_path_factory.mktemp("crowded")
    settings = own_copy(trained, folder).model_copy(update={"queue_limit": _BUSY, **PATIENT})
    with served(settings, folder) as server:
        yield server, settings


def test_at_five_times_the_capacity_the_accepted_are_as_quick_as_before(crowded: tuple[Server, Settings]) -> None:
    """The queue is as long as the busy connections are many: whoever is accepted waits for no more of them.

    What else the machine does can only delay: so one rush in five must show it, and each that nothing is lost.
    """
    server, settings = crowded
    bodies = questions(some_customers(settings, 500), explain=True, k=100)  # long answers: the load must outrun them
    load(server.port, bodies, _BUSY, lasting(2))  # warm
    assert any(_as_quick_as_before(server, bodies) for _ in range(5))


def _as_quick_as_before(server: Server, bodies: Iterator[dict[str, object]]) -> bool:
    busy = load(server.port, bodies, _BUSY, lasting(3))
    assert {answer.status for answer in busy} == {200}
    capacity = len(busy) / 3
    rush = load(server.port, bodies, 6 * _BUSY, lasting(3), per_second=5 * capacity)
    after = load(server.port, bodies, 1, lasting(0.5))
    accepted, refused = ([answer for answer in rush if answer.status == status] for status in (200, 503))
    assert len(accepted) + len(refused) == len(rush)
    assert all(answer.headers.count(b"retry-after: 1") for answer in refused)
    assert {answer.json()["error"]["code"] for answer in refused} <= {"unavailable"}
    assert {answer.status for answer in after} == {200}
    assert after[0].json()["churn"]["source"] == "model"
    longest = 3 * percentile(busy, 99) + 0.02
    if not accepted or not refused:
        return False  # what loads was too slow itself
    return (
        len(rush) / 3 >= 4 * capacity
        and len(accepted) / 3 >= capacity / 3
        and max(percentile(accepted, 99), percentile(refused, 99), after[0].seconds) <= longest
        and percentile(refused, 50) < percentile(accepted, 50)
    )


def test_slow_and_hostile_senders_disturb_nobody(crowded: tuple[Server, Settings]) -> None:
    server, settings = crowded
    (customer,) = some_customers(settings, 1)
    lorises = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(150)]
    try:
        for loris in lorises[:100]:
            loris.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: shop\r\nX-Slow: ")
        for loris in lorises[100:]:
            loris.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: shop\r\nContent-Length: 5000\r\n\r\n{")
        assert httpx.post(f"{server.url}/v1/predict", json={"customer_id": customer}, timeout=30).status_code == 200
        for body, status in HOSTILE:
            answer = httpx.post(f"{server.url}/v1/predict", content=body, timeout=30)
            assert answer.status_code == status, body[:40]
            assert set(answer.json()) == {"error"}
        lorises[-1].settimeout(40)
        assert lorises[-1].recv(100).startswith(b"HTTP/1.1 408 ")
    finally:
        for loris in lorises:
            loris.close()
    assert "Traceback" not in server.log.read_text()


HOSTILE = [
    (b"x" * (10 << 20), 413),
    (b"[" * 900_000, 400),
    (b'{"a":' * 150_000, 400),
    (b'{"customer_id": NaN}', 400),
    (b'{"customer_id": "\\ud800"}', 400),
    (b'{"customer_id": "' + b"y" * 900_000 + b'"}', 400),
    (b'{"basket": [1e999]}', 400),
    (b"\xff\xfe", 400),
    (b"", 400),
]


def test_a_locked_store_refuses_writes_and_answers_on(crowded: tuple[Server, Settings]) -> None:
    server, settings = crowded
    (customer,) = some_customers(settings, 1)
    with closing(sqlite3.connect(settings.store.removeprefix("sqlite:///"), isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        refused = httpx.post(f"{server.url}/v1/events", json={"orders": lines(0, 3)}, timeout=30)
        assert refused.status_code == 503
        assert refused.headers["retry-after"]
        assert httpx.post(f"{server.url}/v1/churn", json={"customer_id": customer}).json()["churn"]["source"] == "model"
    again = httpx.post(f"{server.url}/v1/events", json={"orders": lines(0, 3)}, timeout=30)
    assert again.json() == {"accepted": 3, "duplicate": 0, "future": 0}


def test_a_store_that_is_gone_leaves_stale_answers(crowded: tuple[Server, Settings]) -> None:
    server, settings = crowded
    (customer,) = some_customers(settings, 1)
    file = Path(settings.store.removeprefix("sqlite:///"))

    def source() -> tuple[str, str | None]:
        part = httpx.post(f"{server.url}/v1/churn", json={"customer_id": customer}).json()["churn"]
        return part["source"], part["fallback"]

    assert source() == ("model", None)
    file.rename(file.with_suffix(".away"))
    until(lambda: source() == ("fallback", "stale"))
    refused = httpx.post(f"{server.url}/v1/events", json={"orders": lines(10, 1)}, timeout=30)
    assert refused.status_code == 503
    file.with_suffix(".away").rename(file)
    until(lambda: source() == ("model", None))
    assert httpx.post(f"{server.url}/v1/events", json={"orders": lines(10, 1)}, timeout=30).json()["accepted"] == 1


def test_workers_end_with_their_parent(crowded: tuple[Server, Settings]) -> None:
    """The last test of this server: it is no more."""
    server, _ = crowded
    workers = server.workers()
    assert workers
    server.process.kill()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))


def test_an_order_is_seen_by_every_worker_and_no_kill_loses_one(trained: Trained, tmp_path: Path) -> None:
    """Two workers: the next answer of each; then kills in the midst of 100,000 lines, which are counted afterwards."""
    settings = own_copy(trained, tmp_path).model_copy(update=PATIENT)
    with served(settings, tmp_path, workers=2) as server:
        _seen_by_every_worker(server)
        _a_new_worker_answers_from_its_release(server)
        acknowledged = _posted_among_kills(server)
        server.kill()
    with closing(Store.open(settings.store, settings)) as store:
        kept = lines_kept(store)
        assert acknowledged <= kept
    with served(settings, tmp_path) as server:
        for begin in range(0, _LINES, 1000):
            answer = httpx.post(f"{server.url}/v1/events", json={"orders": lines(begin, 1000)}, timeout=60).json()
            assert answer["accepted"] + answer["duplicate"] == 1000
        _drained(server, settings)
    with closing(Store.open(settings.store, settings)) as store:
        assert len(lines_kept(store)) == _LINES


_LINES = 100_000


def lines_kept(store: Store) -> set[str]:
    """Ids of the lines in the store, which holds their hashes."""
    names = [f"line-{number}" for number in range(_LINES)]
    nothing = np.zeros(_LINES)
    given = line_ids(nothing.astype(np.int64), nothing.astype(np.int64), (), (), pa.array(names)).tolist()
    with store.snapshot() as connection:
        held = set(connection.exec_driver_sql("SELECT line_id FROM lines WHERE line_id > 0").scalars())
    return {name for name, key in zip(names, given, strict=True) if key in held}


def _seen_by_every_worker(server: Server) -> None:
    with _connections(server) as clients:
        for number in range(3):
            for writer in clients:
                who = f"visitor-{number}-{writer}"
                order = {"customer_id": who, "occurred_at": to_text(wall()), "unit_price": 12.0, "product_id": "hat"}
                assert _churn(clients[writer], server, who)["fallback"] == "prior"
                posted = clients[writer].post(f"{server.url}/v1/events", json={"orders": [order]}, timeout=30)
                assert posted.json()["accepted"] == 1
                for reader in clients:
                    assert _churn(clients[reader], server, who)["source"] == "model"


def _a_new_worker_answers_from_its_release(server: Server) -> None:
    """One that took connections before it has loaded it could only refuse them."""
    before = set(server.workers())
    os.kill(before.pop(), signal.SIGKILL)
    answered: set[int] = set()

    def the_new_one_answered() -> bool:
        with suppress(httpx.TransportError), httpx.Client() as client:  # what the dying one had accepted breaks off
            answer = client.post(f"{server.url}/v1/churn", json={"customer_id": "nobody"}, timeout=30)
            assert answer.status_code == 200, answer.text
            answered.add(worker_at(server, answer.extensions["network_stream"].get_extra_info("socket")))
        return bool(answered - before)

    until(the_new_one_answered)


def _churn(client: httpx.Client, server: Server, who: str) -> dict[str, Any]:
    return dict(client.post(f"{server.url}/v1/churn", json={"customer_id": who}, timeout=30).json()["churn"])


@contextmanager
def _connections(server: Server) -> Iterator[dict[int, httpx.Client]]:
    """A kept connection to each of two workers; the second takes none before it has its release."""
    clients: dict[int, httpx.Client] = {}
    with ExitStack() as spare:

        def both() -> bool:
            client = spare.enter_context(httpx.Client())
            answer = client.get(f"{server.url}/livez", timeout=30)
            clients.setdefault(worker_at(server, answer.extensions["network_stream"].get_extra_info("socket")), client)
            return len(clients) == 2

        until(both)
        yield clients


def _posted_among_kills(server: Server) -> set[str]:
    """Names of the lines that were acknowledged while workers died, half of all that are to come."""
    acknowledged: set[str] = set()
    left = iter(range(0, _LINES // 2, 100))
    turn = threading.Lock()

    def post() -> None:
        with httpx.Client(timeout=30) as client:
            while True:
                with turn:
                    begin = next(left, None)
                if begin is None:
                    return
                with suppress(httpx.TransportError):
                    answer = client.post(f"{server.url}/v1/events", json={"orders": lines(begin, 100)})
                    if answer.status_code == 200:
                        acknowledged.update(str(line["id"]) for line in lines(begin, 100))

    with ThreadPoolExecutor(4) as pool:
        posting = [pool.submit(post) for _ in range(4)]
        for goal in (10_000, 25_000):
            until(lambda goal=goal: len(acknowledged) >= goal, 120)  # type: ignore[misc]
            os.kill(server.workers()[0], signal.SIGKILL)
        for posted in posting:
            posted.result()
    assert len(acknowledged) >= 25_000
    return acknowledged


def _drained(server: Server, settings: Settings) -> None:
    """SIGTERM in the midst of a long answer: it is given before the end."""
    customers = some_customers(settings, 500)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(
            httpx.post, f"{server.url}/v1/predict_many", json={"customer_ids": customers, "explain": True}, timeout=60
        )
        time.sleep(0.5)
        server.process.send_signal(signal.SIGTERM)
        assert len(asked.result().json()["predictions"]) == 500
    server.process.wait(30)
