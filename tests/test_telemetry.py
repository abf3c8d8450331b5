"""Seen from outside: metrics, the dashboard over them, lines in the log, traces; and none of it names a person."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest

from histories.settings import Settings
from service.errors import Problem
from service.metrics import Metrics
from service.pace import Pace, Stopwatch
from service.rates import RateLimits
from service.telemetry import Telemetry
from service.wire import Call

DASHBOARD = Path(__file__).parents[1] / "docs" / "grafana.json"
TRACE = "0af7651916cd43dd8448eb211c80319c"


def call(**headers: str) -> Call:
    return Call({"headers": [(name.encode(), value.encode()) for name, value in headers.items()]}, "/v1/predict")


def counted() -> Metrics:
    """Metrics after one of everything."""
    metrics = Metrics()
    metrics.request("/v1/predict", 200, 0.002)
    metrics.stage("history", 0.001)
    metrics.answers(1, "churn", "fallback", "prior", "2026-01-01-abcdef")
    metrics.lines("accepted", 3)
    metrics.served("2026-01-01-abcdef")
    metrics.refused()
    metrics.stale(False)
    return metrics


def test_every_metric_of_the_dashboard_exists() -> None:
    text = counted().text().decode()
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(asked) >= 9
    for expression in asked:
        for name in re.findall(r"\bregulars_\w+", expression):
            assert re.search(rf"^{name}[ {{]", text, re.MULTILINE), name
        for label in re.findall(r"by \(([^)]*)\)", expression):
            for one in label.split(", "):
                assert f'{one}="' in text, one


def test_an_access_log_has_the_id_of_the_request_and_no_person(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "regulars")
    Telemetry(access_log=True).told(call(**{"x-request-id": "abc-1", "authorization": "Bearer x"}), 200, Metrics())
    (line,) = caplog.messages
    told = json.loads(line)
    assert set(told) == {"event", "endpoint", "request_id", "status", "ms"}
    assert (told["request_id"], told["endpoint"], told["status"]) == ("abc-1", "/v1/predict", 200)


def test_a_request_id_that_could_break_a_log_is_replaced() -> None:
    assert call(**{"x-request-id": "a\nb"}).identity != "a\nb"
    assert len(call(**{"x-request-id": "a" * 100}).identity) == 64


def test_traces_hold_a_span_per_stage_under_the_callers_trace() -> None:
    trace = pytest.importorskip("opentelemetry.sdk.trace")
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    kept, provider = InMemorySpanExporter(), trace.TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    asked = call(traceparent=f"00-{TRACE}-b7ad6b7169203331-01")
    watch = Stopwatch(Metrics(), Pace(), [asked], 1.0)
    watch.lap("history")
    watch.lap("churn")
    Telemetry(tracer=provider.get_tracer("test"), provider=provider).told(asked, 200, Metrics())
    spans: dict[str, Any] = {span.name: span for span in kept.get_finished_spans()}
    assert set(spans) == {"/v1/predict", "queue", "history", "churn"}
    assert {f"{span.context.trace_id:032x}" for span in spans.values()} == {TRACE}
    whole = spans["/v1/predict"]
    assert spans["churn"].parent.span_id == whole.context.span_id
    assert whole.start_time <= spans["history"].start_time <= spans["churn"].end_time <= whole.end_time


def test_what_a_pass_takes_is_shared_by_its_requests_and_the_first_deadline_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr("time.perf_counter", lambda: now)
    early = call()
    now += 2
    late, pace = call(), Pace()
    watch = Stopwatch(Metrics(), pace, [early, late], 5.0)
    assert [request.stages for request in (early, late)] == [[("queue", 100.0, 102.0)], [("queue", 102.0, 102.0)]]
    now += 1
    watch.lap("churn")
    assert pace.usual("churn") == 0.5
    assert early.stages[1] == late.stages[1] == ("churn", 102.0, 103.0)
    assert watch.enough_for("churn", "churn")
    assert not watch.enough_for("churn", "churn", "churn")
    assert watch.hurried


def test_without_traces_there_is_nothing_to_close() -> None:
    Telemetry.of(Settings.model_validate({})).close()


def test_a_key_may_ask_so_often_and_another_is_not_held_up(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("service.rates.time.monotonic", lambda: now)
    limits = RateLimits(2.0)
    limits.take("one")
    limits.take("one")
    with pytest.raises(Problem) as refused:
        limits.take("one")
    assert (refused.value.status, refused.value.headers()["Retry-After"]) == (429, "1")
    limits.take("other")
    now += 0.5
    limits.take("one")
    with pytest.raises(Problem):
        limits.take("one")


def test_without_a_rate_there_is_no_limit() -> None:
    limits = RateLimits(None)
    for _ in range(1000):
        limits.take("one")


def test_what_was_skipped_for_being_slow_is_tried_again() -> None:
    pace = Pace()
    pace.note("churn", 10.0)
    asked = call()
    skipped = 0
    while not Stopwatch(Metrics(), pace, [asked], 5.0).enough_for("churn"):
        skipped += 1
    assert 1 <= skipped < 20
