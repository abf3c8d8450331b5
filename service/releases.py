"""The release in service, and its replacement while requests go on."""

from __future__ import annotations

import gc
import json
import logging
import math
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Final

from histories.clock import to_text
from histories.errors import Refused
from service.clock import wall
from service.errors import Problem, of_database
from service.metrics import Metrics
from service.probation import Probation
from service.release import Release
from service.schemas import Refusal
from service.shelf import Shelf

_LOOK_SECONDS: Final = 0.5  # between looks at the shelf: one small file
_FIRST_WORD_SECONDS: Final = 20.0  # how long a start waits for the registry when an older release could be served
_HOLD_SECONDS: Final = 15.0  # that a new worker takes no connections for want of a release
# For the garbage collector: what is young is looked at in half a millisecond, and hardly anything of it grows old.
_YOUNG: Final = (1_000, 20, 50)

_log = logging.getLogger("regulars")


class Releases:
    """Follows the shelf. A swap replaces one reference: requests under way end with the release they began with."""

    def __init__(
        self, shelf: Shelf, metrics: Metrics, attempt: Callable[[Release], None], budget: float = math.inf
    ) -> None:
        """`attempt` tries a release on real customers before it is served; raises Refused.

        `budget`: seconds of computing that an answer may take, in the median of a release's first answers.
        """
        self.shelf = shelf
        self.metrics = metrics
        self.current: Release | None = None
        self.since: int | None = None
        self._attempt = attempt
        self._budget = budget
        self._probation: Probation | None = None
        self._too_slow: Release | None = None  # left a moment ago, and not yet reported
        self._looked = threading.Event()
        self._stop = threading.Event()
        self._registry: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin to follow the registry; returns once a release is served, or it is clear that there is none yet.

        Until then the worker takes no connections: those that come go to the workers beside it. What takes longer than
        _HOLD_SECONDS goes on beside the requests. The worker is ready when `current` is set.
        """
        began = time.time()
        self._watch_registry()
        threading.Thread(target=self._follow, args=(began,), name="releases", daemon=True).start()
        self._looked.wait(_HOLD_SECONDS)

    def close(self) -> None:
        self._stop.set()
        if self._registry is not None:
            self._registry.kill()  # it may hang on the registry; what it writes, it writes in one step
            self._registry.wait()

    @property
    def refusal(self) -> Refusal | None:
        """The last one on this host, by whichever worker."""
        last = self.shelf.last_refusal()
        return None if last is None else Refusal(release=last["release"], reason=last["reason"], at=last["at"])

    def serving(self) -> Release:
        """The release to answer with; Problem 503 while there is none."""
        release = self.current
        if release is None:
            raise Problem(
                503, f"there is no release to answer with: {self.waiting() or 'still loading'}", retry_after=5
            )
        return release

    def waiting(self) -> str | None:
        """Why the registry names no release, in words; None when it does."""
        waiting = self.shelf.said()["waiting"]
        return None if waiting is None else str(waiting)

    def take(self, release: str) -> bool:
        """Load, check and try a release of the shelf, then serve it; whether it is served.

        One that was refused is not tried again, by this worker or another, now or after a restart.
        """
        if self.shelf.refused(release):
            return False
        try:
            loaded = Release.load(self.shelf.path(release))
            self._attempt(loaded)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, the old one stays
            if of_database(error):  # the store's failure says nothing of the release: it is tried again
                _log.error(json.dumps({"event": "trial_failed", "error": type(error).__name__}))
            else:
                self._refuse(release, error)
            return False
        _settle(first=self.current is None)
        self._probation = None if self.current is None else Probation(self.current, self._budget)
        self._serve(loaded)
        self._tell_served(release)
        return True

    def took(self, release: Release, seconds: float) -> None:
        """An answer took so long to compute. A release that turns out slow is left at once for the one before."""
        probation = self._probation
        if probation is None or release is not self.current:
            return
        probation.note(seconds)
        if probation.failed:
            self._too_slow = release
            self._serve(probation.before)
        if probation.failed or probation.over:
            self._probation = None

    def look(self) -> None:
        """Take the release that the registry names, unless it is the one in service."""
        self._report_slow()
        named = self.shelf.said()["release"]
        if named is None or (self.current is not None and self.current.id == named):
            return
        if not self.take(named) and self.current is None:
            last = self.shelf.last_served()
            if last is not None and last != named:
                self.take(last)

    def _serve(self, release: Release) -> None:
        self.current, self.since = release, wall()

    def _tell_served(self, release: str) -> None:
        self.shelf.served(release)
        self.metrics.served(release)
        _log.info(json.dumps({"event": "release_served", "release": release}))

    def _report_slow(self) -> None:
        """Beside the requests, since it writes files: so that it is not tried again, here or after a restart."""
        slow, current = self._too_slow, self.current
        if slow is not None and current is not None:
            allowed = f"more than the {self._budget * 1e3:.0f} ms allowed"
            self._refuse(slow.id, Refused(f"it was slow in service: most answers took {allowed}"))
            self._tell_served(current.id)
            self._too_slow = None

    def _refuse(self, release: str, error: Exception) -> None:
        reason = str(error) if isinstance(error, Refused) else f"it failed its trial: {type(error).__name__}"
        self.shelf.refuse(release, {"release": release, "reason": reason, "at": to_text(wall())})
        self.metrics.refused()
        _log.error(json.dumps({"event": "release_refused", "release": release, "reason": reason}))

    def _follow(self, began: float) -> None:
        self._first_word(began)
        while not self._stop.is_set():
            try:
                self._watch_registry()
                self.look()
                self._looked.set()
            except OSError as error:  # a disk that is full, or a folder that cannot be read: it may pass
                _log.error(json.dumps({"event": "shelf_failed", "error": type(error).__name__}))
            self._stop.wait(_LOOK_SECONDS)

    def _watch_registry(self) -> None:
        """Start the process that asks the registry, or another where it has ended."""
        if self._registry is None or self._registry.poll() is not None:
            self._registry = subprocess.Popen([sys.executable, "-m", "service.registry"], stdin=subprocess.PIPE)

    def _first_word(self, began: float) -> None:
        """Wait for the registry's word before an older release is served; without it, the last good one must do."""
        while self.shelf.said()["checked_at"] < began and not self._stop.wait(0.1):
            if self.shelf.unreachable_at() >= began or time.time() - began > _FIRST_WORD_SECONDS:
                last = self.shelf.last_served()
                if last is not None:
                    self.take(last)
                return


def _settle(*, first: bool) -> None:
    """What is loaded now stays: the garbage collector need not walk it, in the middle of a request, ever again."""
    if first:
        gc.collect()
        gc.set_threshold(*_YOUNG)
    gc.freeze()
