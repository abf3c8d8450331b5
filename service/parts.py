"""A run in parts, each written whole or not at all: a killed run goes on with those it has."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from histories.clock import DAY
from histories.storage.outputs import STATE

_LIVE_FOR: Final = DAY  # us: an interrupted run as of its present is not worth going on with after a day

Say = Callable[[str], None]


class Parts:
    """The folder of a run's parts, numbered from 0."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def begin(self, wanted: Mapping[str, Any], say: Say) -> int:
        """Go on with the interrupted run if it was the same, else start anew; returns the as_of (us) of the run.

        `wanted` says all that decides the result. Two live runs are the same though their present moved on.
        """
        before = self._state()
        if before and not (differs := _difference(before, wanted)):
            say(f"going on with an interrupted run: {len(list(self.folder.glob('part-*')))} parts are there")
            return int(before["as_of"])
        if before:
            say(f"an interrupted run is thrown away, for the {differs} changed: starting anew")
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        _write_whole(self.folder / STATE, lambda unfinished: unfinished.write_text(json.dumps(wanted)))
        return int(wanted["as_of"])

    def path(self, number: int) -> Path:
        return self.folder / f"part-{number:05d}.parquet"

    def put(self, number: int, table: pa.Table) -> None:
        _write_whole(self.path(number), lambda unfinished: pq.write_table(table, unfinished))

    def rows(self, number: int) -> int | None:
        """None for a part that is not there yet."""
        with suppress(FileNotFoundError):
            return int(pq.ParquetFile(self.path(number)).metadata.num_rows)
        return None

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _state(self) -> dict[str, Any] | None:
        try:
            return dict(json.loads((self.folder / STATE).read_text()))
        except (OSError, ValueError):
            return None


def _difference(before: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """The first thing that makes another run of it; empty if it is the same."""
    for name, value in wanted.items():
        moved_on = name == "as_of" and wanted["live"] and 0 <= value - before.get(name, 0) < _LIVE_FOR
        if before.get(name) != value and not moved_on:
            return name
    return ""


def _write_whole(path: Path, write: Callable[[Path], object]) -> None:
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    write(unfinished)
    unfinished.replace(path)
