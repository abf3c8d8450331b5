"""The table that models learn from: feature rows at rolling cut-offs, with what came after them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.attributes import AttributeEncoder
from features.customers import NAMES, customer_features
from features.labels import Labels, labels
from histories.clock import DAY, from_local, local_time
from histories.history import History
from models.btyd import Base, BuyTillYouDie, positions

YEAR_DAYS = 364  # weeks, so that weekdays fall together
MAX_CUTOFFS = 30
MAX_ROWS = 400_000  # more rows help less than they cost; customers are then drawn at random for each cut-off
_MIN_HISTORY_DAYS = 30


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
    base: Base  # of buy-till-you-die models fitted at the row's own cut-off
    btyd: BuyTillYouDie  # fitted at the frame's as_of
    horizon_days: int
    window_days: int  # the label window: the horizon, or shorter where the history is too short for it

    @property
    def latest(self) -> NDArray[np.bool_]:
        """The rows at the frame's as_of."""
        return np.isnan(self.orders)

    @property
    def labelled(self) -> NDArray[np.bool_]:
        return ~self.latest


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
    return (np.hstack([X, encoder.transform(history)]) if encoder.names else X), names


def training_frame(
    history: History, as_of: int, horizon_days: int, encoder: AttributeEncoder, *, seed: int = 0
) -> Frame:
    """Labelled rows at rolling cut-offs and the unlabelled ones at as_of (inclusive, us).

    Nothing after as_of is seen. Raises ValueError when nobody has bought by as_of.
    """
    first = _first_purchase(history, as_of)
    window = window_for((first, as_of), as_of, horizon_days)
    cuts = _local_cutoffs(first, as_of, window, history.zone)
    share = min(1.0, MAX_ROWS / max(len(history) * len(cuts), 1))
    draw = np.random.default_rng(seed)
    parts = [_part(history, c, as_of, window, encoder, draw.random(len(history)) < share) for c in cuts]
    parts.append(_part(history, as_of, as_of, horizon_days, encoder, np.ones(len(history), dtype=bool)))
    parts = [part for part in parts if len(part.customer)]
    names = (*NAMES, *encoder.names)
    return Frame(
        X=np.concatenate([p.X for p in parts]),
        names=names,
        as_of=np.concatenate([p.as_of for p in parts]),
        customer=np.concatenate([p.customer for p in parts]),
        orders=np.concatenate([p.labels.orders for p in parts]),
        spend=np.concatenate([p.labels.spend for p in parts]),
        next_day=np.concatenate([p.labels.next_day for p in parts]),
        base=Base(*(np.concatenate(columns) for columns in zip(*(p.base for p in parts), strict=True))),
        btyd=parts[-1].btyd,
        horizon_days=horizon_days,
        window_days=window,
    )


def _local_cutoffs(first: int, as_of: int, window_days: int, zone: str) -> list[int]:
    """Cut-offs at as_of's time of day by the shop's clocks: days of 23 or 25 hours must not move a label window."""
    begins, ends = local_time(np.array([first, as_of], dtype=np.int64), zone)
    shown = cutoffs((int(begins), int(ends)), int(ends), window_days)
    return [int(cut) for cut in from_local(np.array(shown, dtype=np.int64), zone)]


@dataclass(frozen=True)
class _Part:
    X: NDArray[np.float32]
    as_of: NDArray[np.int64]
    customer: NDArray[np.int32]
    labels: Labels
    base: Base
    btyd: BuyTillYouDie


def _part(
    history: History, cut: int, as_of: int, window: int, encoder: AttributeEncoder, drawn: NDArray[np.bool_]
) -> _Part:
    X, names = rows(history, cut, encoder)
    chosen = np.flatnonzero((X[:, names.index("purchases")] > 0) & drawn)
    X = X[chosen]
    if cut == as_of:
        nothing = np.full(len(chosen), np.nan)
        came = Labels(nothing.astype(np.float32), nothing, nothing.astype(np.float32))
    else:
        after = labels(history, cut, window, known_at=as_of)
        came = Labels(after.orders[chosen], after.spend[chosen], after.next_day[chosen])
    btyd = BuyTillYouDie.fit(X, names)
    base = btyd.forecast(X, positions(names), window)
    return _Part(X, np.full(len(chosen), cut), chosen.astype(np.int32), came, base, btyd)


def _first_purchase(history: History, as_of: int) -> int:
    lines = history.lines
    seen = (lines.kind == 1) & (lines.occurred_at <= as_of) & (lines.recorded_at <= as_of) & (lines.voided_at > as_of)
    if not seen.any():
        raise ValueError("nobody has bought anything by as_of: there is nothing to learn from")
    return int(lines.occurred_at[seen].min())
