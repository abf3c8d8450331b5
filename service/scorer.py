"""The work of batch scoring: parts of some thousand customers each, made by as many processes as there are cores."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from histories.erasure import masked_rows
from histories.history import History
from histories.selection import of_customers
from histories.settings import Settings
from histories.store import Store
from service.ask import Moment
from service.parts import Parts
from service.release import Release
from service.scoring import score_table

Range = tuple[str, str]  # customer ids, inclusive
CHUNK: Final = 10_000  # customers of a part, which bounds what a process holds
_FEW: Final = 4  # parts that are made before other processes would have started
Progress = Callable[[int, int], None]  # customers scored, customers in all


@dataclass(frozen=True)
class Job:
    """All that a process has to know to make a part. Instants in us."""

    settings: Settings
    release: Path
    parts: Path
    as_of: int
    live: bool
    since: int | None
    k: int


class Scorer:
    """Makes parts, in this process."""

    def __init__(self, job: Job, store: Store, release: Release) -> None:
        self.job, self.store, self.release, self.parts = job, store, release, Parts(job.parts)
        release.next_purchase.forget(masked_rows(store, release.id))

    @classmethod
    def of(cls, job: Job) -> Scorer:
        return cls(job, Store.open(job.settings.store, job.settings), Release.load(job.release))

    def make(self, number: int, between: Range) -> None:
        """The part of some customers, whole, on disk."""
        history = self.store.between(*between)
        if self.job.since is not None:
            history = of_customers(history, np.flatnonzero(_changed(history, self.job.since)))
        moment = Moment(self.job.as_of, self.job.live)
        self.parts.put(number, score_table(history, self.release, moment, self.job.k))


def _changed(history: History, since: int) -> NDArray[np.bool_]:
    """(customers,): of whom a line or an event was recorded at or after an instant."""
    changed = np.zeros(len(history), dtype=bool)
    for table in (history.lines, history.events):
        owner = np.repeat(np.arange(len(history)), np.diff(table.offsets))
        changed[owner[table.recorded_at >= since]] = True
    return changed


def make_parts(job: Job, here: Scorer, workers: int | None, progress: Progress) -> list[Path]:
    """Make the parts that are not there yet; the paths of all, in the order of the customers."""
    ranges = here.store.ranges(CHUNK)
    missing = [number for number in range(len(ranges)) if not here.parts.path(number).exists()]
    done, customers = len(ranges) - len(missing), here.store.counts("customers")["customers"]
    progress(min(done * CHUNK, customers), customers)
    for _ in _made(job, here, ranges, missing, workers or os.cpu_count() or 1):
        done += 1
        progress(min(done * CHUNK, customers), customers)
    return [here.parts.path(number) for number in range(len(ranges))]


def _made(job: Job, here: Scorer, ranges: list[Range], missing: list[int], workers: int) -> Iterator[int]:
    """Numbers of parts as they come into being."""
    if workers == 1 or len(missing) < _FEW:
        for number in missing:
            here.make(number, ranges[number])
            yield number
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, spawn, _begin, (job,)) as pool:
        try:
            running = {pool.submit(_make, number, ranges[number]): number for number in missing}
            for future in as_completed(running):
                future.result()
                yield running[future]
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


_scorer: Scorer | None = None  # of a process of the pool


def _begin(job: Job) -> None:
    global _scorer
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _scorer = Scorer.of(job)


def _make(number: int, between: Range) -> None:
    assert _scorer is not None
    _scorer.make(number, between)


def _end_with_parent() -> None:
    """A parent that was killed cannot tell its children; they would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
