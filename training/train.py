"""Training: from the store to a registered challenger, in the order it happens."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from histories.clock import to_text
from histories.errors import BadInput
from histories.history import PURCHASE, History
from histories.settings import Settings
from histories.storage.erasure import note_training
from histories.storage.store import Store
from models.frame import Frame, training_frame
from models.mlflow_loader import example
from training import recipe, record, report
from training.backtest import until
from training.examine import examine, judged
from training.judge import Scores
from training.tracking import MODELS, Release, Run, Tracker
from training.verdict import Verdict

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
    yet, and Refused by a gate; then, as after any failure, the registry is as it was.
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
        record.beginning(run, history, store.currency, share, tags)
        examined = examine(history, as_of, days, settings, watch.step, frames)
        found = judged(tracker, release, examined, days, folder)
        fitted, frame = recipe.fit(history, as_of, days, watch.step, frames)
        fitted = fitted.of_a_share(share)
        watch.step("plots")
        record.figures(run, found, fitted)
        watch.step("register")
        tags |= {"judge_cut": to_text(examined.holdout.cut), "grades": found.verdict.grades_in_words}
        record.examined(run, examined, tags, folder)
        record.findings(run, found, fitted, frame)
        _note_people(store, release, history, fitted)
        registered = _register(run, release, fitted, frame, _shop(release, store, days, tags, frame), tags, folder)
    return Training(registered, found.scores, found.verdict, watch.seconds())


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


def _recipe_digest() -> str:
    """Digest of the sources that decide what is learned."""
    digest = hashlib.sha256()
    for folder in ("features", "models"):
        for file in sorted((_ROOT / folder).rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def _note_people(store: Store, release: str, history: History, fitted: recipe.Fitted) -> None:
    assert fitted.next_purchase.pool_row is not None
    note_training(store, release, history.customer_id.tolist(), fitted.next_purchase.pool_row)


def _register(
    run: Run,
    release: str,
    fitted: recipe.Fitted,
    frame: Frame,
    shop: Mapping[str, object],
    tags: Mapping[str, str],
    folder: Path,
) -> Release:
    saved = fitted.save(folder / "models", shop)
    examples = {name: example(saved[name], frame) for name in MODELS}
    return run.register(release, saved, examples, tags)


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
