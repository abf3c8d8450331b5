"""Which products a customer buys next, ranked with a probability and a reason, and when."""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from features.baskets import NOBODY, Baskets, visible_baskets
from histories.clock import end_of_day, local_day
from histories.compiled import plain
from histories.history import Catalog, History
from models.baskets.board import new_board
from models.baskets.candidates import NAMES, Evidence, gather_evidence
from models.baskets.catalog_index import Numbering, number, vocabulary
from models.baskets.evidence_files import load_evidence, save_evidence
from models.baskets.neighbours import without
from models.baskets.ranker import Ranker, Rows
from models.baskets.ranking import PLAIN, Ranked, rank_customers, room_for
from models.baskets.recommendation import Call, Recommendation, Repeat, Want
from models.baskets.targets import ENOUGH, TARGETS, WINDOWS, Scene, Window, collect, first_baskets, join, windows

if TYPE_CHECKING:
    from models.frame import Frame
    from models.when import When

_EPOCH = date(1970, 1, 1)
_PIECE = 500  # customers that one thread ranks at a time


@dataclass
class NextPurchase:
    """Two stages: candidates from what all customers did, then a ranker trained on earlier baskets."""

    products: tuple[str, ...]
    evidence: Evidence
    ranker: Ranker | None  # None where there was too little to train on: then counts speak
    timing: When | None
    as_of: int
    features: ClassVar[tuple[str, ...]] = NAMES
    # After fit, each customer's row in the pool of neighbours, -1 outside: the only thing held per person. Not saved.
    pool_row: NDArray[np.int32] | None = field(default=None, repr=False)
    _numbering: Numbering | None = field(default=None, repr=False, compare=False)
    _given: tuple[Evidence, tuple[Any, ...], tuple[Any, ...]] | None = field(default=None, repr=False, compare=False)
    _own: threading.local = field(default_factory=threading.local, repr=False, compare=False)

    @classmethod
    def fit(
        cls, history: History, as_of: int, frame: Frame | None = None, *, seed: int = 0, threads: int = 2
    ) -> NextPurchase:
        """Learns from baskets known at `as_of` (inclusive); `frame` is for the timing, without it there is none.

        A random sample of the customers is enough: of a large history only TARGETS baskets train the ranker, and
        neighbours and links are counted from capped samples in any case. What is popular, and what a product's
        share, trend and repeat rate are, is then measured on the sample.
        """
        products = vocabulary(history, as_of)
        shelf = number(history.catalog, products)
        rows = _training_rows(history, as_of, shelf, len(products), seed, threads)
        ranker = Ranker.fit(rows, seed=seed, threads=threads) if rows.enough() else None
        full = visible_baskets(history.lines, as_of, shelf.index_of)
        evidence, row = gather_evidence(full, len(products), local_day(as_of, history.zone), seed)
        return cls(products, evidence, ranker, _fit_timing(frame), as_of, pool_row=row)

    def forget(self, rows: NDArray[np.int32]) -> None:
        """Take the customers in these rows of the pool out of what is recommended to others."""
        if len(rows):
            self.evidence = self.evidence._replace(pool=without(self.evidence.pool, rows))

    def recommend(
        self,
        history: History,
        as_of: int,
        k: int = 10,
        *,
        live: bool = False,
        basket: Collection[int] = (),
        exclude: Collection[int] = (),
        in_stock_only: bool = True,
        repeat: Repeat = "mixed",
        upsell: bool = False,
        threads: int = 1,
    ) -> list[list[Recommendation]]:
        """For each customer the k products most likely in the next basket, best first; fewer where the shop has fewer.

        `basket` (codes in the cart now) and `exclude` are never in the answer. With `upsell` it holds nothing but
        dearer alternatives, of the same category, to products of the basket. A customer without a visible basket
        gets what goes with the cart, then what is popular.
        """
        want = Want(k, tuple(basket), tuple(exclude), in_stock_only, repeat, upsell)
        return self.recommend_each(history, as_of, [want] * len(history), live=live, threads=threads)

    def recommend_each(
        self, history: History, as_of: int, wants: Sequence[Want], *, live: bool = False, threads: int = 1
    ) -> list[list[Recommendation]]:
        """As recommend, for each customer what is wanted of them; neighbours who want the same take less time."""
        shelf, found = self._shelf(history.catalog), list[list[Recommendation]]()
        baskets, day = visible_baskets(history.lines, as_of, shelf.index_of, live=live), local_day(as_of, history.zone)
        for want, alike in groupby(wants):
            last = len(found) + sum(1 for _ in alike)
            some = Baskets(baskets.start[len(found) : last + 1], *baskets[1:])
            call = Call.of(shelf, want)
            found += call.named(self._rank(some, day, call, threads))
        return found

    def popular(
        self,
        catalog: Catalog,
        k: int = 10,
        *,
        basket: Collection[int] = (),
        exclude: Collection[int] = (),
        in_stock_only: bool = True,
        upsell: bool = False,
    ) -> list[Recommendation]:
        """What goes with the cart, then what sells now: for a visitor of whom nothing is, or may be, known."""
        want = Want(k, tuple(basket), tuple(exclude), in_stock_only, "mixed", upsell)
        call = Call.of(self._shelf(catalog), want)
        return call.named(self._rank(NOBODY, 0, call, 1))[0]

    def complements(
        self, catalog: Catalog, basket: Collection[int], k: int = 10, **options: object
    ) -> list[Recommendation]:
        """Products that go with those of a cart."""
        return self.popular(catalog, k, basket=basket, **options)  # type: ignore[arg-type]

    def when(self, X: NDArray[np.float32], as_of: int | NDArray[np.int64], lapse: NDArray) -> tuple[NDArray, NDArray]:
        """Days until the next order (n,), and its probability in each of the next four weeks (n, 4).

        `lapse`: the churn model's probabilities (n,); days are inf where no order is to be expected. See When.
        """
        if self.timing is None:
            raise ValueError("this model was fitted without a frame, so it cannot say when")
        return self.timing.predict(X, as_of, lapse)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        meta = {"products": self.products, "as_of": self.as_of, "features": list(self.features)}
        (folder / "next_purchase.json").write_text(json.dumps(meta))
        save_evidence(self.evidence, folder / "evidence.npz")
        for part, name in ((self.ranker, "ranker"), (self.timing, "when")):
            if part is not None:
                (folder / name).mkdir(exist_ok=True)
                part.save(folder / name)

    @classmethod
    def load(cls, folder: Path) -> NextPurchase:
        """Raises ValueError where the files are of a version with other features."""
        meta = json.loads((folder / "next_purchase.json").read_text())
        if tuple(meta["features"]) != NAMES:
            raise ValueError(f"{folder}: trained on other features than this version computes")
        ranker = Ranker.load(folder / "ranker") if (folder / "ranker").is_dir() else None
        evidence = load_evidence(folder / "evidence.npz")
        return cls(tuple(meta["products"]), evidence, ranker, _load_timing(folder / "when"), meta["as_of"])

    def _shelf(self, catalog: Catalog) -> Numbering:
        if self._numbering is None or self._numbering.catalog is not catalog:
            self._numbering = number(catalog, self.products, self._numbering)
        return self._numbering

    def _rank(self, baskets: Baskets, day: int, call: Call, threads: int) -> Ranked:
        goods, ranked = call.sold, room_for(len(baskets), call.wish.k)
        given, shelf, wish, out = tuple(baskets), tuple(goods), tuple(call.wish), tuple(ranked)
        evidence, judge = self._fitted()

        def piece(first: int) -> None:
            last, board = min(first + _PIECE, len(baskets)), self._board(len(goods.blocked))
            rank_customers(given, first, last, day, evidence, shelf, judge, wish, board, out)

        if threads == 1 or len(baskets) <= _PIECE:
            for first in range(0, len(baskets), _PIECE):
                piece(first)
        else:
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(piece, range(0, len(baskets), _PIECE)))
        return ranked

    def _fitted(self) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Evidence and judge as the compiled pass takes them; made anew when somebody was forgotten."""
        if self._given is None or self._given[0] is not self.evidence:
            judge = self.ranker.judge if self.ranker else PLAIN
            self._given = self.evidence, plain(self.evidence), plain(judge)
        return self._given[1:]

    def _board(self, products: int) -> tuple[Any, ...]:
        """One per thread: the compiled pass runs without the interpreter's lock."""
        if getattr(self._own, "products", None) != products:
            self._own.board, self._own.products = plain(new_board(products)), products
        return self._own.board


