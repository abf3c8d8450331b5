"""Real servers for the tests that need one: `regulars serve` in a folder of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from histories.settings import Settings
from service.start import environment

READY_SECONDS = 120


@dataclass
class Server:
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def workers(self) -> list[int]:
        """Process ids of those that answer requests."""
        return [pid for pid in children(self.process.pid) if "_bentoml_impl.worker.service" in command_of(pid)]

    def registries(self) -> list[int]:
        """Of those that ask the registry."""
        return [pid for pid in children(self.process.pid) if "service.registry" in command_of(pid)]

    def kill(self) -> None:
        """Everything at once, as a power cut would, but for what the kernel has been given."""
        for pid in (self.process.pid, *children(self.process.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def served(settings: Settings, folder: Path, *, workers: int = 1) -> Iterator[Server]:
    """A service, ready; it and all it started are gone afterwards."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("REGULARS_", "MLFLOW_"))}
    command = [sys.executable, "-P", "-m", "regulars", "serve", "--port", "{port}", "--workers", str(workers)]
    with running(command, folder, kept | environment(settings)) as server:
        yield server


@contextmanager
def running(command: Sequence[str], folder: Path, variables: Mapping[str, str]) -> Iterator[Server]:
    """A server whose command takes a {port}."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    log = folder / f"service-{port}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [word.format(port=port) for word in command],
            cwd=folder, env=dict(variables), stdout=file, stderr=file, start_new_session=True,
        )  # fmt: skip
    server = Server(process, port, log)
    try:
        wait_until_ready(server)
        yield server
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(15)
        server.kill()


def wait_until_ready(server: Server) -> None:
    began = time.monotonic()
    while time.monotonic() - began < READY_SECONDS:
        assert server.process.poll() is None, server.log.read_text()[-3000:]
        with suppress(httpx.TransportError):
            if httpx.get(f"{server.url}/readyz", timeout=5).is_success:
                return
        time.sleep(0.1)
    raise AssertionError(f"not ready: {server.log.read_text()[-3000:]}")


def children(pid: int) -> list[int]:
    """All processes below one."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*"):
        with suppress(OSError):
            for child in (task / "children").read_text().split():
                found += [int(child), *children(int(child))]
    return found


def command_of(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def worker_at(server: Server, client: socket.socket) -> int:
    """The worker at the other end of a connection."""
    port = client.getsockname()[1]
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].split(":")[1], 16) == server.port and int(fields[2].split(":")[1], 16) == port:
            inode = f"socket:[{fields[9]}]"
            for worker in server.workers():
                for descriptor in Path(f"/proc/{worker}/fd").iterdir():
                    with suppress(OSError):
                        if os.readlink(descriptor) == inode:  # noqa: PTH115 - no such path, only a name
                            return worker
    raise AssertionError("nobody holds the other end")
