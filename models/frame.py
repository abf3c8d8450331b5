"""The table that models learn from: feature rows at rolling cut-offs, with what came after them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.attributes import AttributeEncoder
from features.customers import NAMES, customer_features
from features.labels import Labels, labels, repeats_by_week
from histories.clock import DAY, from_local, local_time
from histories.history import History
from histories.sample import drawn, hashes
from histories.selection import of_customers
from models.btyd.mixture import Base, BuyTillYouDie, positions

YEAR_DAYS = 364  # weeks, so that weekdays fall together
MAX_CUTOFFS = 30
MAX_ROWS = 400_000  # more rows help less than they cost; customers are then drawn for each cut-off
_MIN_HISTORY_DAYS = 30


class Earlier(NamedTuple):
    """A backtest inside the training data: buy-till-you-die models as fitted at a labelled cut-off."""

    as_of: int  # us
    base: Base  # of every labelled row; those after as_of are of no use
    btyd: BuyTillYouDie


@dataclass(frozen=True)
class Frame:
    """One row per customer with a purchase and cut-off, oldest cut-off first; the last are at as_of, unlabelled."""

    X: NDArray[np.float32]  # (rows, features)
    names: tuple[str, ...]
    as_of: NDArray[np.int64]  # us, the cut-off of the row
    customer: NDArray[np.int32]  # position in the history
    orders: NDArray[np.float32]  # in the window_days after the cut-off; nan when not known yet
    spend: NDArray[np.float64]
    next_day: NDArray[np.float32]  # days to the next purchase; nan when none came before the frame's as_of
    base: Base  # of the buy-till-you-die models for the row's window
    btyd: BuyTillYouDie  # fitted at the frame's as_of
    earlier: Earlier | None  # what could be said at the last labelled cut-off; None where none has labels before it
    horizon_days: int
    window_days: int  # the label window: the horizon, or shorter where the history is too short for it

    @property
    def latest(self) -> NDArray[np.bool_]:
        """The rows at the frame's as_of."""
        return np.isnan(self.orders)

    @property
    def labelled(self) -> NDArray[np.bool_]:
        return ~self.latest

    def known_at(self, as_of: int) -> NDArray[np.bool_]:
        """The rows whose label windows had ended by as_of (us)."""
        return self.labelled & (self.as_of <= as_of - self.window_days * DAY)


