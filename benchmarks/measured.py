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

    cpu_seconds are of all cores together: on a machine that others use, they say what the wall time does not. The
    kernel knows them of processes that were waited for; Spark's JVM is not, and counts as it was last seen.
    Peak memory is the larger of the kernel's own peak of any single process (ru_maxrss) and the largest sum over
    all of them at the same time (proportional set size, looked at twice a second).
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        began = time.perf_counter()
        process = subprocess.Popen(command, env={**os.environ, **settings}, stdout=out, stderr=errors)
        watch = _Watch(process.pid)
        _, status, used = os.wait4(process.pid, 0)
        seconds, process.returncode = time.perf_counter() - began, os.waitstatus_to_exitcode(status)
        largest, seen = watch.stop()
        if process.returncode:
            errors.seek(0)
            return {"error": (errors.read().strip().splitlines() or [f"exit code {process.returncode}"])[-1][:300]}
        out.seek(0)
        peak = max(used.ru_maxrss * 1024, largest) / 1e9
        cpu = round(max(used.ru_utime + used.ru_stime, seen), 2)
        return {"seconds": round(seconds, 2), "cpu_seconds": cpu, "peak_gb": round(peak, 2), "said": out.read()}


class _Watch:
    """Looks at a process and its descendants until it is stopped."""

    def __init__(self, pid: int) -> None:
        self._pid, self._largest, self._end = pid, 0, threading.Event()
        self._cpu: dict[int, float] = {}  # seconds of each process, as last seen
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> tuple[int, float]:
        """The largest sum of memory seen, bytes, and the sum of processor times, seconds."""
        self._end.set()
        self._thread.join()
        return self._largest, sum(self._cpu.values())

    def _look(self) -> None:
        while not self._end.wait(_EVERY_SECONDS):
            family = _family(self._pid)
            self._largest = max(self._largest, sum(_memory(pid) for pid in family))
            self._cpu |= {pid: seconds for pid in family if (seconds := _cpu(pid))}


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


def _cpu(pid: int) -> float:
    """Seconds of a process; 0 of one that is gone, whose last are remembered."""
    with suppress(OSError):
        ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
    return 0.0
