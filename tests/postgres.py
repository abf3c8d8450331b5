"""A PostgreSQL server of the tests' own: made in a temporary folder, gone with it."""

from __future__ import annotations

import getpass
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.servers import children


@contextmanager
def postgres() -> Iterator[str]:
    """URL, without a database's name, of a server that has just been started; skips where PostgreSQL is missing."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not binaries:
        pytest.skip("PostgreSQL is not installed: /usr/lib/postgresql/*/bin/initdb")
    user, folder = _user(), Path(tempfile.mkdtemp(prefix="pg-"))
    shutil.chown(folder, user)
    port = free_port()
    control = [str(binaries[-1].with_name("pg_ctl")), "-D", f"{folder}/data", "-w"]
    settings = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
    try:
        _run(user, folder, str(binaries[-1]), "-D", f"{folder}/data", "-U", "shop", "-A", "trust", "-N", "-E", "UTF8")
        _run(user, folder, *control, "-l", f"{folder}/log", "-o", settings, "start")
        try:
            yield f"postgresql://shop@127.0.0.1:{port}"
        finally:
            _run(user, folder, *control, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


def create_database(server: str, name: str) -> str:
    """URL of a new, empty database."""
    import psycopg

    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return f"{server}/{name}"


def create_schema(server: str, name: str) -> str:
    """URL that sees a new, empty schema alone: a fifth of a second quicker to make than a database."""
    import psycopg

    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
    return f"{server}/postgres?options=-csearch_path%3D{name}"


@contextmanager
def stopped(server: str) -> Iterator[None]:
    """All processes of the server stand still, with their sockets open."""
    import psycopg

    with psycopg.connect(f"{server}/postgres") as connection:
        (file,) = connection.execute("SELECT pg_read_file('postmaster.pid')").fetchone() or ("",)
    main = int(file.split()[0])
    os.kill(main, signal.SIGSTOP)  # first, so that it starts no more
    pids = [main, *children(main)]
    try:
        _tell(pids, signal.SIGSTOP)
        yield
    finally:
        _tell(pids, signal.SIGCONT)


def _tell(pids: Iterable[int], what: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, what)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _user() -> str:
    """Somebody who is not root, as whom the server refuses to run."""
    if os.getuid():
        return getpass.getuser()
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


def _run(user: str, folder: Path, *command: str) -> None:
    """A server that pg_ctl leaves running keeps its output open: into a file, where nobody waits for its end."""
    with (folder / "out").open("a+b") as out:
        done = subprocess.run(
            command, cwd=folder, user=None if os.getuid() else user, stdout=out, stderr=out, check=False
        )
    assert done.returncode == 0, (command, (folder / "out").read_text())
