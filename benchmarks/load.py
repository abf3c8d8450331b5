"""Load on a server from wrk, and the servers it is put on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import httpx

_SCRIPT: Final = Path(__file__).with_suffix(".lua").with_name("serving.lua")
_READY_SECONDS: Final = 180
Row = dict[str, Any]


def wrk() -> str:
    """Path of the load generator. Raises SystemExit where there is none."""
    found = shutil.which("wrk")
    if found is None:
        raise SystemExit("benchmarks.serving needs wrk: on Debian or Ubuntu, apt-get install wrk")
    return found


def load(
    port: int, path: str, bodies: Sequence[str], connections: int, seconds: float, *, key: str = "", delay_ms: int = 0
) -> Row:
    """Post the bodies in turn over so many connections, of which each waits `delay_ms` between two; one thread of wrk.

    Gives connections, rps, p50_ms, p99_ms, max_ms, requests; `refused` (answers of 400 and above) and `broken`
    (connections that failed, timed out) where there were any.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.write("\n".join(bodies))
        file.flush()
        command = [
            wrk(), f"-c{connections}", "-t1", f"-d{seconds:.0f}s", "--timeout", "10s", "-s", str(_SCRIPT),
            f"http://127.0.0.1:{port}", "--", path, file.name, key, str(delay_ms),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout.strip().splitlines()[-1])
    row = {"connections": connections, "rps": round(told["requests"] / told["seconds"], 1)}
    row |= {name: round(told[name], 2) for name in ("p50_ms", "p99_ms", "max_ms")}
    return row | {"requests": told["requests"]} | {name: told[name] for name in ("refused", "broken") if told[name]}


def cpu_seconds(pid: int) -> float:
    """What a process and those below it have had of the processors."""
    return _ticks(pid) / os.sysconf("SC_CLK_TCK") + sum(cpu_seconds(child) for child in children(pid))


def children(pid: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(status.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(status.parent.name))
    return found


def _ticks(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


@contextmanager
def serving(
    command: Sequence[str], port: int, log: Path, ready: str, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """A server, ready to answer on `port`; it and all its children are ended on leaving.

    Raises RuntimeError with the end of its log when it does not come up.
    """
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=file, env=os.environ | dict(environment), start_new_session=True
        )
    try:
        _wait(process, f"http://127.0.0.1:{port}{ready}", log)
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    began = time.monotonic()
    while process.poll() is None and time.monotonic() - began < _READY_SECONDS:
        try:
            if httpx.get(url, timeout=2).status_code < 500:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise RuntimeError(f"not ready: {log.read_text(errors='replace')[-800:]}")
