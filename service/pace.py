"""Time within one pass: what each stage takes, and whether there is enough left to begin the next."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Final

from service.metrics import Metrics
from service.wire import Call

_WEIGHT: Final = 0.1  # of the newest time in the usual one


class Pace:
    """What stages usually take for one prediction, in seconds."""

    def __init__(self) -> None:
        self._usual: dict[str, float] = {}

    def usual(self, stage: str) -> float:
        return self._usual.get(stage, 0.0)

    def note(self, stage: str, seconds: float) -> None:
        before = self._usual.get(stage, seconds)
        self._usual[stage] = before + _WEIGHT * (seconds - before)

    def forget(self, stage: str) -> None:
        """What is skipped for being slow is not measured: it must be tried again some time."""
        self._usual[stage] = self.usual(stage) * (1 - _WEIGHT)


class Stopwatch:
    """Stages of one pass, shared by its predictions, reported as it goes, within `deadline` seconds of the first
    request's arrival.
    """

    __slots__ = ("_calls", "_counted", "_metrics", "_pace", "_predictions", "_since", "_until", "hurried")

    def __init__(
        self, metrics: Metrics, pace: Pace, calls: Sequence[Call], deadline: float, predictions: int = 1
    ) -> None:
        """`calls`: of those predictions that came over HTTP; without any there is enough time."""
        self._metrics, self._pace, self._counted = metrics, pace, metrics.counts_stages()
        self._calls, self._predictions = calls, max(predictions, len(calls))
        self._since = time.perf_counter()
        self._until = min((call.arrived for call in calls), default=math.inf) + deadline
        self.hurried = False  # something was left out for want of time
        for call in calls:
            self._note("queue", self._since - call.arrived)
            call.stages.append(("queue", call.arrived, self._since))

    def lap(self, stage: str) -> None:
        """The stage ends now."""
        now, since = time.perf_counter(), self._since
        self._note(stage, (now - since) / self._predictions)
        for call in self._calls:
            call.stages.append((stage, since, now))
        self._since = now

    def enough_for(self, *stages: str) -> bool:
        """Whether what remains to the deadline is as long as the stages usually take."""
        needed = self._predictions * sum(map(self._pace.usual, stages))
        if time.perf_counter() + needed <= self._until:
            return True
        for stage in stages:
            self._pace.forget(stage)
        self.hurried = True
        return False

    def _note(self, stage: str, seconds: float) -> None:
        """What it took for each prediction."""
        self._pace.note(stage, seconds)
        if self._counted:
            self._metrics.stage(stage, seconds)