def cutoffs(span: tuple[int, int], as_of: int, window_days: int) -> list[int]:
    """Times, oldest first, whose label windows end at or before as_of and that have some history before them.

    `span` and as_of in microseconds of the shop's clocks; steps of a third of the window, with those of whole years
    before as_of.
    """
    step = max(7, window_days // 3)
    oldest = span[0] + max(_MIN_HISTORY_DAYS, min(window_days, 60)) * DAY
    latest = as_of - window_days * DAY
    regular = [latest - k * step * DAY for k in range(MAX_CUTOFFS)]
    yearly = [as_of - k * YEAR_DAYS * DAY for k in range(1, 12)]
    kept = {c for c in yearly if oldest <= c <= latest}
    kept |= {c for c in regular if c >= oldest and all(abs(c - y) > step * DAY // 3 for y in kept)}
    return sorted(kept)


def window_for(span: tuple[int, int], as_of: int, horizon_days: int) -> int:
    """The horizon where enough label windows of it fit before as_of, else a shorter window, of which six fit."""
    known_days = (as_of - span[0]) // DAY
    return int(min(horizon_days, max(known_days // 3, 1)))


def rows(
    history: History, as_of: int, encoder: AttributeEncoder, *, live: bool = False
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """The feature rows that every predict takes, (customers, names): customer features, then attributes."""
    X = customer_features(history, as_of, live=live)
    names = (*NAMES, *encoder.names)
    return (np.concatenate([X, encoder.transform(history)], axis=1) if encoder.names else X), names


def training_frame(
    history: History, as_of: int, horizon_days: int, encoder: AttributeEncoder, *, seed: int = 0, net: bool = False
) -> Frame:
    """Labelled rows at rolling cut-offs and the unlabelled ones at as_of (inclusive, us).

    `net`: returns in a label window take off its spend, which may fall below zero. Nothing after as_of is seen.
    Raises ValueError when nobody has bought by as_of.
    """
    plan = plan_for(history, as_of, horizon_days, net=net)
    hashed = hashes(history.customer_id)
    return assemble(plan, [seen_at(history, cut, plan, encoder, hashed, seed) for cut in plan.cuts], history, encoder)


@dataclass(frozen=True)
class Plan:
    """When a training frame looks, and at how many."""

    cuts: tuple[int, ...]  # us, oldest first, the last is as_of
    horizon_days: int
    window_days: int  # the label window
    share: float  # of the customers drawn for each labelled cut-off
    net: bool  # returns take off spend

    @property
    def as_of(self) -> int:
        return self.cuts[-1]


def plan_for(history: History, as_of: int, horizon_days: int, *, net: bool = False) -> Plan:
    """Raises ValueError when nobody has bought by as_of."""
    return plan_of(_first_purchase(history, as_of), as_of, horizon_days, len(history), history.zone, net=net)


def plan_of(first: int, as_of: int, horizon_days: int, customers: int, zone: str, *, net: bool) -> Plan:
    """From the first purchase (us) and the number of customers."""
    window = window_for((first, as_of), as_of, horizon_days)
    cuts = _local_cutoffs(first, as_of, window, zone)
    share = min(1.0, MAX_ROWS / max(customers * len(cuts), 1))
    return Plan((*cuts, as_of), horizon_days, window, share, net)


class Seen(NamedTuple):
    """The rows of a frame at one cut-off, of some customers; those of several chunks are simply joined."""

    X: NDArray[np.float32]  # (rows, features)
    customer: NDArray[np.int32]  # position in the history given
    labels: Labels  # nan at the plan's as_of


def seen_at(
    history: History, cut: int, plan: Plan, encoder: AttributeEncoder, hashed: NDArray[np.uint64], seed: int = 0
) -> Seen:
    """Of the customers drawn for this cut-off by their hash (histories.sample) who have bought by then."""
    is_last = cut == plan.as_of
    who = np.arange(len(history)) if is_last else np.flatnonzero(drawn(hashed, plan.share, seed + cut // DAY))
    part = history if len(who) == len(history) else of_customers(history, who)
    X, names = rows(part, cut, encoder)
    bought = np.flatnonzero(X[:, names.index("purchases")] > 0)
    came = _unknown(len(bought)) if is_last else _after(part, bought, cut, plan)
    return Seen(X[bought], who[bought].astype(np.int32), came)


def _unknown(size: int) -> Labels:
    nothing = np.full(size, np.nan)
    return Labels(nothing.astype(np.float32), nothing, nothing.astype(np.float32))


def _after(history: History, customers: NDArray[np.intp], cut: int, plan: Plan) -> Labels:
    came = labels(history, cut, plan.window_days, net=plan.net, known_at=plan.as_of)
    return Labels(came.orders[customers], came.spend[customers], came.next_day[customers])


def assemble(plan: Plan, seen: Sequence[Seen], history: History, encoder: AttributeEncoder) -> Frame:
    """The frame of the rows seen at each of the plan's cut-offs, of customers by their positions in the history."""
    names = (*NAMES, *encoder.names)
    parts = [(cut, part) for cut, part in zip(plan.cuts, seen, strict=True) if len(part.customer)]
    btyd, earlier = _fitted(parts[-1], history, names), _earlier(plan, parts, history, names)
    if earlier:
        btyd = replace(btyd, weights=earlier.btyd.weights)
    return Frame(
        X=np.concatenate([part.X for _, part in parts]),
        names=names,
        as_of=np.concatenate([np.full(len(part.customer), cut) for cut, part in parts]),
        customer=np.concatenate([part.customer for _, part in parts]),
        orders=np.concatenate([part.labels.orders for _, part in parts]),
        spend=np.concatenate([part.labels.spend for _, part in parts]),
        next_day=np.concatenate([part.labels.next_day for _, part in parts]),
        base=_joined([_said(btyd, part, names, plan) for part in parts]),
        btyd=btyd,
        earlier=earlier,
        horizon_days=plan.horizon_days,
        window_days=plan.window_days,
    )


def _earlier(plan: Plan, parts: Sequence[tuple[int, Seen]], history: History, names: tuple[str, ...]) -> Earlier | None:
    """At the last cut-off with labels, if there are label windows that end before it."""
    labelled = parts[:-1]
    if not labelled or labelled[0][0] > labelled[-1][0] - plan.window_days * DAY:
        return None
    btyd = _weighed(_fitted(labelled[-1], history, names), labelled[-1], names, plan)
    return Earlier(labelled[-1][0], _joined([_said(btyd, part, names, plan) for part in labelled]), btyd)


def _weighed(btyd: BuyTillYouDie, part: tuple[int, Seen], names: tuple[str, ...], plan: Plan) -> BuyTillYouDie:
    """Mixed as the window after its cut-off would have had it."""
    cut, seen = part
    orders = seen.labels.orders.astype(np.float64)
    return replace(btyd, weights=btyd.weighed(seen.X, positions(names), cut, plan.window_days, orders))


def _fitted(part: tuple[int, Seen], history: History, names: tuple[str, ...]) -> BuyTillYouDie:
    cut, seen = part
    customers = np.zeros(len(history), dtype=bool)
    customers[seen.customer] = True
    weeks = int(seen.X[:, names.index("T")].max() // 7) + 1
    return BuyTillYouDie.fit(seen.X, names, cut, repeats_by_week(history, customers, cut, weeks))


def _said(btyd: BuyTillYouDie, part: tuple[int, Seen], names: tuple[str, ...], plan: Plan) -> Base:
    cut, seen = part
    window = plan.horizon_days if cut == plan.as_of else plan.window_days
    return btyd.forecast(seen.X, positions(names), cut, window)


def _joined(parts: Sequence[Base]) -> Base:
    return Base(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _local_cutoffs(first: int, as_of: int, window_days: int, zone: str) -> list[int]:
    """Cut-offs at as_of's time of day by the shop's clocks: days of 23 or 25 hours must not move a label window."""
    begins, ends = local_time(np.array([first, as_of], dtype=np.int64), zone)
    shown = cutoffs((int(begins), int(ends)), int(ends), window_days)
    return [int(cut) for cut in from_local(np.array(shown, dtype=np.int64), zone)]


def _first_purchase(history: History, as_of: int) -> int:
    lines = history.lines
    seen = (lines.kind == 1) & (lines.occurred_at <= as_of) & (lines.recorded_at <= as_of) & (lines.voided_at > as_of)
    if not seen.any():
        raise ValueError("nobody has bought anything by as_of: there is nothing to learn from")
    return int(lines.occurred_at[seen].min())
