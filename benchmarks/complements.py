"""Products for a basket: what completes it (cross-sell) and what is dearer in its category (upsell), beside rules.

    python -m benchmarks.complements --orders FILE [--preset online-retail] [--json OUT]

The model knows the first four fifths of the purchase days. Completion: of later baskets one product is taken out at
random and asked for. Upsell: asked of the cheaper product that the customer bought last in the category of a later
purchase; the answer is that purchase. A `category` column in FILE is needed for upsell; prices are medians paid before.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from benchmarks.basket_metrics import gain
from benchmarks.orders import read_history
from features.baskets import Baskets, visible_baskets
from histories.clock import end_of_day
from histories.history import NEVER, PURCHASE, History
from histories.selection import of_customers
from models.next_purchase import NextPurchase

QUERIES, DEPTH, KNOWN_SHARE = 3_000, 10, 0.8
Answer = list[int]


@dataclass(frozen=True, slots=True)
class Query:
    customer: int
    basket: tuple[int, ...]
    wanted: int


@dataclass(frozen=True, slots=True)
class Shop:
    history: History
    as_of: int
    past: Baskets  # by catalog code
    later: Baskets  # all, the past included
    day: int
    model: NextPurchase


def read_shop(path: Path, preset: str | None) -> Shop:
    history = read_history(path, preset)
    bought = np.sort(history.lines.local_day[history.lines.kind == PURCHASE])
    day = int(bought[int(len(bought) * KNOWN_SHARE)])
    as_of = end_of_day(date(1970, 1, 1) + timedelta(days=day), history.zone)
    history = replace(history, catalog=_described(history, path, as_of))
    codes = np.arange(len(history.catalog), dtype=np.int32)
    past, later = (visible_baskets(history.lines, until, codes) for until in (as_of, NEVER - 1))
    return Shop(history, as_of, past, later, day, NextPurchase.fit(history, as_of))


def _described(history: History, path: Path, as_of: int):  # type: ignore[no-untyped-def]
    """The catalog with the median price paid by then, and the file's categories."""
    lines, catalog = history.lines, history.catalog
    paid = (lines.kind == PURCHASE) & (lines.occurred_at <= as_of) & (lines.product >= 0)
    price = pd.Series(lines.amount[paid] / lines.quantity[paid]).groupby(lines.product[paid]).median()
    table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    priced = price.reindex(range(len(catalog))).to_numpy()
    if "category" not in table:
        return replace(catalog, price=priced)
    kinds = table.assign(product_id=table["product_id"].astype(str)).groupby("product_id")["category"].first()
    codes, names = pd.factorize(kinds.reindex(catalog.product_id).to_numpy())
    return replace(catalog, price=priced, category=codes.astype(np.int32), categories=tuple(map(str, names)))


def completions(shop: Shop) -> list[Query]:
    known = np.isin(np.arange(len(shop.history.catalog)), shop.past.item)
    draw, found = np.random.default_rng(0), []
    for customer, basket in _later_baskets(shop):
        items = [item for item in basket if known[item]]
        if len(items) > 1:
            out = items.pop(int(draw.integers(len(items))))
            found.append(Query(customer, tuple(items), out))
    return _some(found)


def upsells(shop: Shop) -> list[Query]:
    catalog, found = shop.history.catalog, []
    for customer, basket in _later_baskets(shop):
        had = _bought(shop.past, customer)
        for wanted in basket:
            of_category = [i for i in had if catalog.category[i] == catalog.category[wanted] >= 0]
            if of_category and catalog.price[wanted] > catalog.price[of_category[-1]]:
                found.append(Query(customer, (of_category[-1],), wanted))
    return _some(found)


def _later_baskets(shop: Shop) -> Iterator[tuple[int, list[int]]]:
    later = shop.later
    for customer in range(len(later)):
        for basket in range(later.start[customer], later.start[customer + 1]):
            if later.day[basket] > shop.day:
                yield customer, later.item[later.item_start[basket] : later.item_start[basket + 1]].tolist()


def _bought(baskets: Baskets, customer: int) -> list[int]:
    first, last = baskets.item_start[baskets.start[customer : customer + 2]]
    return baskets.item[first:last].tolist()


def _some(queries: list[Query]) -> list[Query]:
    order = np.random.default_rng(1).permutation(len(queries))[:QUERIES]
    return [queries[at] for at in order]


