"""What `regulars outcomes` says, draws, and leaves with the release's run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from histories.clock import DAY, to_text
from training import plots
from training.drift import Drift
from training.judge import OURS
from training.outcomes import FAR, Judged, Outcomes, is_far
from training.tracking import Tracker

_HEADS = {
    "customers": "customers", "churn_forecast": "churn said", "churn_observed": "came", "ece": "ece", "auc": "auc",
    "gain_at_10": "gain@10%", "spend_bias": "spend bias", "orders_bias": "orders bias", "coverage_80": "in 80%",
    "hit_rate": "hit rate",
}  # fmt: skip
_SHOWN = 15


def text(found: Outcomes) -> str:
    parts = ["\n".join(_table(each)) for each in found.judged]
    parts += ["\n".join(found.waiting)] if found.waiting else []
    parts += ["\n".join(_drift_lines(found))] if found.drifts else []
    return "\n\n".join(parts)


def _table(judged: Judged) -> list[str]:
    head = f"release {judged.release}, scores of {to_text(judged.as_of)}, the {judged.horizon_days} days since"
    lines = [f"{head}: {judged.left_out:,} rows left out", f"{'':<14}" + "".join(f"{h:>12}" for h in _HEADS.values())]
    for segment, measures in judged.by_segment.items():
        cells = (_cell(name, measures.get(name, math.nan)) for name in _HEADS)
        lines.append(f"{segment:<14}" + "".join(f"{cell:>12}" for cell in cells))
    return lines


def _cell(name: str, value: float) -> str:
    if math.isnan(value):
        return "-"
    if name == "customers":
        return f"{value:,.0f}"
    return f"{value:+.1%}" if name.endswith("bias") else f"{value:.3f}"


def _drift_lines(found: Outcomes) -> list[str]:
    far = [each for each in found.drifts if is_far(each)]
    scores = [each for each in found.drifts if each.column.startswith("score/")]
    lines = [
        f"drift since the training of release {found.release}: {len(far)} of {len(found.drifts)} columns beyond "
        f"PSI {FAR} and chance"
    ]
    return lines + [
        f"  {each.column:<28} PSI {each.psi:.3f} (chance alone stays below {each.noise:.3f})"
        for each in [*scores, *(each for each in far if each not in scores)][:_SHOWN]
    ]


def figures(judged: Judged) -> dict[str, Figure]:
    methods = {OURS: judged.answers}
    return {
        "calibration": plots.calibration(judged.truth, methods),
        "gain": plots.gain(judged.truth, methods),
        "value_by_decile": plots.value_by_decile(judged.truth, methods),
        "segments": by_segment(judged),
    }


def by_segment(judged: Judged) -> Figure:
    """Churn as forecast and as it came, and the bias of spend, per segment."""
    names = [name for name, measures in judged.by_segment.items() if measures][::-1]
    of = [judged.by_segment[name] for name in names]
    figure = Figure(figsize=(10, 0.45 * len(names) + 1.8), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    at = np.arange(len(names))
    left.hlines(at, [m["churn_forecast"] for m in of], [m["churn_observed"] for m in of], color="#9a9a9a", lw=1)
    left.plot([m["churn_forecast"] for m in of], at, "o", color="#1f5fa8", label="forecast")
    left.plot([m["churn_observed"] for m in of], at, "D", color="#d07a1f", ms=5, label="came")
    left.set(yticks=at, yticklabels=[f"{n} ({m['customers']:,.0f})" for n, m in zip(names, of, strict=True)])
    left.xaxis.set_major_formatter(PercentFormatter(1))
    plots.titled(left, f"Share without an order in {judged.horizon_days} days")
    left.legend(frameon=False, fontsize=8)
    right.barh(at, [m["spend_bias"] for m in of], 0.5, color="#1f5fa8")
    right.axvline(0, color="#9a9a9a", lw=1)
    right.xaxis.set_major_formatter(PercentFormatter(1))
    plots.titled(right, "Spend: forecast over what came, less one")
    return figure


def drift_bars(drifts: Sequence[Drift], release: str) -> Figure:
    """The columns that moved furthest, beside what chance would show."""
    shown = list(drifts[:_SHOWN])[::-1]
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes, at = figure.subplots(), np.arange(len(shown))
    axes.barh(at, [each.psi for each in shown], color=["#d07a1f" if is_far(each) else "#1f5fa8" for each in shown])
    axes.plot([each.noise for each in shown], at, "|", color="black", ms=12, label="chance stays below")
    axes.axvline(FAR, color="#9a9a9a", ls="--", lw=1, label=f"far: {FAR}")
    axes.set(yticks=at, yticklabels=[each.column for each in shown], xlabel="population stability index")
    plots.titled(axes, f"Drift since the training of release {release}")
    axes.legend(frameon=False, loc="lower right", fontsize=8)
    return figure


def keep(found: Outcomes, tracker: Tracker, folder: Path | None = None) -> None:
    """Metrics and figures to each release's run, and the figures into a folder."""
    for each in found.judged:
        named = {f"outcomes/{segment}/{name}": value
                 for segment, measures in each.by_segment.items() for name, value in measures.items()}  # fmt: skip
        _keep(tracker, each.release, named, figures(each), each.as_of, "outcomes", folder)
    if found.drifts and found.release:
        named = {f"drift/{each.column}": each.psi for each in found.drifts}
        drawn = {"drift": drift_bars(found.drifts, found.release)}
        _keep(tracker, found.release, named, drawn, found.as_of, "drift", folder)


def _keep(
    tracker: Tracker, name: str, metrics: dict[str, float], drawn: dict[str, Figure], at: int, what: str,
    folder: Path | None,
) -> None:  # fmt: skip
    release = tracker.release(name)
    assert release is not None
    day = to_text(at)[:10]
    tracker.add(release, metrics, drawn, f"{what}/{day}", step=at // DAY)
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        for title, figure in drawn.items():
            figure.savefig(folder / f"{name}-{day}-{title}.png", dpi=110)
