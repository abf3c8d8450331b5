"""Batch scoring: every customer's answers in one file, equal to what the service would say."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from histories.clock import parse_as_of
from histories.columns import PURPOSES
from histories.errors import BadInput
from histories.history import History
from histories.selection import of_customers
from histories.settings import Settings
from histories.store import Store
from service.clock import Clock
from service.predictor import Moment
from service.registry import bring_champion
from service.release import Release
from service.scoring import SCHEMA, score_table
from service.shelf import Shelf
from service.trial import trial

CHUNK: Final = 4_000  # customers
Progress = Callable[[int], None]  # customers scored so far


@dataclass(frozen=True)
class Manifest:
    """What a scoring run wrote."""

    out: str
    customers: int
    release: str
    as_of: int  # us
    live: bool
    seconds: float


def score(
    store: Store,
    settings: Settings,
    out: Path | str,
    *,
    as_of: str | None = None,
    since: str | None = None,
    k: int = 10,
    progress: Progress = lambda scored: None,
) -> Manifest:
    """Score everybody, or those of whom something was learned since a date, into a .parquet or .csv file.

    The file appears whole or not at all. Raises BadInput on another suffix, a bad date, or without a release.
    """
    began = time.perf_counter()
    path = Path(out)
    writer = _writer_of(path)
    release = champion(store, settings)
    moment = _moment(store, settings, as_of)
    learned_since = None if since is None else _instant(since, store.zone, "since")
    unfinished = path.with_name(f".{path.name}.unfinished")
    customers = 0
    try:
        with writer(unfinished) as file:
            for table in _tables(store, release, moment, k, learned_since):
                file.write_table(table)
                customers += len(table)
                progress(customers)
        unfinished.replace(path)
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        unfinished.unlink(missing_ok=True)
    return Manifest(str(path), customers, release.id, moment.as_of, moment.live, time.perf_counter() - began)


def champion(store: Store, settings: Settings) -> Release:
    """The promoted release, loaded and tried. Raises BadInput without one, Refused when it cannot be served."""
    shelf = Shelf.of(settings)
    named = bring_champion(settings, shelf)
    if named is None:
        raise BadInput(f"{shelf.said()['waiting']}: train and promote first")
    release = Release.load(shelf.path(named))
    trial(store)(release)
    return release


def _tables(store: Store, release: Release, moment: Moment, k: int, learned_since: int | None) -> Iterator[pa.Table]:
    for chunk in store.chunks(CHUNK):
        history = chunk if learned_since is None else _changed(chunk, learned_since)
        if len(history):
            consents = [store.consent(customer) for customer in history.customer_id]
            allowed = {purpose: np.array([consent[purpose] for consent in consents]) for purpose in PURPOSES}
            yield score_table(history, allowed, release, moment, k)


def _changed(history: History, since: int) -> History:
    """Those customers of whom a line or an event was recorded at or after an instant."""
    changed = np.zeros(len(history), dtype=bool)
    for table in (history.lines, history.events):
        owner = np.repeat(np.arange(len(history)), np.diff(table.offsets))
        changed[owner[table.recorded_at >= since]] = True
    return of_customers(history, np.flatnonzero(changed))


def _moment(store: Store, settings: Settings, as_of: str | None) -> Moment:
    if as_of is not None:
        return Moment(_instant(as_of, store.zone, "as_of"), live=False)
    clock = Clock(settings.clock, store.zone)
    span = store.span(clock.due())
    return Moment(clock.instant(span[1] if span else None), live=True)


def _instant(text: str, zone: str, name: str) -> int:
    try:
        return parse_as_of(text, zone)
    except (ValueError, OverflowError):
        raise BadInput(f"{name} must be a date (2011-09-10) or an ISO 8601 time (2011-09-10T22:59:59Z)") from None


class _Csv:
    """Lists joined by ; since CSV has none."""

    def __init__(self, path: Path) -> None:
        flat = [(field.name, pa.string() if pa.types.is_list(field.type) else field.type) for field in SCHEMA]
        self._writer = pyarrow.csv.CSVWriter(str(path), pa.schema(flat))

    def __enter__(self) -> _Csv:
        return self

    def __exit__(self, *error: object) -> None:
        self._writer.close()

    def write_table(self, table: pa.Table) -> None:
        for name in ("products", "product_scores"):
            joined = [";".join(map(str, values)) for values in table[name].to_pylist()]
            table = table.set_column(table.schema.get_field_index(name), name, pa.array(joined, pa.string()))
        self._writer.write_table(table)


def _parquet(path: Path) -> pyarrow.parquet.ParquetWriter:
    return pyarrow.parquet.ParquetWriter(str(path), SCHEMA)


_WRITERS: Final[dict[str, Callable[[Path], Any]]] = {".parquet": _parquet, ".csv": _Csv}


def _writer_of(path: Path) -> Callable[[Path], Any]:
    writer = _WRITERS.get(path.suffix.lower())
    if writer is None:
        raise BadInput(f"{path.name}: the file must end in {' or '.join(_WRITERS)}")
    if not path.absolute().parent.is_dir():
        raise BadInput(f"{path.parent}: no such folder")
    return writer
