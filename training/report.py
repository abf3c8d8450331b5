"""What a training says when it is done: one table of all methods, the grades, the verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from training.judge import CHAMPION, METRICS, OURS, Scores
from training.verdict import Verdict

_COLUMN = 11


def table(scores: Scores, verdict: Verdict) -> str:
    """Plain text: per model its metrics, ours first, the champion next, then the rules and baselines."""
    parts = [_model(model, rows) for model, rows in scores.items() if any(rows.values())]
    return "\n\n".join([*parts, "\n".join(_closing(verdict))])


def flat(scores: Scores) -> dict[str, float]:
    """Metric names as MLflow shows them: <model>/<metric> ours, baseline/<model>/<metric>/<method> the others."""
    return {
        f"{model}/{metric}" if method == OURS else f"baseline/{model}/{metric}/{method}": value
        for model, rows in scores.items()
        for metric, row in rows.items()
        for method, value in row.items()
    }


def without_nan(content: Any) -> Any:
    """The same with null for what JSON has no number for."""
    if isinstance(content, Mapping):
        return {key: without_nan(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [without_nan(value) for value in content]
    if isinstance(content, float):
        return float(content) if math.isfinite(content) else None
    return content


def _model(model: str, rows: Mapping[str, Mapping[str, float]]) -> str:
    found = dict.fromkeys(method for row in rows.values() for method in row)
    methods = [name for name in (OURS, CHAMPION) if name in found]
    methods += [name for name in found if name not in methods]
    widths = [max(_COLUMN, len(name) + 2) for name in methods]
    head = f"{model:<24}" + "".join(f"{name:>{width}}" for name, width in zip(methods, widths, strict=True))
    lines = [head + "   better"]
    for metric, row in rows.items():
        cells = (f"{_number(row.get(name)):>{width}}" for name, width in zip(methods, widths, strict=True))
        lines.append(f"  {metric:<22}{''.join(cells)}   {_BETTER[model, metric]}")
    return "\n".join(lines)


_BETTER = {(metric.model, metric.name): metric.better for metric in METRICS}


def _number(value: float | None) -> str:
    if value is None:
        return ""
    if not math.isfinite(value):
        return "-"
    return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.3f}"


def _closing(verdict: Verdict) -> list[str]:
    grades = ", ".join(f"{model} {grade}" for model, grade in verdict.grades.items())
    lines = [f"against its rule: {grades}", *verdict.money]
    lines += [f"warning: {warning}" for warning in verdict.warnings]
    return [*lines, f"release {verdict.release}: {_outcome(verdict)}", *(f"  {why}" for why in verdict.reasons)]


def _outcome(verdict: Verdict) -> str:
    if verdict.champion is None:
        return "no champion yet, so it may become the first"
    beside = f"beside champion {verdict.champion}"
    if verdict.accepted is None:
        return f"cannot be judged {beside}"
    return f"no model is worse {beside}" if verdict.accepted else f"worse {beside}"
