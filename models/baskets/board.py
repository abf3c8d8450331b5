"""A score board: numbers of the few products that one customer's evidence touches, whatever the catalog's size."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from histories.compiled import piece

# What is noted of a product: weight with the nearest customers; links with the last order, within a basket and to the
# next; the linear forecast from own baskets; the chance that it goes into the cart; the share of its clearest link.
NEAR, TOGETHER, AFTER, FOLLOW, GOES, CLEAREST = 0, 1, 2, 3, 4, 5
COLUMNS = 6


_ERA = 1 << 32


class Board(NamedTuple):
    """Rows 0..state[0] are in use; slot[product] - state[1] is the product's row, below zero if it has none yet.

    Starting anew raises state[1] above all that was noted: nothing is cleared.
    """

    slot: NDArray[np.int64]  # (products,)
    item: NDArray[np.int32]  # (products,) product of each row
    score: NDArray[np.float32]  # (products, COLUMNS)
    source: NDArray[np.int32]  # (products,) the product of the clearest link, -1 without
    taken: NDArray[np.bool_]  # (products,) chosen already
    state: NDArray[np.int64]  # (2,)


def new_board(products: int) -> Board:
    return Board(
        np.zeros(products, np.int64),
        np.zeros(products, np.int32),
        np.zeros((products, COLUMNS), np.float32),
        np.zeros(products, np.int32),
        np.zeros(products, np.bool_),
        np.zeros(2, np.int64),
    )


@piece
def start_board(board):  # type: ignore[no-untyped-def]
    board.state[0] = 0
    board.state[1] += _ERA


@piece
def row_of(board, item):  # type: ignore[no-untyped-def]
    """The product's row; a new one has zeros."""
    at = board.slot[item] - board.state[1]
    if at < 0:
        at = board.state[0]
        board.state[0] = at + 1
        board.slot[item] = board.state[1] + at
        board.item[at] = item
        board.source[at] = -1
        board.taken[at] = False
        for column in range(COLUMNS):
            board.score[at, column] = 0.0
    return at


@piece
def least_of_heaviest(weights, limit):  # type: ignore[no-untyped-def]
    """The lowest of the `limit` highest weights, by Hoare's selection: numba compiles np.partition for five seconds."""
    if len(weights) <= limit:
        return np.float32(-np.inf)
    some, wanted = weights.copy(), len(weights) - limit
    first, last = 0, len(weights) - 1
    while first < last:
        middle, low, high = some[(first + last) // 2], first, last
        while low <= high:
            while some[low] < middle:
                low += 1
            while some[high] > middle:
                high -= 1
            if low <= high:
                some[low], some[high] = some[high], some[low]
                low, high = low + 1, high - 1
        if wanted <= high:
            last = high
        elif wanted >= low:
            first = low
        else:
            break
    return some[wanted]


@piece
def keep_best(rows, first, found, last, scores, at):  # type: ignore[no-untyped-def]
    """Gives `at` its place in rows[first:last], of which `found` is the end: the highest scores first, equal ones in
    order. Where it ends then; without room the lowest score goes, or `at` itself.
    """
    if found == last and not (last > first and scores[rows[last - 1]] < scores[at]):
        return found
    place = min(found, last - 1)
    while place > first and scores[rows[place - 1]] < scores[at]:
        rows[place] = rows[place - 1]
        place -= 1
    rows[place] = at
    return min(found + 1, last)


@piece
def best_first(scores, most):  # type: ignore[no-untyped-def]
    """Places of at most so many of the highest scores, the highest first, equal ones in order."""
    order, found = np.empty(min(len(scores), most), np.int64), 0
    for at in range(len(scores)):
        found = keep_best(order, 0, found, len(order), scores, at)
    return order
