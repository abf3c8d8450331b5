"""Progress of long work: a bar on a terminal, a plain line now and then elsewhere; always on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer

Tell = Callable[[str, int, int], None]  # stage, done, total (0 where it is not known)
_SECONDS_BETWEEN_LINES, _MOMENT_SECONDS = 10.0, 1.0


@contextmanager
def showing() -> Iterator[Tell]:
    if not sys.stderr.isatty():
        yield _lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[pace]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        bar, pace = bars.add_task("starting", total=None, pace=""), _Pace()
        yield lambda stage, done, total: bars.update(
            bar, description=stage, completed=done, total=total or None, pace=pace(stage, done, total)
        )


def _lines() -> Tell:
    """A line when a stage begins and every few seconds while it lasts; nothing for what is done in a moment."""
    last_stage, last_line, pace = "", time.monotonic(), _Pace()

    def tell(stage: str, done: int, total: int) -> None:
        nonlocal last_stage, last_line
        going = pace(stage, done, total)
        pause = _SECONDS_BETWEEN_LINES if stage == last_stage else _MOMENT_SECONDS
        if time.monotonic() - last_line >= pause:
            typer.echo(
                f"{stage} {done:,}" + (f" of {total:,}" if total else "") + (f", {going}" if going else ""), err=True
            )
            last_stage, last_line = stage, time.monotonic()

    return tell


class _Pace:
    """Rate and time left of a stage, from its own first word on; nothing of a stage that is told of once."""

    def __init__(self) -> None:
        self._stage, self._done, self._at = "", 0, 0.0

    def __call__(self, stage: str, done: int, total: int) -> str:
        now = time.monotonic()
        if stage != self._stage:
            self._stage, self._done, self._at = stage, done, now
        if done <= self._done or now <= self._at:
            return ""
        rate = (done - self._done) / (now - self._at)
        left = f", {_clock((total - done) / rate)} left" if total > done else ""
        return f"{rate:,.0f} a second{left}"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"
