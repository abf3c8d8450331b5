"""Promotion: the champion alias of all four models moves to a release whose verdict allows it."""

from __future__ import annotations

import fcntl
import getpass
import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from histories.errors import BadInput, Refused
from histories.settings import Settings
from training.tracking import Release, Tracker
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
