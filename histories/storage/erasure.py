"""Erasing a person everywhere that the store knows of: its own rows, batch outputs, and what releases hold."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from histories.storage import outputs, privacy, trainings
from histories.storage.access import Access
from histories.storage.database import forget_log
from histories.storage.outputs import Erased, Output


@dataclass(frozen=True, slots=True)
class Erasure:
    """What became of an erasure, beside the store's own rows, which are gone."""

    releases: tuple[str, ...]  # that were trained on the person, oldest first
    outputs: tuple[str, ...]  # batch outputs that hold nothing of the person any more
    outputs_left: tuple[str, ...]  # those that could not be rewritten; tried again at every later erasure


def erase(store: Access, customer_id: str) -> Erasure | None:
    """None when unknown. Raises BadInput without settings.erasure_key, or with another than before."""
    with store.writing() as connection:
        names = privacy.erase(connection, store.settings, customer_id)
        if not names:
            return None
        hashes = [privacy.keyed_hash(privacy.key_of(store.settings), name) for name in names]
        releases = trainings.trained_on(connection, hashes)
        held = outputs.known(connection)
    forget_log(store.engine)
    gone = frozenset(names)
    left = {each.place: _erase_from(store, each, lambda ids: [name in gone for name in ids]) for each in held}
    return Erasure(
        releases=tuple(releases),
        outputs=tuple(place for place, some in left.items() if not some),
        outputs_left=tuple(place for place, some in left.items() if some),
    )


def note_output(store: Access, place: str, release: str, as_of: int, *, began: int) -> None:
    """To be called when a batch output has been written by a run that began at `began` (us, the wall clock's)."""
    with store.writing(news=False) as connection:
        due = outputs.note(connection, place, release, as_of, began)
    if due:
        _erase_from(store, Output(place, release, as_of, due), lambda ids: [])


@contextmanager
def noting(store: Access, place: str, release: str = outputs.NO_RELEASE, as_of: int | None = None) -> Iterator[None]:
    """Around the writing of an output: noted before, since a killed run leaves persons there, and after it."""
    began = time.time_ns() // 1000
    note = partial(note_output, store, place, release, began if as_of is None else as_of, began=began)
    note()
    yield
    note()


def forget_output(store: Access, place: str) -> None:
    """Of an output that is gone."""
    with store.writing(news=False) as connection:
        outputs.settle(connection, place, None)


def note_training(store: Access, release: str, customer_ids: Sequence[str], rows: NDArray[np.int32]) -> None:
    """Who a release was trained on, and their rows in it (-1 without one); nothing is kept without an erasure key."""
    key = privacy.key_of(store.settings)
    if key:
        with store.writing(news=False) as connection:
            trainings.note(connection, release, [privacy.keyed_hash(key, name) for name in customer_ids], rows)


def masked_rows(store: Access, release: str) -> NDArray[np.int32]:
    """The rows of a release that are of persons erased since it was trained."""
    with store.snapshot() as connection:
        return trainings.rows_of(connection, release, sorted(privacy.erased(connection)))


def _erase_from(store: Access, output: Output, erased: Erased) -> bool:
    """Whether somebody may be left in the output. One that is due is searched for everybody ever erased."""
    left = outputs.erase_from(output.place, EverErased.of(store) if output.due else erased)
    if left is not output.due:
        with store.writing(news=False) as connection:
            outputs.settle(connection, output.place, left)
    return bool(left)


@dataclass(frozen=True, slots=True)
class EverErased:
    """Knows by their ids whom a store has erased, wherever it travels; `key` is the secret of the hashes."""

    key: bytes | None = field(repr=False)
    hashes: frozenset[str]

    @classmethod
    def of(cls, store: Access) -> EverErased:
        """Raises BadInput where somebody was erased and settings.erasure_key is missing, or another."""
        with store.snapshot() as connection:
            return cls(privacy.key_of(store.settings), privacy.tombstones(connection, store.settings))

    def __call__(self, customer_ids: Sequence[str]) -> list[bool]:
        if not self.hashes:
            return [False] * len(customer_ids)
        return [privacy.keyed_hash(self.key, name) in self.hashes for name in customer_ids]
