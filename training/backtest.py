"""The last horizon as an examination: a history as it was known at the cut, and what came after it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import date, timedelta
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from features.labels import labels
from histories.clock import end_of_day, local_day
from histories.history import NEVER, PURCHASE, Events, History, Lines
from histories.selection import of_customers
from training.judge import Truth

_MOST_CUSTOMERS = 20_000  # a sample this large measures as well as all of a big shop, in a fraction of the time
_SEED = 7
_EPOCH = date(1970, 1, 1)
Table = TypeVar("Table", Lines, Events)


@dataclass(frozen=True)
class Holdout:
    """Customers with a purchase by the cut, and their horizon after it."""

    history: History  # of these customers, complete; whoever reads it passes `cut` as as_of
    cut: int  # us, inclusive end of a shop-local day
    truth: Truth
    baskets: list[NDArray[np.int32]]  # per customer: products of the first purchase day of the horizon; may be empty


def last_cut(history: History, as_of: int, horizon_days: int) -> int:
    """The instant at which the last whole label window that ends by as_of begins: the end of a shop-local day."""
    day = local_day(as_of, history.zone) - horizon_days
    return end_of_day(_EPOCH + timedelta(days=day), history.zone)


def until(history: History, as_of: int) -> History:
    """The history as the shop knew it at an inclusive instant: later or later recorded lines and events are gone."""
    lines, events = history.lines, history.events
    known = (lines.occurred_at <= as_of) & (lines.recorded_at <= as_of)
    seen = (events.occurred_at <= as_of) & (events.recorded_at <= as_of)
    kept = _keep(lines, known)
    kept = replace(kept, voided_at=np.where(kept.voided_at <= as_of, kept.voided_at, NEVER))
    return replace(history, lines=kept, events=_keep(events, seen))


def hold_out(history: History, as_of: int, horizon_days: int, *, net: bool = False) -> Holdout:
    """Customers with a purchase by the last cut (a seeded sample of them in a big shop), and what they did after it."""
    cut = last_cut(history, as_of, horizon_days)
    present = np.flatnonzero(_purchases_until(history, cut) > 0)
    if len(present) > _MOST_CUSTOMERS:
        present = np.sort(np.random.default_rng(_SEED).choice(present, _MOST_CUSTOMERS, replace=False))
    part = of_customers(history, present)
    baskets = next_baskets(part, cut, horizon_days)
    came = labels(part, cut, horizon_days, net=net)
    before = labels(part, last_cut(history, cut, horizon_days), horizon_days, known_at=cut)
    days = np.where(came.next_day <= horizon_days, came.next_day, np.nan)
    truth = Truth(
        orders=came.orders.astype(float),
        spend=came.spend.astype(float),
        days=days.astype(float),
        has_basket=np.array([len(basket) > 0 for basket in baskets], dtype=bool),
        horizon_days=horizon_days,
        recent=before.spend.astype(float),
    )
    return Holdout(part, cut, truth, baskets)


def _purchases_until(history: History, as_of: int) -> NDArray[np.int64]:
    """Purchase lines per customer that were known and not void at as_of."""
    lines = history.lines
    counted = (lines.kind == PURCHASE) & (lines.recorded_at <= as_of) & (lines.voided_at > as_of)
    running = np.concatenate([[0], np.cumsum(counted & (lines.occurred_at <= as_of))])
    return np.asarray(running[lines.offsets[1:]] - running[lines.offsets[:-1]])


def next_baskets(history: History, cut: int, horizon_days: int) -> list[NDArray[np.int32]]:
    """Per customer: products of the first purchase day of the horizon; may be empty."""
    lines, cut_day = history.lines, local_day(cut, history.zone)
    late = (lines.local_day > cut_day) & (lines.local_day <= cut_day + horizon_days)
    bought = late & (lines.kind == PURCHASE) & (lines.voided_at == NEVER)
    return [_first_basket(history, rows, bought[rows]) for rows in _slices(lines.offsets)]


def _first_basket(history: History, rows: slice, bought: NDArray[np.bool_]) -> NDArray[np.int32]:
    day, product = history.lines.local_day[rows][bought], history.lines.product[rows][bought]
    if not len(day):
        return np.empty(0, dtype=np.int32)
    basket = np.unique(product[(day == day[0]) & (product >= 0)])
    return np.asarray(basket[history.catalog.sellable[basket]], dtype=np.int32)


def _slices(offsets: NDArray[np.int64]) -> list[slice]:
    return [slice(a, b) for a, b in pairwise(offsets)]


def _keep(table: Table, kept: NDArray[np.bool_]) -> Table:
    counts = np.concatenate([[0], np.cumsum(kept)]).astype(np.int64)
    columns = {field.name: getattr(table, field.name)[kept] for field in fields(table) if field.name != "offsets"}
    return replace(table, offsets=counts[table.offsets], **columns)
