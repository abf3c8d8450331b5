"""The work of batch scoring: parts of some thousand customers each, made by as many processes as there are cores."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from typing import Final

from histories.settings import Settings
from histories.storage.erasure import masked_rows
from histories.storage.store import Store
from service.ask import Moment
from service.parts import Parts
from service.release import Release
from service.scoring import score_table

Some = tuple[str, str] | list[str]  # customers from one id to another, or of these ids
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

    def make(self, number: int, some: Some) -> None:
        """The part of some customers, whole, on disk."""
        history = self.store.of(some) if isinstance(some, list) else self.store.between(*some)
        moment = Moment(self.job.as_of, self.job.live)
        self.parts.put(number, score_table(history, self.release, moment, self.job.k))


def make_parts(job: Job, here: Scorer, workers: int | None, progress: Progress) -> list[Path]:
    """Make the parts that are not there yet; the paths of all, in the order of the customers."""
    whose, customers = _divided(job, here.store)
    missing = [number for number in range(len(whose)) if not here.parts.path(number).exists()]
    done = len(whose) - len(missing)
    progress(min(done * CHUNK, customers), customers)
    for _ in _made(job, here, whose, missing, workers or os.cpu_count() or 1):
        done += 1
        progress(min(done * CHUNK, customers), customers)
    return [here.parts.path(number) for number in range(len(whose))]


def _divided(job: Job, store: Store) -> tuple[Sequence[Some], int]:
    """Whom each part is of, and how many they are in all. Where there is nobody, one part says so."""
    if job.since is None:
        return store.ranges(CHUNK), store.counts("customers")["customers"]
    ids = store.learned_since(job.since)
    return [ids[first : first + CHUNK] for first in range(0, max(len(ids), 1), CHUNK)], len(ids)


def _made(job: Job, here: Scorer, whose: Sequence[Some], missing: list[int], workers: int) -> Iterator[int]:
    """Numbers of parts as they come into being."""
    if workers == 1 or len(missing) < _FEW:
        for number in missing:
            here.make(number, whose[number])
            yield number
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, spawn, _begin, (job,)) as pool:
        try:
            running = {pool.submit(_make, number, whose[number]): number for number in missing}
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


def _make(number: int, some: Some) -> None:
    assert _scorer is not None
    _scorer.make(number, some)


def _end_with_parent() -> None:
    """A parent that was killed cannot tell its children; they would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
