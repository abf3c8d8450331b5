"""The hazard of the next order over the horizon: in bins of days, with each customer's own rhythm against each bin.

Discrete-time survival analysis (Cox 1972, section 6): a row of the table is a customer in a bin of which it is known
whether the next order came in it, given that it had not come before.
"""

from __future__ import annotations

from math import log
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from histories.clock import DAY
from histories.compiled import compiled, piece
from models.btyd.bg_nbd import p_alive
from models.frame import Frame

Floats = NDArray[np.float64]
WEEK = 7
_WEEKLY = 8  # bins of a week; later ones grow with their distance
MAX_ROWS = 300_000  # of the table
_TINY = 1e-9

# Columns of the customer's row that are read here, in this order.
COLUMNS = (
    "frequency", "recency", "T", "days_since_last_order", "gap_mean", "gap_median", "gap_std", "gap_last", "gap_max",
    "gap_cv", "gap_longer_share", "orders_90d",
)  # fmt: skip
INPUTS = (
    "days_ahead", "cycles_median", "cycles_mean", "cycles_last", "cycles_max", "deviations", "silence_ahead",
    "silence", "overdue", "gap_median", "gap_cv", "gap_longer_share", "frequency", "T", "orders_90d",
)  # fmt: skip
_WIDTH = len(INPUTS)


def edges_of(horizon_days: int) -> Floats:
    """Days from as_of: 0, 7, ... 56, then wider steps, to the horizon. Bins are (edge, next edge]."""
    edges = [0.0]
    while edges[-1] < horizon_days:
        step = WEEK if len(edges) <= _WEEKLY else max(WEEK, edges[-1] // 5)
        edges.append(edges[-1] + step)
    edges[-1] = float(horizon_days)
    if len(edges) > 2 and edges[-1] - edges[-2] < WEEK / 2:
        del edges[-2]
    return np.array(edges)


@compiled
def look_ahead(customers, parameters, edges):  # type: ignore[no-untyped-def]
    return look_ahead_of(customers, parameters, edges)


@piece
def look_ahead_of(customers, parameters, edges):  # type: ignore[no-untyped-def]
    """Log of the hazard in each bin by buy-till-you-die (rows, bins), and inputs of the trees (rows * bins, INPUTS).

    `customers`: (rows, COLUMNS); `parameters`: r, alpha, a, b of BG/NBD, then of MBG/NBD. The trees see each bin
    from the customer's own gaps: how many of them will have gone by when the bin is half over.
    """
    rows, bins = len(customers), len(edges) - 1
    start = np.empty((rows, bins))
    inputs = np.empty((rows * bins, _WIDTH), np.float32)
    for i in range(rows):
        _prior(customers[i], parameters, edges, start[i])
        for k in range(bins):
            _inputs(customers[i], (edges[k] + edges[k + 1]) / 2, inputs[i * bins + k])
    return start, inputs


@piece
def _prior(customer, parameters, edges, start):  # type: ignore[no-untyped-def]
    x, recency, T = np.float64(customer[0]), np.float64(customer[1]), np.float64(customer[2])
    before = 0.0
    for k in range(len(start)):
        still = 0.0
        for m in range(len(parameters)):
            r, alpha, a, b = parameters[m, 0], parameters[m, 1], parameters[m, 2], parameters[m, 3]
            alive = p_alive(x, recency, T, r, alpha, a, b, x + m)
            still += 1.0 - alive + alive * ((alpha + T) / (alpha + T + edges[k + 1])) ** (r + x)
        hazard = -log(max(still / len(parameters), 1e-12))
        start[k] = log(max(hazard - before, _TINY))
        before = hazard


@piece
def _inputs(customer, ahead, out):  # type: ignore[no-untyped-def]
    silence = customer[3]
    then = silence + np.float32(ahead)
    out[0] = ahead
    out[1], out[2] = then / customer[5], then / customer[4]
    out[3], out[4] = then / customer[7], then / customer[8]
    out[5] = (then - customer[4]) / customer[6] if customer[6] > 0 else np.nan
    out[6], out[7], out[8] = then, silence, silence / customer[5]
    out[9], out[10], out[11] = customer[5], customer[9], customer[10]
    out[12], out[13], out[14] = customer[0], customer[2], customer[11]


class Table(NamedTuple):
    """Customers in bins, at risk, whose end is known."""

    row: NDArray[np.int64]  # of the frame
    bin: NDArray[np.int64]
    came: Floats  # 1 where the next order came in the bin


def at_risk(frame: Frame, edges: Floats, seed: int = 0) -> Table:
    """From rows of a frame: until the next order came, or as long as the frame could see."""
    rows = np.flatnonzero(frame.labelled)
    bins = len(edges) - 1
    if len(rows) * bins > MAX_ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, MAX_ROWS // bins, replace=False))
    seen_days = np.round((frame.as_of[-1] - frame.as_of[rows]) / DAY)
    days = np.where(np.isnan(frame.next_day[rows]), np.inf, frame.next_day[rows])
    waiting = (days[:, None] > edges[:-1]) & (seen_days[:, None] >= edges[1:])
    where, which = np.nonzero(waiting)
    return Table(rows[where], which, (days[where] <= edges[which + 1]).astype(float))
