"""Batch scoring on Spark: the table of scores that one machine makes, on as many as there are."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from engines.spark import Shared, histories, in_mind, lay_out, reachable, session, shared, write_day
from features.customers import warm_up
from histories.clock import asked, to_text
from histories.errors import BadInput
from histories.history import History
from histories.settings import Settings
from histories.storage.erasure import masked_rows
from histories.storage.snapshot import Shop
from histories.storage.store import Store
from service.ask import Moment
from service.clock import Clock
from service.registry import bring_champion
from service.release import Release
from service.scoring import SCHEMA, score_table
from service.shelf import Shelf
from service.trial import try_on

_TRIED = 20  # customers


@dataclass(frozen=True)
class Scored:
    out: str  # the day's folder
    rows: int
    release: str
    moment: Moment
    seconds: float


def score(
    store: Callable[[], Store],
    settings: Settings,
    out: str,
    *,
    history: str | None = None,
    as_of: str | None = None,
    since: str | None = None,
    k: int = 10,
    say: Callable[[str], None] = lambda text: None,
) -> Scored:
    """Score everybody, or those of whom something was learned since a date, into OUT/day=YYYY-MM-DD/*.parquet.

    The last run of a day stands for it, as with the folders of one machine; Spark shows its files when all are there.
    `history` is the URL of a snapshot; without it one of the store is made. Raises BadInput, or Refused by the trial.
    """
    began = time.perf_counter()
    if not out.endswith("/") or out.startswith(("postgresql", "sqlite")):
        raise BadInput(f"{out}: --engine spark writes folders of Parquet files; name one that ends in /")
    release, opened = _champion(settings), reachable(store, say) if history else store()
    masked = tuple(masked_rows(opened, release.name).tolist()) if opened else ()
    warm_up()  # what is compiled here, the executors of this machine need only load
    with session(settings.spark_master) as spark, histories(spark, opened, history, since) as everybody:
        moment = _moment(everybody.shop, settings, as_of)
        try_on(Release.load(release), everybody.first(_TRIED))
        scores = partial(_scores, shared(spark, release), masked, moment, k)
        day = to_text(moment.as_of)[:10]
        with in_mind(opened, out, release.name, moment.as_of):
            rows = write_day(everybody.map(scores, SCHEMA), out, day)
    return Scored(f"{out}day={day}", rows, release.name, moment, time.perf_counter() - began)


def _champion(settings: Settings) -> Path:
    """The folder of the promoted release. Raises BadInput without one."""
    shelf = Shelf.of(settings)
    named = bring_champion(settings, shelf)
    if named is None:
        raise BadInput(f"{shelf.said()['waiting']}: train and promote first")
    return shelf.path(named)


def _scores(files: Shared, masked: tuple[int, ...], moment: Moment, k: int, history: History) -> pa.Table:
    """Runs on the executors."""
    return score_table(history, _release(files, masked), moment, k)


@cache
def _release(files: Shared, masked: tuple[int, ...]) -> Release:
    """Loaded once in each Python worker, in which what is shared is one object; without those erased since."""
    with tempfile.TemporaryDirectory() as folder:
        lay_out(files.value, Path(folder))
        release = Release.load(Path(folder))
    release.next_purchase.forget(np.array(masked, dtype=np.int32))
    return release


def _moment(shop: Shop, settings: Settings, as_of: str | None) -> Moment:
    if as_of is not None:
        return Moment(asked(as_of, shop.zone, "as_of"), live=False)
    return Moment(Clock(settings.clock, shop.zone).instant(shop.imported[1] if shop.imported else None), live=True)
