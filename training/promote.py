"""Promotion: the champion alias of all four models moves to a release whose verdict allows it."""

from __future__ import annotations

import fcntl
import getpass
import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from histories.errors import BadInput
from histories.settings import Settings
from histories.store import Store
from training.gates import Refused
from training.tracking import Release, Tracker
from training.train import Progress, facts, train
from training.verdict import Verdict


def promote(settings: Settings, release: str | None = None, *, force: bool = False) -> Verdict:
    """Make a release (default: the newest) champion; a release that has been champion before may always return.

    Raises BadInput for a release that is not there, Refused where its verdict is not good enough; `force`
    promotes regardless. Promotions of one registry wait for each other.
    """
    tracker = Tracker(settings.tracking_uri)
    with _one_at_a_time(tracker):
        chosen = tracker.release(release) if release else tracker.newest()
        if chosen is None:
            raise BadInput(f"there is no release {release}" if release else "there is no release: run regulars train")
        verdict = Verdict.from_json(tracker.read_json(chosen, "verdict.json"))
        champion = tracker.champion()
        if champion and champion.id == chosen.id:
            return verdict
        if not force:
            _check(tracker, chosen, champion, verdict)
        _switch(tracker, chosen, champion)
        return verdict


@dataclass(frozen=True)
class Retrained:
    release: str
    new: bool  # trained now; otherwise the data, the code and the settings were those of an earlier release
    promoted: bool

    def __str__(self) -> str:
        made = f"trained release {self.release}" if self.new else f"nothing new since release {self.release}"
        return f"{made}; {'promoted' if self.promoted else 'it was champion already'}"


def retrain(store: Store, settings: Settings, *, progress: Progress = lambda stage, done, total: None) -> Retrained:
    """Train, gate and promote if data, code or settings changed since the newest release; else finish its promotion.

    Running it again changes nothing. Raises Refused, naming the release that stays challenger.
    """
    tracker = Tracker(settings.tracking_uri)
    newest, wanted = tracker.newest(), facts(store, settings, settings.horizon_days)
    same = newest and all(newest.tags.get(key) == value for key, value in wanted.items())
    release = newest.id if newest and same else train(store, settings, progress=progress).id
    champion = tracker.champion()
    if champion and champion.id == release:
        return Retrained(release, new=not same, promoted=False)
    promote(settings, release)
    return Retrained(release, new=not same, promoted=True)


def _check(tracker: Tracker, chosen: Release, champion: Release | None, verdict: Verdict) -> None:
    if "promoted_at" in chosen.tags or champion is None:
        return
    reason = _objection(champion, verdict)
    if reason:
        tracker.tag_release(chosen, {"refused": reason})
        raise Refused(f"release {chosen.id} is not promoted: {reason}")


def _objection(champion: Release, verdict: Verdict) -> str:
    if verdict.champion != champion.id:
        return (
            f"it was judged beside {verdict.champion or 'no champion'}, the champion is {champion.id} now; train again"
        )
    return "" if verdict.accepted else "; ".join(verdict.reasons)


def _switch(tracker: Tracker, chosen: Release, champion: Release | None) -> None:
    """Aliases before labels: a kill in between leaves a champion that is only described late."""
    tracker.make_champion(chosen)
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    tracker.tag_release(chosen, {"promoted_at": now})
    if champion:
        tracker.tag_release(champion, {"replaced_at": now, "replaced_by": chosen.id})


@contextmanager
def _one_at_a_time(tracker: Tracker) -> Iterator[None]:
    """A file lock: beside the database, or for a server among this host's temporary files."""
    folder = tracker.folder or Path(tempfile.gettempdir()) / f"regulars-{getpass.getuser()}"
    folder.mkdir(parents=True, exist_ok=True)
    name = f".promote-{hashlib.sha256(tracker.uri.encode()).hexdigest()[:12]}.lock"
    with (folder / name).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
