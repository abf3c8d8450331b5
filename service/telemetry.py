"""What is told of every request: counts, and where switched on a line in the log and a trace. Never a value of it."""

from __future__ import annotations

import logging
import time
from typing import Any

from histories.errors import BadInput
from histories.settings import Settings
from service.metrics import Metrics
from service.wire import Call, log


class Telemetry:
    def __init__(self, *, access_log: bool = False, tracer: Any = None, provider: Any = None) -> None:
        """`tracer` and `provider` are OpenTelemetry's; None costs nothing."""
        self._access_log = access_log
        self._tracer = tracer
        self._provider = provider

    @classmethod
    def of(cls, settings: Settings) -> Telemetry:
        """Raises BadInput when traces are wanted and their exporter is not installed."""
        if not settings.traces:
            return cls(access_log=settings.access_log)
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
            from opentelemetry.sdk.trace.export import BatchSpanProcessor
        except ModuleNotFoundError as error:
            raise BadInput(f"traces: {error.name} is not installed; install regulars[traces]") from None
        provider = TracerProvider(resource=Resource.create({"service.name": "regulars"}))
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))  # where to: OTEL_EXPORTER_OTLP_ENDPOINT
        return cls(access_log=settings.access_log, tracer=provider.get_tracer("regulars"), provider=provider)

    def told(self, call: Call, status: int, metrics: Metrics) -> None:
        """The request was answered just now."""
        ended = time.perf_counter()
        metrics.request(call.endpoint, status, ended - call.arrived)
        if self._access_log:
            log(logging.INFO, "answered", call, status=status, ms=round((ended - call.arrived) * 1e3, 3))
        if self._tracer is not None:
            self._trace(call, status, ended)

    def close(self) -> None:
        if self._provider is not None:
            self._provider.shutdown()

    def _trace(self, call: Call, status: int, ended: float) -> None:
        """One span for the request, one for each stage, made when all is over: nothing is carried along meanwhile."""
        from opentelemetry import trace
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        shift = time.time_ns() - time.perf_counter_ns()

        def at(instant: float) -> int:
            return int(instant * 1e9) + shift

        carrier = {"traceparent": call.trace_parent} if call.trace_parent else {}
        span = self._tracer.start_span(
            call.endpoint,
            TraceContextTextMapPropagator().extract(carrier),
            trace.SpanKind.SERVER,
            {"http.route": call.endpoint, "http.response.status_code": status, "request_id": call.identity},
            start_time=at(call.arrived),
        )
        inside = trace.set_span_in_context(span)
        for stage, begin, end in call.stages:
            self._tracer.start_span(stage, inside, start_time=at(begin)).end(at(end))
        span.end(at(ended))