def completers(shop: Shop) -> dict[str, Callable[[Query], Answer]]:
    catalog, model = shop.history.catalog, shop.model
    count, pairs = _counts(shop.past, len(catalog))

    def basket_only(query: Query) -> Answer:
        found = model.popular(catalog, DEPTH, basket=query.basket, in_stock_only=False)
        return [each.product for each in found]

    def together(query: Query) -> Answer:
        return _best(np.asarray(pairs[list(query.basket)].sum(axis=0)).ravel() + count * 1e-9, query.basket)

    return {
        "regulars, basket alone": basket_only,
        "regulars, with the customer": lambda query: _recommended(shop, query, upsell=False),
        "co-occurrence": together,
        "popularity": lambda query: _best(count, query.basket),
    }


def sellers(shop: Shop) -> dict[str, Callable[[Query], Answer]]:
    catalog = shop.history.catalog
    count, _ = _counts(shop.past, len(catalog))

    def dearer(query: Query) -> NDArray[np.bool_]:
        item = query.basket[0]
        return (catalog.category == catalog.category[item]) & (catalog.price > catalog.price[item])

    return {
        "regulars, upsell": lambda query: _recommended(shop, query, upsell=True),
        "popularity in category": lambda query: _best(np.where(dearer(query), count, -1.0), query.basket),
        "next price above": lambda query: _best(np.where(dearer(query), 1 / catalog.price, -1.0), query.basket),
    }


def _recommended(shop: Shop, query: Query, *, upsell: bool) -> Answer:
    one = of_customers(shop.history, np.array([query.customer]))
    options = {"basket": query.basket, "in_stock_only": False, "upsell": upsell}
    return [each.product for each in shop.model.recommend(one, shop.as_of, DEPTH, **options)[0]]  # type: ignore[arg-type]


def _counts(baskets: Baskets, items: int) -> tuple[NDArray[np.float64], sparse.csr_array]:
    ones = np.ones(len(baskets.item))
    held = sparse.csr_array((ones, baskets.item, baskets.item_start), shape=(len(baskets.day), items))
    return np.asarray(held.sum(axis=0)).ravel(), (held.T @ held).tocsr()


def _best(score: NDArray[np.float64], without: tuple[int, ...]) -> Answer:
    score = score.copy()
    score[list(without)] = -1
    return [int(item) for item in np.argsort(-score, kind="stable")[:DEPTH] if score[item] > 0]


def judged(task: str, queries: list[Query], methods: dict[str, Callable[[Query], Answer]]) -> Iterator[dict[str, Any]]:
    """hit@5, hit@10 and mrr@10 of each method, and what the first gains in mrr over it (paired bootstrap, 95 %)."""
    ours: NDArray[np.float64] | None = None
    for name, method in methods.items() if queries else ():
        begin = time.perf_counter()
        answers = [method(query) for query in queries]
        place = np.array([_place(query.wanted, answer) for query, answer in zip(queries, answers, strict=True)])
        ours = 1 / place if ours is None else ours
        hits = {f"hit@{k}": float((place <= k).mean()) for k in (5, 10)}
        row = {"task": task, "method": name, "queries": len(queries), **hits, "mrr@10": float((1 / place).mean())}
        yield row | {"gain_in_mrr": gain(ours, 1 / place), "seconds": time.perf_counter() - begin}


def _place(wanted: int, answer: Answer) -> float:
    return answer.index(wanted) + 1.0 if wanted in answer else np.inf


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.complements")
    parser.add_argument("--orders", type=Path, required=True)
    parser.add_argument("--preset")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    try:
        shop = read_shop(options.orders, options.preset)
    except (OSError, ValueError) as problem:
        parser.exit(2, f"{problem}\n")
    rows = [*judged("complete", completions(shop), completers(shop)), *judged("upsell", upsells(shop), sellers(shop))]
    _show(rows)
    if options.json:
        options.json.write_text(json.dumps({"rows": rows}, indent=2))


def _show(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        mean, low, high = row["gain_in_mrr"]
        numbers = "".join(f"{name} {row[name]:.4f}  " for name in ("hit@5", "hit@10", "mrr@10"))
        queries = f"{row['queries']} queries"
        print(f"{row['task']:9} {row['method']:28} {numbers} gain {mean:+.4f} ({low:+.4f} to {high:+.4f})  {queries}")
    if not any(row["task"] == "upsell" for row in rows):
        print("upsell is not measured: the file has no categories")


if __name__ == "__main__":
    main()
