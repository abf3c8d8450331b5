"""The serving benchmark's own parts: what is asked, how the load generator is read, that a missing one is named."""

from __future__ import annotations

import json
import os
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from benchmarks.load import cpu_seconds, load, wrk
from benchmarks.serving import _Bodies
from benchmarks.serving_contenders import LINES, customer_body, events_body
from service.schemas import EventsRequest, PredictRequest


def test_nobody_is_asked_about_twice_before_everybody_was() -> None:
    bodies = _Bodies(str, customers=10, most=10)
    first = bodies.next()
    bodies.used({"requests": 4})
    assert sorted(first, key=int) == [str(number) for number in range(1, 11)]
    assert bodies.next()[:6] == first[4:]


def test_bodies_are_what_the_service_takes() -> None:
    assert PredictRequest.model_validate_json(customer_body(7)).customer_id == "sim-000007"
    posted = EventsRequest.model_validate_json(events_body(7))
    assert len(posted.orders) == LINES
    assert {line.order_id for line in posted.orders}.isdisjoint(
        {line.order_id for line in EventsRequest.model_validate_json(events_body(8)).orders}
    )


def test_without_a_load_generator_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SystemExit, match="apt-get install wrk"):
        wrk()


class _Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    seen: list[tuple[str, str | None, object]] = []  # noqa: RUF012

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append((self.path, self.headers["Authorization"], body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


def test_the_load_is_what_was_asked_for() -> None:
    try:
        wrk()
    except SystemExit:
        pytest.skip("wrk is not installed here")
    with HTTPServer(("127.0.0.1", 0), _Echo) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        row = load(server.server_port, "/v1/churn", [customer_body(1), customer_body(2)], 1, 1, key="abc")
        server.shutdown()
    assert row["requests"] > 0
    assert set(row) == {"connections", "rps", "p50_ms", "p99_ms", "max_ms", "requests"}
    assert {(path, key) for path, key, _ in _Echo.seen} == {("/v1/churn", "Bearer abc")}
    asked = [str(body) for _, _, body in _Echo.seen[:4]]
    assert asked[:2] == asked[2:]  # in turn, from either
    assert len(set(asked)) == 2


def test_processor_time_only_grows() -> None:
    before = cpu_seconds(os.getpid())
    sum(number * number for number in range(3_000_000))
    assert cpu_seconds(os.getpid()) > before
