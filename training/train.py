"""Training: from the store to a registered challenger, in the order it happens."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from numpy.typing import NDArray

from histories.clock import to_text
from histories.erasure import note_training
from histories.errors import BadInput
from histories.history import PURCHASE, History
from histories.settings import Settings
from histories.store import Store
from models.frame import Frame, training_frame
from models.mlflow_loader import example
from training import drift, judge, plots, recipe, report
from training.backtest import until
from training.examine import beside, examine
from training.judge import Scores
from training.tracking import MODELS, Release, Run, Tracker
from training.verdict import Verdict, reach_verdict

Progress = Callable[[str, int, int], None]  # stage that begins, stages done, stages in all
_STAGES = (
    "load", *(f"judge: {stage}" for stage in recipe.STAGES), "gates", "judge: compare", *recipe.STAGES,
    "plots", "register",
)  # fmt: skip
MOST_CUSTOMERS = 100_000  # benchmarks.sampling asks whether more would make better models
SAMPLE_SEED = 1  # the same customers at every training, so that releases differ by what happened, not by whom they saw
_ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Training:
    """What a training made: the release, and how it stood beside the others."""

    release: Release
    scores: Scores
    verdict: Verdict
    seconds: Mapping[str, float]  # by stage

    @property
    def id(self) -> str:
        return self.release.id

    def table(self) -> str:
        return report.table(self.scores, self.verdict)


def train(
    store: Store,
    settings: Settings,
    *,
    horizon_days: int | None = None,
    as_of: int | None = None,
    progress: Progress = lambda stage, done, total: None,
    frames: recipe.Frames = training_frame,
) -> Training:
    """Judge the recipe on the last horizon, refit it on all data, register the four models as challenger.

    as_of is an inclusive instant, by default that of the newest line. Raises BadInput where nobody has ordered
    yet, and gates.Refused; then, as after any failure, the registry is as it was.
    """
    days, watch = horizon_days or settings.horizon_days, _Watch(progress)
    frames = partial(frames, net=settings.value == "net")
    watch.step("load")
    made_of = facts(store, settings, days)  # before the data are read: what comes in between is news next time
    history, as_of, share = _load(store, as_of)
    tracker = Tracker(settings.tracking_uri)
    with tracker.run(f"{days} days") as run, tempfile.TemporaryDirectory() as scratch:
        release, folder = f"{datetime.now(UTC):%Y-%m-%d}-{run.run_id[:6]}", Path(scratch)
        tags = made_of | {"as_of": to_text(as_of)}
        run.log(_params(history, store.currency) | {"share_of_customers": share} | tags, tags)

        examined = examine(history, as_of, days, settings, watch.step, frames)
        champion, methods, silent = tracker.champion(), dict(examined.methods), ""
        if champion and examined.fitted:
            theirs, silent = beside(tracker, champion, examined.holdout, days, folder)
            methods |= {judge.CHAMPION: theirs} if theirs else {}
        truth = examined.holdout.truth
        scores = judge.score(truth, methods)
        verdict = reach_verdict(
            release, champion.id if champion else None, truth, methods, silent=silent, warnings=examined.warnings
        )

        fitted, frame = recipe.fit(history, as_of, days, watch.step, frames)
        fitted = fitted.of_a_share(share)
        watch.step("plots")
        run.log_figures(plots.figures(truth, methods, scores, _importance(fitted), fitted.segments.table))
        watch.step("register")
        tags |= {"judge_cut": to_text(examined.holdout.cut), "grades": _grades(verdict)}
        if examined.fitted:
            examined.fitted.save(folder / "judge", tags)
            run.log_folder("judge", folder / "judge")
        _log_findings(run, frame, fitted, scores, verdict)
        assert fitted.next_purchase.pool_row is not None
        note_training(store, release, history.customer_id.tolist(), fitted.next_purchase.pool_row)
        saved = fitted.save(folder / "models", _shop(release, store, days, tags, frame))
        examples = {name: example(saved[name], frame) for name in MODELS}
        registered = run.register(release, saved, examples, tags)
    return Training(registered, scores, verdict, watch.seconds())


def facts(store: Store, settings: Settings, horizon_days: int) -> dict[str, str]:
    """What a release is made of; a training with the same facts would make the same models again."""
    return {
        "data_digest": store.digest(),
        "recipe_digest": _recipe_digest(),
        "horizon_days": str(horizon_days),
        "value": settings.value,
    }


def sampled_share(store: Store) -> float:
    """Of the customers, at whom a training looks."""
    return min(1.0, MOST_CUSTOMERS / max(store.counts("customers")["customers"], 1))


def _load(store: Store, as_of: int | None) -> tuple[History, int, float]:
    """The history of those who allow training, or of a share of them in a big shop, as known at as_of; the share."""
    span = store.span()
    share = sampled_share(store)
    history = store.sample(share, purpose="training", seed=SAMPLE_SEED)
    if span is None or not (history.lines.kind == PURCHASE).any():
        raise BadInput("nobody has ordered yet: import order lines first (regulars import --orders FILE)")
    as_of = span[1] if as_of is None else as_of
    if as_of < span[0]:
        raise BadInput(f"as_of {to_text(as_of)} is before the first line, {to_text(span[0])}")
    known = until(history, as_of)
    if not (known.lines.kind == PURCHASE).any():
        raise BadInput(f"no order was known at {to_text(as_of)}: every one was recorded later; give a later as_of")
    return known, as_of, share


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


def _shop(release: str, store: Store, horizon_days: int, tags: Mapping[str, str], frame: Frame) -> dict[str, object]:
    """What a model folder says of itself, beside the model."""
    return {
        "release": release,
        "as_of": tags["as_of"],
        "horizon_days": horizon_days,
        "zone": store.zone,
        "currency": store.currency,
        "value": tags["value"],
        "row": list(frame.names),
        "grades": tags["grades"],
    }


def _log_findings(run: Run, frame: Frame, fitted: recipe.Fitted, scores: Scores, verdict: Verdict) -> None:
    run.log_metrics(report.flat(scores))
    run.log_json("features.json", list(frame.names))
    run.log_json("segments.json", fitted.segments.table)
    run.log_json("reference.json", drift.reference(_population(frame, fitted)))
    run.log_json("scores.json", report.without_nan(scores))
    run.log_json("verdict.json", report.without_nan(verdict.to_json()))
    run.log_text("table.txt", report.table(scores, verdict))


def _population(frame: Frame, fitted: recipe.Fitted) -> dict[str, NDArray]:
    """The customers at as_of as the release sees them."""
    latest = frame.X[frame.latest]
    return drift.population(
        fitted.churn, fitted.customer_value, fitted.segments, latest, frame.names, int(frame.as_of[-1])
    )


def _importance(fitted: recipe.Fitted) -> dict[str, list[tuple[str, float]]]:
    """Per model that learned with trees: features by their share of the gain, the largest first."""
    gains = {"churn": fitted.churn.importance(), "customer_value": fitted.customer_value.importance()}
    return {model: _shares(gain) for model, gain in gains.items() if sum(gain.values()) > 0}


def _shares(gain: Mapping[str, float]) -> list[tuple[str, float]]:
    total = sum(gain.values())
    return sorted(((name, value / total) for name, value in gain.items()), key=lambda pair: -pair[1])


def _grades(verdict: Verdict) -> str:
    return ", ".join(f"{model} {grade}" for model, grade in verdict.grades.items())


def _recipe_digest() -> str:
    """Digest of the sources that decide what is learned."""
    digest = hashlib.sha256()
    for folder in ("features", "models"):
        for file in sorted((_ROOT / folder).rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


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


class _Watch:
    """Tells the caller each stage as it begins, and keeps how long each took."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._begun = progress, [("", time.perf_counter())]

    def step(self, stage: str) -> None:
        self._progress(stage, len(self._begun) - 1, len(_STAGES))
        self._begun.append((stage, time.perf_counter()))

    def seconds(self) -> dict[str, float]:
        ends = [begun for _, begun in self._begun[2:]] + [time.perf_counter()]
        return {stage: round(end - at, 2) for (stage, at), end in zip(self._begun[1:], ends, strict=True)}
