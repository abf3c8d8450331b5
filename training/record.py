"""What a training writes into its run: what it was made of, how it stood, what it looks like."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from numpy.typing import NDArray

from histories.clock import to_text
from histories.history import History
from models.frame import Frame
from training import drift, plots, report
from training.examine import Examination, Judgement
from training.recipe import Fitted
from training.tracking import Run

_ROOT = Path(__file__).parent.parent


def beginning(run: Run, history: History, currency: str, share: float, tags: Mapping[str, str]) -> None:
    run.log({**_params(history, currency), "share_of_customers": share, **tags}, tags)


def figures(run: Run, found: Judgement, fitted: Fitted) -> None:
    drawn = plots.figures(found.truth, found.methods, found.scores, _importance(fitted), fitted.segments.table)
    run.log_figures(drawn)


def examined(run: Run, examination: Examination, tags: Mapping[str, str], scratch: Path) -> None:
    """The models fitted without the last horizon: a later run judges its challenger beside them."""
    if examination.fitted:
        examination.fitted.save(scratch / "judge", tags)
        run.log_folder("judge", scratch / "judge")


def findings(run: Run, found: Judgement, fitted: Fitted, frame: Frame) -> None:
    run.log_metrics(report.flat(found.scores))
    run.log_json("features.json", list(frame.names))
    run.log_json("segments.json", fitted.segments.table)
    run.log_json("reference.json", drift.reference(_population(frame, fitted)))
    run.log_json("scores.json", report.without_nan(found.scores))
    run.log_json("verdict.json", report.without_nan(found.verdict.to_json()))
    run.log_text("table.txt", report.table(found.scores, found.verdict))


def _params(history: History, currency: str) -> dict[str, object]:
    times = history.lines.occurred_at
    return {
        "zone": history.zone,
        "currency": currency,
        "customers": len(history),  # the sample, if there were more
        "lines": len(times),
        "events": len(history.events.occurred_at),
        "products": len(history.catalog),
        "first_line": to_text(times.min()),
        "last_line": to_text(times.max()),
        "code": _commit(),
    }


def _population(frame: Frame, fitted: Fitted) -> dict[str, NDArray]:
    """The customers at as_of as the release sees them."""
    latest = frame.X[frame.latest]
    return drift.population(
        fitted.churn, fitted.customer_value, fitted.segments, latest, frame.names, int(frame.as_of[-1])
    )


def _importance(fitted: Fitted) -> dict[str, list[tuple[str, float]]]:
    """Per model that learned with trees: features by their share of the gain, the largest first."""
    gains = {"churn": fitted.churn.importance(), "customer_value": fitted.customer_value.importance()}
    return {model: _shares(gain) for model, gain in gains.items() if sum(gain.values()) > 0}


def _shares(gain: Mapping[str, float]) -> list[tuple[str, float]]:
    total = sum(gain.values())
    return sorted(((name, value / total) for name, value in gain.items()), key=lambda pair: -pair[1])


def _commit() -> str:
    """The git commit of this code, with + if the tree has changes; nothing outside a repository."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"],
            cwd=_ROOT, capture_output=True, text=True, timeout=10, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
