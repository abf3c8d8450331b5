"""What the ranker learns from: next baskets after a few earlier days, and the candidates as of those days."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.baskets import Baskets
from features.numbers import copy
from histories.compiled import compiled
from models.baskets.board import new_board
from models.baskets.candidates import FEWEST, MIXED, MOST, NAMES, WIDTH, Evidence, Shelf, Wish, candidate_rows
from models.baskets.ranker import Rows

WINDOWS, MOST_WINDOWS = 4, 18
ENOUGH, TARGETS = 8_000, 40_000  # windows older than WINDOWS, as dear as these, only for want of ENOUGH targets
SHORTEST_STEP, LONGEST_STEP = 7, 92  # days
_PIECE = 1_000  # targets whose candidates one thread makes at a time
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
    ends = [as_of_day - step * number for number in range(MOST_WINDOWS)]
    return [Window(end - step, end) for end in ends if end - step >= first]


def first_baskets(baskets: Baskets, window: Window) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Customers with a basket by the cut and one in the window, and the number of their first in it."""
    owner = np.repeat(np.arange(len(baskets)), np.diff(baskets.start))
    before = np.bincount(owner[baskets.day <= window.cut], minlength=len(baskets))
    inside = np.flatnonzero((baskets.day > window.cut) & (baskets.day <= window.until))
    customers, where = np.unique(owner[inside], return_index=True)
    keep = before[customers] > 0
    return customers[keep], inside[where[keep]]


class Scene(NamedTuple):
    """What a collection of candidates looks at: what was known by the day `cut`, and what came after."""

    past: Baskets
    cut: int
    evidence: Evidence
    shelf: Shelf
    full: Baskets


def collect(scene: Scene, customers: NDArray[np.int64], targets: NDArray[np.int64], threads: int) -> Rows:
    """Candidates of the customers as of the cut; a hit is one that the customer's target basket of `full` holds."""
    pieces = range(0, len(customers), _PIECE)
    with ThreadPoolExecutor(threads) as pool:
        parts = pool.map(lambda at: _piece(scene, customers[at : at + _PIECE], targets[at : at + _PIECE]), pieces)
        return join(list(parts))


def _piece(scene: Scene, customers: NDArray[np.int64], targets: NDArray[np.int64]) -> Rows:
    board, wish = new_board(len(scene.shelf.blocked)), Wish(FEWEST, MIXED, NO_CART)
    X, hit, counts = _candidates(scene, customers, targets, wish, board)
    sizes = scene.full.item_start[targets + 1] - scene.full.item_start[targets]
    return Rows(X, hit, np.concatenate([[0], np.cumsum(counts)]), sizes)


@compiled
def _candidates(scene, customers, targets, wish, board):  # type: ignore[no-untyped-def]
    X, hit = np.empty((len(customers) * MOST, WIDTH), np.float32), np.zeros(len(customers) * MOST, np.bool_)
    counts = np.zeros(len(customers), np.int64)
    at = 0
    for number in range(len(customers)):
        begin, end = scene.past.start[customers[number]], scene.past.start[customers[number] + 1]
        first = scene.full.item_start[targets[number]]
        products, rows, _ = candidate_rows(scene.past, begin, end, scene.cut, scene.evidence, scene.shelf, wish, board)
        for product in products:
            for line in range(first, scene.full.item_start[targets[number] + 1]):
                hit[at] |= scene.full.item[line] == product
            at += 1
        for row in range(len(rows)):
            copy(rows[row], X[at - len(rows) + row])
        counts[number] = len(rows)
    return X[:at].copy(), hit[:at].copy(), counts


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
