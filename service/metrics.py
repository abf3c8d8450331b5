"""Prometheus metrics by endpoint, stage, source and release. No label ever holds an id."""

from __future__ import annotations

import itertools
import os
import time
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

_STAGED: Final = 8  # of so many predictions, the stages of one are counted: all eight cost more than a model
_SECONDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


class Metrics:
    """One worker's counts; prometheus_client adds up the workers of a host where PROMETHEUS_MULTIPROC_DIR is set."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._predictions = itertools.cycle(range(_STAGED))
        self._requests = _Series(self._counter("requests", "Requests answered", "endpoint", "status"))
        self._duration = _Series(self._histogram("request_seconds", "Time to answer", "endpoint"))
        self._stages = _Series(
            self._histogram("stage_seconds", f"Time per stage, of every {_STAGED}th prediction", "stage")
        )
        self._answers = _Series(self._counter("answers", "Parts of answers", "part", "source", "fallback", "release"))
        self._lines = _Series(self._counter("lines", "Lines and events posted", "outcome"))
        self._served = Gauge(
            "regulars_release_loaded_timestamp_seconds",
            "When each release was taken into service",
            ["release"],
            registry=self.registry,
            multiprocess_mode="max",
        )
        self._refused = Counter("regulars_releases_refused", "Releases refused", registry=self.registry)
        self._stale = Gauge(
            "regulars_store_unreachable",
            "1 while the store cannot be read, so that answers are stale",
            registry=self.registry,
            multiprocess_mode="max",
        )

    def request(self, endpoint: str, status: int, seconds: float) -> None:
        self._requests.of(endpoint, status).inc()
        self._duration.of(endpoint).observe(seconds)

    def counts_stages(self) -> bool:
        """Whether those of the prediction that begins now are to be counted."""
        return next(self._predictions) == 0

    def stage(self, name: str, seconds: float) -> None:
        self._stages.of(name).observe(seconds)

    def answers(self, times: int, part: str, source: str, fallback: str | None, release: str) -> None:
        self._answers.of(part, source, fallback or "", release).inc(times)

    def lines(self, outcome: str, count: int) -> None:
        self._lines.of(outcome).inc(count)

    def served(self, release: str) -> None:
        self._served.labels(release).set(time.time())

    def refused(self) -> None:
        self._refused.inc()

    def stale(self, is_stale: bool) -> None:
        self._stale.set(is_stale)

    def text(self) -> bytes:
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self.registry)
        every_worker = CollectorRegistry()
        MultiProcessCollector(every_worker)
        return generate_latest(every_worker)

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"regulars_{name}", meaning, labels, registry=self.registry)

    def _histogram(self, name: str, meaning: str, *labels: str) -> Histogram:
        return Histogram(f"regulars_{name}", meaning, labels, registry=self.registry, buckets=_SECONDS)


class _Series:
    """The series of a metric by their labels: looking them up through prometheus_client takes longer than counting."""

    def __init__(self, metric: Any) -> None:
        self._metric = metric
        self._known: dict[tuple[object, ...], Any] = {}

    def of(self, *labels: object) -> Any:
        series = self._known.get(labels)
        if series is None:
            series = self._known[labels] = self._metric.labels(*map(str, labels))
        return series