def _training_rows(history: History, as_of: int, shelf: Numbering, items: int, seed: int, threads: int) -> Rows:
    """Candidates of the first baskets after a few earlier days, each seen with what was known by its day."""
    full = visible_baskets(history.lines, as_of, shelf.index_of)
    goods = shelf.goods(in_stock_only=False, exclude=())
    parts = []
    for window, customers, targets in _targets(full, local_day(as_of, history.zone), seed):
        cut = min(as_of, end_of_day(_EPOCH + timedelta(days=window.cut), history.zone))
        past = visible_baskets(history.lines, cut, shelf.index_of)
        evidence, _ = gather_evidence(past, items, window.cut, seed)
        scene = Scene(past, window.cut, evidence, goods, full)
        parts.append(collect(scene, customers, targets, threads))
    return join(parts)


def _targets(full: Baskets, today: int, seed: int) -> Iterator[tuple[Window, NDArray, NDArray]]:
    """Newest windows first: WINDOWS of them, and where customers are few more, as far back as ENOUGH targets take."""
    left = TARGETS
    for back, window in enumerate(windows(full, today)):
        if back >= WINDOWS and TARGETS - left >= ENOUGH:
            break
        customers, targets = first_baskets(full, window)
        if len(customers) > left:
            picks = np.sort(np.random.default_rng(seed).permutation(len(customers))[:left])
            customers, targets = customers[picks], targets[picks]
        left -= len(customers)
        if len(customers):
            yield window, customers, targets


def _fit_timing(frame: Frame | None) -> When | None:
    if frame is None:
        return None
    from models.when import When

    return When.fit(frame)


def _load_timing(folder: Path) -> When | None:
    if not folder.is_dir():
        return None
    from models.when import When

    return When.load(folder)
