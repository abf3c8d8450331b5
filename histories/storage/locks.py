"""Locks between jobs on one store: held by a process, gone with it however it ends, and naming their holder.

    job                      data        training
    import, retain           alone
    train, retrain           shared      alone        (retrain holds the data alone while it imports)
    score, outcomes          shared

What the service writes, and an erasure, take no lock: each is one transaction of the store.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from histories.errors import Refused

What = Literal["data", "training"]


@contextmanager
def held(engine: Engine, what: What, job: str, *, shared: bool = False) -> Iterator[None]:
    """Hold the store's data or training for a job. Raises Refused, naming the holder, where others are at it."""
    if engine.dialect.name == "sqlite":
        file = Path(f"{engine.url.database}.{what}.lock")
        with held_file(file, job, shared=shared):
            yield
    else:
        with engine.connect() as connection:
            _advise(connection, what, job, shared)
            try:
                yield
            finally:
                connection.detach()  # closed instead of returned to the pool: the lock goes with it


@contextmanager
def held_file(file: Path, job: str, *, shared: bool = False, passing: bool = False) -> Iterator[None]:
    """Hold a lock file; a `passing` one is removed at the end. Raises Refused, naming the holder."""
    with _locked(file, job, shared) as opened:
        _write(opened, _signature(job))
        yield
        if passing:
            file.unlink(missing_ok=True)


def _locked(file: Path, job: str, shared: bool) -> IO[str]:
    while True:
        opened = file.open("a+", encoding="utf-8")
        try:
            fcntl.flock(opened, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _written(opened)
            opened.close()
            raise Refused(_refusal(job, holder)) from None
        if file.exists() and os.path.samestat(os.fstat(opened.fileno()), file.stat()):
            return opened
        opened.close()  # removed by its last holder between our two steps


def _advise(connection: Connection, what: What, job: str, shared: bool) -> None:
    """PostgreSQL's advisory lock of this session; its name tells the others who it is."""
    key = int.from_bytes(hashlib.blake2b(f"regulars {what}".encode(), digest_size=7).digest(), "big")
    name = sa.text("SELECT set_config('application_name', :name, false)")
    connection.execute(name, {"name": _signature(job)[:63]})
    locking = "pg_try_advisory_lock_shared" if shared else "pg_try_advisory_lock"
    if not connection.execute(sa.text(f"SELECT {locking}(:key)"), {"key": key}).scalar():
        holder = connection.execute(_HOLDER, {"key": key}).scalar()
        connection.detach()
        raise Refused(_refusal(job, holder or ""))
    connection.commit()  # session locks outlive transactions, and an open one would hold up the vacuum


_HOLDER = sa.text("""
    SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid)
    WHERE l.locktype = 'advisory' AND l.granted AND l.database = (SELECT oid FROM pg_database
        WHERE datname = current_database()) AND ((l.classid::bigint << 32) | l.objid::bigint) = :key LIMIT 1
""")


def _signature(job: str) -> str:
    return f"{job}, process {os.getpid()} on {socket.gethostname()} since {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"


def _refusal(job: str, holder: str) -> str:
    return f"{job} has to wait for another job: {holder or 'one that has just begun'}; run it again later"


def _written(opened: IO[str]) -> str:
    opened.seek(0)
    return opened.read().strip()


def _write(opened: IO[str], text: str) -> None:
    opened.truncate(0)
    opened.write(text)
    opened.flush()
