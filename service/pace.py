"""Time within one prediction: what each stage takes, and whether there is enough left to begin the next."""

from __future__ import annotations

import math
import time
from typing import Final

from service.metrics import Metrics
from service.wire import Call

_WEIGHT: Final = 0.1  # of the newest time in the usual one


class Pace:
    """What stages usually take, in seconds."""

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
    """Stages of one prediction, reported as it goes, within `deadline` seconds of the request's arrival."""

    __slots__ = ("_counted", "_laps", "_metrics", "_pace", "_since", "_until", "hurried")

    def __init__(self, metrics: Metrics, pace: Pace, call: Call | None, deadline: float) -> None:
        """Without a call the time runs from now, and there is enough of it."""
        self._metrics, self._pace, self._counted = metrics, pace, metrics.counts_stages()
        self._since = time.perf_counter() if call is None else call.arrived
        self._until = math.inf if call is None else call.arrived + deadline
        self._laps: list[tuple[str, float, float]] = [] if call is None else call.stages
        self.hurried = False  # something was left out for want of time

    def lap(self, stage: str) -> None:
        """The stage ends now."""
        now, since = time.perf_counter(), self._since
        if self._counted:
            self._metrics.stage(stage, now - since)
        self._pace.note(stage, now - since)
        self._laps.append((stage, since, now))
        self._since = now

    def enough_for(self, *stages: str) -> bool:
        """Whether what remains to the deadline is as long as the stages usually take."""
        if time.perf_counter() + sum(map(self._pace.usual, stages)) <= self._until:
            return True
        for stage in stages:
            self._pace.forget(stage)
        self.hurried = True
        return False
