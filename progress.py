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
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task("starting", total=None)
        yield lambda stage, done, total: bars.update(bar, description=stage, completed=done, total=total or None)


def _lines() -> Tell:
    """A line when a stage begins and every few seconds while it lasts; nothing for what is done in a moment."""
    last_stage, last_line = "", time.monotonic()

    def tell(stage: str, done: int, total: int) -> None:
        nonlocal last_stage, last_line
        pause = _SECONDS_BETWEEN_LINES if stage == last_stage else _MOMENT_SECONDS
        if time.monotonic() - last_line >= pause:
            typer.echo(f"{stage} {done:,}" + (f" of {total:,}" if total else ""), err=True)
            last_stage, last_line = stage, time.monotonic()

    return tell
