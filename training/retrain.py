"""Retraining: from what is new in the store to a champion, in one run that can be repeated."""

from __future__ import annotations

from dataclasses import dataclass

from histories.settings import Settings
from histories.storage.store import Store
from training.promote import promote
from training.tracking import Tracker
from training.train import Progress, facts, train


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
