"""Traces as a collector of OpenTelemetry sees them: spans of requests, and nothing of the persons they were about."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from service.telemetry import Telemetry
from tests.conftest import Trained
from tests.web import own_copy, shelf_of, web_of

pytestmark = pytest.mark.prove  # where all extras are installed
WHO, THING = "someone.private@example.org", "a very private thing"
TRACE = "0af7651916cd43dd8448eb211c80319c"


@contextmanager
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """The address of a server that takes OTLP over HTTP, and what it has been sent."""
    sent: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            sent.append(gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", sent
        server.shutdown()


def spans_of(sent: list[bytes]) -> list[Any]:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    requests = [ExportTraceServiceRequest.FromString(body) for body in sent]
    return [span for r in requests for batch in r.resource_spans for scope in batch.scope_spans for span in scope.spans]


def test_a_collector_sees_the_stages_of_a_request_and_no_person(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    settings = own_copy(trained, tmp_path).model_copy(update={"traces": True})
    shelf = shelf_of(trained, tmp_path / "shelf")
    with collector() as (address, sent):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        with web_of(settings, shelf) as web:
            order = {"customer_id": WHO, "occurred_at": "2025-12-30", "unit_price": 5.0, "product_id": THING}
            web.post("/v1/events", {"orders": [order]})
            parent = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01", "X-Request-ID": "abc-1"}
            web.post("/v1/predict", {"customer_id": WHO, "basket": [THING]}, headers=parent)
            web.post("/v1/churn", {"customer_id": WHO, "as_of": WHO})
            web.get(f"/v1/customers/{WHO}")
    spans = spans_of(sent)
    asked = next(span for span in spans if span.name == "/v1/predict")
    told = {attribute.key: attribute.value for attribute in asked.attributes}
    assert asked.trace_id.hex() == TRACE
    assert told["http.response.status_code"].int_value == 200
    assert told["request_id"].string_value == "abc-1"
    stages = {span.name for span in spans if span.parent_span_id == asked.span_id}
    assert {"queue", "history", "features", "churn", "next_purchase", "write"} <= stages
    assert {span.name for span in spans} >= {"/v1/events", "/v1/churn", "/v1/customers/{id:path}"}
    for private in (WHO, THING):
        assert private.encode() not in b"".join(sent)


def test_without_traces_nothing_is_made_or_sent(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Telemetry, "_trace", lambda *told: pytest.fail("a trace, though they are off"))
    with collector() as (address, sent):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        with web_of(trained.settings, shelf_of(trained, tmp_path)) as web:
            assert web.post("/v1/churn", {"customer_id": WHO}).status_code == 200
            assert web.backend._telemetry._provider is None
    assert not sent
