"""Who each release was trained on: keyed hashes only, and where a person stands in what the release holds of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.engine import Connection

from histories.storage.tables import TRAININGS

_KEPT = 60  # releases; each costs 12 bytes per person
_PERSON = np.dtype([("hash", "<u8"), ("row", "<i4")])


def note(connection: Connection, release: str, hashes: Sequence[str], rows: NDArray[np.int32]) -> None:
    """`hashes` as privacy.keyed_hash makes them; `rows`: each person's row in the release, -1 without one."""
    people = np.empty(len(hashes), dtype=_PERSON)
    people["hash"], people["row"] = _numbers(hashes), rows
    people.sort(order="hash")
    connection.execute(sa.delete(TRAININGS).where(TRAININGS.c.release == release))
    connection.execute(sa.insert(TRAININGS).values(release=release, people=people.tobytes()))
    kept = sa.select(TRAININGS.c.seq).order_by(TRAININGS.c.seq.desc()).limit(_KEPT)
    connection.execute(sa.delete(TRAININGS).where(TRAININGS.c.seq.not_in(kept)))


def trained_on(connection: Connection, hashes: Sequence[str]) -> list[str]:
    """The releases that were trained on a person of these hashes (id and aliases), oldest first."""
    noted = connection.execute(sa.select(TRAININGS.c.release, TRAININGS.c.people).order_by(TRAININGS.c.seq))
    return [release for release, people in noted if len(_rows(people, hashes))]


def rows_of(connection: Connection, release: str, hashes: Sequence[str]) -> NDArray[np.int32]:
    """The rows that a release holds of these persons."""
    people = connection.execute(sa.select(TRAININGS.c.people).where(TRAININGS.c.release == release)).scalar()
    rows = _rows(people or b"", hashes)
    return rows[rows >= 0]


def _rows(people: bytes, hashes: Sequence[str]) -> NDArray[np.int32]:
    held, wanted = np.frombuffer(people, dtype=_PERSON), _numbers(hashes)
    return held["row"][np.isin(held["hash"], wanted)]


def _numbers(hashes: Sequence[str]) -> NDArray[np.uint64]:
    return np.array([int(text[:16], 16) for text in hashes], dtype=np.uint64)
