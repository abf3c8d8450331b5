"""The examination of a recipe: fitted without the last horizon, asked about it, beside everything a shop might use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from histories.clock import to_text
from histories.history import History
from histories.settings import Settings
from models.frame import Frame, rows, training_frame
from training import baselines, gates, judge, recipe
from training.backtest import Holdout, hold_out, until
from training.baselines import Columns
from training.judge import Answers, K, Scores, Truth
from training.recipe import Fitted, Frames
from training.tracking import MODELS, Release, Tracker
from training.verdict import Verdict, reach_verdict

Step = Callable[[str], None]


@dataclass(frozen=True)
class Examination:
    """`fitted` and `frame` are None where nobody had ordered by the cut."""

    holdout: Holdout
    fitted: Fitted | None
    frame: Frame | None
    methods: dict[str, Answers] = field(default_factory=dict)  # regulars and every baseline
    warnings: tuple[str, ...] = ()


def examine(
    history: History, as_of: int, horizon_days: int, settings: Settings, step: Step, frames: Frames = training_frame
) -> Examination:
    """`history` ends at as_of. Nothing after the cut can reach the fit: it is given a history that ends there."""
    holdout = hold_out(history, as_of, horizon_days, net=settings.value == "net")
    if not len(holdout.truth):
        return Examination(holdout, None, None)
    before = until(history, holdout.cut)
    fitted, frame = recipe.fit(before, holdout.cut, horizon_days, lambda stage: step(f"judge: {stage}"), frames)
    step("gates")
    warnings = pass_gates(history, frame, fitted, holdout, settings)
    step("judge: compare")
    methods = {judge.OURS: recipe.answers(fitted, holdout), **_baselines(before, frame, fitted, holdout)}
    return Examination(holdout, fitted, frame, methods, tuple(warnings))


def pass_gates(history: History, frame: Frame, fitted: Fitted, holdout: Holdout, settings: Settings) -> list[str]:
    """Raises Refused; returns warnings. `frame` was made of what was known at the cut.

    Attributes are held against the holdout, too: the release will be fitted on its labels.
    """
    gates.nothing_from_the_future(history, holdout.cut, lambda some, at: rows(some, at, fitted.encoder))
    labelled = frame.labelled
    gates.windows_inside(frame.as_of[labelled], holdout.cut, frame.window_days, history.zone)
    last, _ = rows(holdout.history, holdout.cut, fitted.encoder)
    table = gates.Labelled(
        np.concatenate([frame.X[labelled], last]),
        frame.names,
        np.concatenate([frame.as_of[labelled], np.full(len(last), holdout.cut)]),
        np.concatenate([frame.orders[labelled], holdout.truth.orders]),
    )
    return gates.no_telling_attribute(table, fitted.encoder.names, settings.allowed_attributes)


@dataclass(frozen=True)
class Judgement:
    """How a recipe stood in its examination, the champion beside it."""

    truth: Truth
    methods: Mapping[str, Answers]  # regulars, every baseline, and the champion where it could be asked
    scores: Scores
    verdict: Verdict


def judged(tracker: Tracker, release: str, examined: Examination, horizon_days: int, scratch: Path) -> Judgement:
    """Asks the champion about the same holdout, and reaches the verdict on a release that is yet to be made."""
    champion, methods, silent = tracker.champion(), dict(examined.methods), ""
    if champion and examined.fitted:
        theirs, silent = beside(tracker, champion, examined.holdout, horizon_days, scratch)
        methods |= {judge.CHAMPION: theirs} if theirs else {}
    truth, beside_whom = examined.holdout.truth, champion.id if champion else None
    verdict = reach_verdict(release, beside_whom, truth, methods, silent=silent, warnings=examined.warnings)
    return Judgement(truth, methods, judge.score(truth, methods), verdict)


def beside(
    tracker: Tracker, champion: Release, holdout: Holdout, horizon_days: int, scratch: Path
) -> tuple[Answers | None, str]:
    """The champion's answers about the holdout, or None and why it cannot give any.

    Asked is the champion itself if it was trained by the cut, else what its recipe made without its own last
    horizon, if that ended by the cut: never a model that has seen the holdout.
    """
    cut, tags = to_text(holdout.cut), champion.tags
    if tags.get("horizon_days") != str(horizon_days):
        return None, f"its horizon is {tags.get('horizon_days')} days, not {horizon_days}"
    if tags.get("as_of", "9") > cut and tags.get("judge_cut", "9") > cut:
        return None, f"it has seen what came after {cut}"
    try:
        return recipe.answers(fetch(tracker, champion, scratch, whole=tags["as_of"] <= cut), holdout), ""
    except (OSError, ValueError, KeyError) as problem:
        return None, str(problem)


def fetch(tracker: Tracker, release: Release, scratch: Path, *, whole: bool = True) -> Fitted:
    """A release's models: those registered, or those that its run fitted without the last horizon."""
    folder = scratch / "champion"
    folder.mkdir()
    if not whole:
        return Fitted.load(tracker.download(release, "judge", folder))
    for name in MODELS:
        tracker.download_model(release, name, folder / name)
    return Fitted.load(folder)


def _baselines(before: History, frame: Frame, fitted: Fitted, holdout: Holdout) -> dict[str, Answers]:
    X, names = rows(holdout.history, holdout.cut, fitted.encoder)
    now, days = Columns(X, names), holdout.truth.horizon_days
    found: dict[str, Answers] = {
        "last_year_rate": baselines.last_year_rate(now, days),
        "mean_gap": baselines.mean_gap(now),
        "recency_quartiles": baselines.recency_quartiles(now),
        **baselines.textbook(now, days),
        **_rankings(before, holdout),
    }
    last = _last_labelled(frame)
    if last is not None:
        then, lost = Columns(frame.X[last], frame.names), (frame.orders[last] == 0).astype(float)
        found["no_order_in_n_days"] = baselines.no_order_in_n_days(now, then, lost, days)
        found["rf_logistic"] = baselines.recency_frequency_logistic(now, then, lost)
    return found


def _last_labelled(frame: Frame) -> np.ndarray | None:
    """Rows of the latest cut-off whose labels are known."""
    known = frame.labelled
    return known & (frame.as_of == frame.as_of[known].max()) if known.any() else None


def _rankings(before: History, holdout: Holdout) -> dict[str, Answers]:
    buyers = np.flatnonzero(holdout.truth.has_basket)
    top = baselines.popular(before, holdout.cut, K)
    own = baselines.own_favourites(until(holdout.history, holdout.cut), buyers, top, K)
    lists = {"popularity": [top] * len(buyers), "own_favourites": own}
    return {
        name: dict(zip(("recall", "ndcg"), recipe.ranked(holdout, found), strict=True)) for name, found in lists.items()
    }
