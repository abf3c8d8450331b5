"""Which products go together: in one basket, and from one basket to the customer's next."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from features.baskets import Baskets
from histories.compiled import piece
from models.baskets.board import CLEAREST, GOES, row_of

LINKS = 40  # per product
OF_ORDER = 15  # of these, the strongest, for a product of the last order; a cart looks at all
SHRINK = 5.0  # baskets added to each product's count, so that a pair seen once is no certainty
LARGE_BASKET = 100  # products: a larger basket says little about pairs, and costs its square
_CHUNK = 500  # products whose links are computed at a time


class Links(NamedTuple):
    """For each product its strongest partners, best first."""

    start: NDArray[np.int64]  # (items + 1,)
    item: NDArray[np.int32]
    cosine: NDArray[np.float32]  # pairs / sqrt((n_i + SHRINK)(n_j + SHRINK)), 0..1
    share: NDArray[np.float32]  # of the product's baskets that have (or lead to) the partner, shrunk, 0..1


def together_links(baskets: Baskets, items: int) -> Links:
    """Partners within a basket."""
    held = _matrix(baskets, items)
    return _strongest(held, held, items)


def next_links(baskets: Baskets, items: int) -> Links:
    """Partners in the customer's next basket, other than the product itself (repeats have features of their own)."""
    held = _matrix(baskets, items)
    follows = np.ones(len(baskets.day), dtype=bool)
    begins = baskets.start[:-1][np.diff(baskets.start) > 0]
    follows[begins] = False
    second = np.flatnonzero(follows)
    return _strongest(held[second - 1], held[second], items)


def _matrix(baskets: Baskets, items: int) -> sparse.csr_array:
    sizes = np.diff(baskets.item_start)
    weight = np.repeat((sizes <= LARGE_BASKET).astype(np.float32), sizes)
    shape = (len(sizes), items)
    held = sparse.csr_array((weight, baskets.item, baskets.item_start), shape=shape, copy=True)
    held.eliminate_zeros()
    return held


def _strongest(first: sparse.csr_array, second: sparse.csr_array, items: int) -> Links:
    from_count = np.asarray(first.sum(axis=0)).ravel() + SHRINK
    to_count = np.asarray(second.sum(axis=0)).ravel() + SHRINK
    columns = first.tocsc()
    parts = []
    for low in range(0, max(items, 1), _CHUNK):
        pairs = (columns[:, low : low + _CHUNK].T @ second).tocsr()
        parts.append(_prune(pairs, low, from_count, to_count))
    counts, item, cosine, share = (np.concatenate(column) for column in zip(*parts, strict=True))
    start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Links(start, item.astype(np.int32), cosine.astype(np.float32), share.astype(np.float32))


def _prune(
    pairs: sparse.csr_array, low: int, from_count: NDArray, to_count: NDArray
) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """The LINKS strongest partners of each row by cosine; equal ones by their number of pairs."""
    row = np.repeat(np.arange(pairs.shape[0]), np.diff(pairs.indptr))
    item, count = pairs.indices, pairs.data
    keep = (item != row + low) & (count > 0)
    row, item, count = row[keep], item[keep], count[keep]
    cosine = count / np.sqrt(from_count[row + low] * to_count[item])
    order = np.lexsort((-count, -cosine, row))
    row = row[order]
    rank = np.arange(len(row)) - np.searchsorted(row, row)
    best = order[rank < LINKS]
    counts = np.bincount(row[rank < LINKS], minlength=pairs.shape[0])
    share = count[best] / from_count[row[rank < LINKS] + low]
    return counts, item[best], cosine[best], share


@piece
def add_links(board, item, links, column):  # type: ignore[no-untyped-def]
    """Adds the cosine to the first OF_ORDER partners of a product; notes it as a source where its link is clearest."""
    if item < len(links.start) - 1:
        for at in range(links.start[item], min(links.start[item] + OF_ORDER, links.start[item + 1])):
            row = row_of(board, links.item[at])
            board.score[row, column] += links.cosine[at]
            _note_source(board, row, item, links.share[at])


@piece
def add_cart(board, item, links):  # type: ignore[no-untyped-def]
    """The chance that a basket with the cart's products holds each other one, their shares taken as independent."""
    if item < len(links.start) - 1:
        for at in range(links.start[item], links.start[item + 1]):
            row = row_of(board, links.item[at])
            board.score[row, GOES] = 1 - (1 - board.score[row, GOES]) * (1 - links.share[at])
            _note_source(board, row, item, links.share[at])


@piece
def _note_source(board, row, item, share):  # type: ignore[no-untyped-def]
    if share > board.score[row, CLEAREST]:
        board.score[row, CLEAREST] = share
        board.source[row] = item
