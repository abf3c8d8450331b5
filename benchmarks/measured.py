"""A command's wall time, processor time and peak memory, with all the processes that it starts."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

_EVERY_SECONDS = 0.5


def measure(command: Sequence[str], settings: Mapping[str, str]) -> dict[str, Any]:
    """seconds, cpu_seconds, peak_gb and said (standard output); or error, the command's last words.

    cpu_seconds are of all cores together: on a machine that others use, they say what the wall time does not.
    Peak memory is the larger of the kernel's own peak of any single process (ru_maxrss) and the largest sum over
    all of them at the same time (proportional set size, looked at twice a second).
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        began = time.perf_counter()
        process = subprocess.Popen(command, env={**os.environ, **settings}, stdout=out, stderr=errors)
        watch = _Watch(process.pid)
        _, status, used = os.wait4(process.pid, 0)
        seconds, process.returncode = time.perf_counter() - began, os.waitstatus_to_exitcode(status)
        largest = watch.stop()
        if process.returncode:
            errors.seek(0)
            return {"error": (errors.read().strip().splitlines() or [f"exit code {process.returncode}"])[-1][:300]}
        out.seek(0)
        peak = max(used.ru_maxrss * 1024, largest) / 1e9
        cpu = round(used.ru_utime + used.ru_stime, 2)
        return {"seconds": round(seconds, 2), "cpu_seconds": cpu, "peak_gb": round(peak, 2), "said": out.read()}


class _Watch:
    """Looks at a process and its descendants until it is stopped."""

    def __init__(self, pid: int) -> None:
        self._pid, self._largest, self._end = pid, 0, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """The largest sum seen, bytes."""
        self._end.set()
        self._thread.join()
        return self._largest

    def _look(self) -> None:
        while not self._end.wait(_EVERY_SECONDS):
            self._largest = max(self._largest, sum(_memory(pid) for pid in _family(self._pid)))


def _family(pid: int) -> list[int]:
    found = [pid]
    for each in found:
        with suppress(OSError):
            for children in Path(f"/proc/{each}/task").glob("*/children"):
                found += [int(child) for child in children.read_text().split()]
    return found


def _memory(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
