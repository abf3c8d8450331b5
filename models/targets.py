"""What the ranker learns from: next baskets after a few earlier days, and the candidates as of those days."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.baskets import Baskets
from models.candidates import MIXED, NAMES, Evidence, Shelf, candidate_rows
from models.ranker import Rows

WINDOWS = 4
TARGETS = 40_000
SHORTEST_STEP, LONGEST_STEP = 7, 92  # days
CANDIDATES = 40  # at least, per target
NO_CART = np.empty(0, np.int32)


class Window(NamedTuple):
    """Targets are the first baskets in the days (cut, until]; everything known of them is from days <= cut."""

    cut: int
    until: int


def windows(baskets: Baskets, as_of_day: int) -> list[Window]:
    """Newest first: a step is the usual gap between a customer's baskets, so that most who come back are in one."""
    if not len(baskets.day):
        return []
    gaps = np.diff(baskets.day)
    within = np.ones(len(gaps), dtype=bool)
    within[baskets.start[1:-1][(baskets.start[1:-1] > 0) & (baskets.start[1:-1] <= len(gaps))] - 1] = False
    usual = np.median(gaps[within]) if within.any() else LONGEST_STEP
    step = int(np.clip(np.ceil(usual), SHORTEST_STEP, LONGEST_STEP))
    first = int(baskets.day.min())
    ends = [as_of_day - step * number for number in range(WINDOWS)]
    return [Window(end - step, end) for end in ends if end - step >= first]


def first_baskets(baskets: Baskets, window: Window) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Customers with a basket by the cut and one in the window, and the number of their first in it."""
    owner = np.repeat(np.arange(len(baskets)), np.diff(baskets.start))
    before = np.bincount(owner[baskets.day <= window.cut], minlength=len(baskets))
    inside = np.flatnonzero((baskets.day > window.cut) & (baskets.day <= window.until))
    customers, where = np.unique(owner[inside], return_index=True)
    keep = before[customers] > 0
    return customers[keep], inside[where[keep]]


def collect(
    past: Baskets,
    evidence: Evidence,
    row: NDArray[np.int32],
    shelf: Shelf,
    full: Baskets,
    picks: tuple[NDArray, NDArray],
    cut: int,
) -> Rows:
    """Candidates of customers `picks[0]` as of the day `cut`; a hit is one that basket `picks[1]` of `full` holds."""
    parts, hits, sizes = [], [], []
    for customer, target in zip(*picks, strict=True):
        products, X, _ = candidate_rows(
            past,
            past.start[customer],
            past.start[customer + 1],
            cut,
            evidence,
            shelf,
            row[customer],
            MIXED,
            CANDIDATES,
            NO_CART,
        )
        bought = full.item[full.item_start[target] : full.item_start[target + 1]]
        parts.append(X)
        hits.append(np.isin(products, bought))
        sizes.append(len(bought))
    start = np.concatenate([[0], np.cumsum([len(hit) for hit in hits])]).astype(np.int64)
    X = np.concatenate(parts) if parts else np.empty((0, len(NAMES)), np.float32)
    return Rows(X, np.concatenate(hits) if hits else np.empty(0, bool), start, np.array(sizes, dtype=np.int64))


def join(parts: list[Rows]) -> Rows:
    if not parts:
        return Rows(
            np.empty((0, len(NAMES)), np.float32), np.empty(0, bool), np.zeros(1, np.int64), np.empty(0, np.int64)
        )
    start = np.concatenate([[0], np.cumsum(np.concatenate([np.diff(p.start) for p in parts]))]).astype(np.int64)
    return Rows(
        np.concatenate([p.X for p in parts]),
        np.concatenate([p.hit for p in parts]),
        start,
        np.concatenate([p.size for p in parts]),
    )
