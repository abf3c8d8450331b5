"""Batch scoring: the answers on every customer, as a job that can be killed and run again."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

from histories.clock import asked, to_text
from histories.errors import BadInput
from histories.settings import Settings
from histories.storage.erasure import note_output
from histories.storage.locks import held, held_file
from histories.storage.outputs import lock_of
from histories.storage.store import Store
from service.clock import Clock, wall
from service.parts import Parts, Say
from service.registry import bring_champion
from service.release import Release
from service.scorer import CHUNK, Job, Progress, Scorer, make_parts
from service.shelf import Shelf
from service.sinks import sink_of
from service.trial import trial

_ASKED: Final = ("as_of", "live", "since", "k")


@dataclass(frozen=True)
class Manifest:
    """What a run wrote. `digest` (SHA-256 of the parts) is equal for equal scores, whatever the sink."""

    out: str
    release: str
    as_of: str  # UTC
    live: bool
    since: str | None
    k: int
    rows: int
    digest: str
    store_version: tuple[int, int]  # when it began and when it ended: a service may have written in between
    seconds: float


def score(
    store: Store,
    settings: Settings,
    out: Path | str,
    *,
    as_of: str | None = None,
    since: str | None = None,
    k: int = 10,
    table: str = "scores",
    workers: int | None = None,
    progress: Progress = lambda scored, customers: None,
    say: Say = lambda text: None,
) -> Manifest:
    """Score everybody, or those of whom something was learned since a date, into a file, folder or database table.

    k products each; 0 leaves them out. The output appears whole or not at all. A run that was killed goes on where
    it was, to the same bytes, unless store, release or question have changed since. Raises BadInput for an output
    that is none, a bad date, or without a release; Refused while another job is at the same.
    """
    began = time.perf_counter()
    sink = sink_of(str(out), table)
    wanted = _wanted(store, settings, as_of, since, k)
    with held(store.engine, "data", "score", shared=True):
        release = champion(store, settings)
        wanted |= {"release": release.id, "store": store.version()}
        shelf = Shelf.of(settings)
        parts = Parts(sink.work(shelf.folder))
        try:
            parts.folder.parent.mkdir(exist_ok=True)
            with held_file(lock_of(parts.folder), f"score into {sink.name}", passing=True):
                wanted["as_of"] = parts.begin(wanted, say)
                noted = partial(note_output, store, release=release.id, as_of=wanted["as_of"], began=wall())
                noted(str(parts.folder.absolute()))  # a killed run leaves persons there
                job = Job(settings, shelf.path(release.id), parts.folder, **{name: wanted[name] for name in _ASKED})
                finished = make_parts(job, Scorer(job, store, release), workers, progress)
                manifest = _manifest(sink.name, wanted, finished, store, began)
                sink.put(finished, asdict(manifest), changed_only=since is not None)
                noted(sink.place)
                parts.remove()
        except OSError as error:
            raise BadInput(f"{sink.name} cannot be written: {error.strerror or error}") from None
    return manifest


def champion(store: Store, settings: Settings) -> Release:
    """The promoted release, loaded and tried. Raises BadInput without one, Refused when it cannot be served."""
    shelf = Shelf.of(settings)
    named = bring_champion(settings, shelf)
    if named is None:
        raise BadInput(f"{shelf.said()['waiting']}: train and promote first")
    release = Release.load(shelf.path(named))
    trial(store)(release)
    return release


def _wanted(store: Store, settings: Settings, as_of: str | None, since: str | None, k: int) -> dict[str, Any]:
    """What is asked, beside the release and the store's state: all that decides the bytes of the parts."""
    return {
        "as_of": _present(store, settings) if as_of is None else asked(as_of, store.zone, "as_of"),
        "live": as_of is None,
        "since": None if since is None else asked(since, store.zone, "since"),
        "k": k,
        "customers of a part": CHUNK,
    }


def _present(store: Store, settings: Settings) -> int:
    clock = Clock(settings.clock, store.zone)
    span = store.span(clock.due())
    return clock.instant(span[1] if span else None)


def _manifest(out: str, wanted: Mapping[str, Any], parts: Sequence[Path], store: Store, began: float) -> Manifest:
    digest, rows = hashlib.sha256(), 0
    for part in parts:
        digest.update(part.read_bytes())
        rows += pq.ParquetFile(part).metadata.num_rows
    return Manifest(
        out=out,
        release=wanted["release"],
        as_of=to_text(wanted["as_of"]),
        live=wanted["live"],
        since=None if wanted["since"] is None else to_text(wanted["since"]),
        k=wanted["k"],
        rows=rows,
        digest=digest.hexdigest(),
        store_version=(wanted["store"], store.version()),
        seconds=round(time.perf_counter() - began, 2),
    )
