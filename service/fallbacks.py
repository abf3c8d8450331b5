"""The parts of an answer as they are written, and what they say where no model may or can speak."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from service.release import Release

Part = dict[str, Any]
_INTERVAL: Final = 0.8
_NOTHING: Final = (None,) * 6


def churn_part(
    probability: float | None,
    release: Release,
    source: str = "model",
    fallback: str | None = None,
    reasons: Sequence[dict[str, Any]] = (),
) -> Part:
    return {
        "source": source,
        "fallback": fallback,
        "probability": probability,
        "horizon_days": release.horizon_days,
        "reasons": reasons,
    }


def value_part(
    numbers: Sequence[float | None],
    release: Release,
    source: str = "model",
    fallback: str | None = None,
    reasons: Sequence[dict[str, Any]] = (),
) -> Part:
    """`numbers`: mean, median, low, high, expected orders, percentile (nan: of a release that knows none)."""
    mean, median, low, high, orders, percentile = numbers
    return {
        "source": source,
        "fallback": fallback,
        "expected_spend": mean,
        "median_spend": median,
        "low": low,
        "high": high,
        "interval": _INTERVAL,
        "expected_orders": orders,
        "percentile": finite(percentile),
        "horizon_days": release.horizon_days,
        "reasons": reasons,
    }


def segment_part(name: str | None, source: str = "model", fallback: str | None = None) -> Part:
    return {"source": source, "fallback": fallback, "name": name}


def prior(name: str, release: Release, as_of: int) -> Part:
    """What training says of a newcomer."""
    if name == "segment":
        return segment_part(release.segments.fallback(), "fallback", "prior")
    churn, value = release.newcomer(as_of)
    if name == "churn":
        return churn_part(churn, release, "fallback", "prior")
    return value_part([float(number) for number in value], release, "fallback", "prior")


def withheld(name: str, release: Release) -> Part:
    """Without consent nothing is computed."""
    if name == "churn":
        return churn_part(None, release, "withheld")
    return segment_part(None, "withheld") if name == "segment" else value_part(_NOTHING, release, "withheld")


def finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
