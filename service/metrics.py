"""Prometheus metrics by endpoint, stage, source and release. No label ever holds an id."""

from __future__ import annotations

import os
import time
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

_SECONDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


class Metrics:
    """One worker's counts; prometheus_client adds up the workers of a host where PROMETHEUS_MULTIPROC_DIR is set."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "regulars_requests", "Requests answered", ["endpoint", "status"], registry=self.registry
        )
        self._duration = Histogram(
            "regulars_request_seconds",
            "Time to answer",
            ["endpoint"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._stages = Histogram(
            "regulars_stage_seconds",
            "Time per stage of a prediction",
            ["stage"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._answers = Counter(
            "regulars_answers", "Parts of answers", ["part", "source", "release"], registry=self.registry
        )
        self._served = Gauge(
            "regulars_release_loaded_timestamp_seconds",
            "When each release was taken into service",
            ["release"],
            registry=self.registry,
            multiprocess_mode="max",
        )
        self._refused = Counter("regulars_releases_refused", "Releases refused", registry=self.registry)

    def request(self, endpoint: str, status: int, seconds: float) -> None:
        self._requests.labels(endpoint, str(status)).inc()
        self._duration.labels(endpoint).observe(seconds)

    def stage(self, name: str, seconds: float) -> None:
        self._stages.labels(name).observe(seconds)

    def answer(self, part: str, source: str, release: str, count: int = 1) -> None:
        self._answers.labels(part, source, release).inc(count)

    def served(self, release: str) -> None:
        self._served.labels(release).set(time.time())

    def refused(self) -> None:
        self._refused.inc()

    def text(self) -> bytes:
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self.registry)
        every_worker = CollectorRegistry()
        MultiProcessCollector(every_worker)
        return generate_latest(every_worker)


class Stopwatch:
    """Time per stage of one prediction, reported as it goes."""

    __slots__ = ("_metrics", "_since")

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._since = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self._metrics.stage(stage, now - self._since)
        self._since = now
