"""A whole made-up shop as Parquet files, with the truth about its customers kept apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from simulator import tables
from simulator.aftermath import keep_ledger
from simulator.assortment import Assortment, stock_the_shop
from simulator.events import follow
from simulator.people import meet_people
from simulator.purchases import fill_baskets, place_orders

ENDS = date(2026, 6, 30)
DAYS = 913
HORIZON_DAYS = 90  # the truth tells what happened in this time after the files end
# Customers are made in blocks of this size with a seed each, and cut to the number asked for:
# customer 17 of a seed is the same person in a shop of twenty and in one of a million.
BLOCK = 1024
_EPOCH = date(1970, 1, 1)
NOTICE = (
    "Everything in this folder is SIMULATED: made by `regulars simulate`, about nobody and nothing real.\n"
    "orders, events, customers and products are what a shop would export; truth.parquet is what only the\n"
    "simulator knows (rates, the day each customer was lost, what was bought after the files end).\n"
)


@dataclass(frozen=True, slots=True)
class Shop:
    """Where the files are and how much is in them."""

    folder: Path
    customers: int
    lines: int
    events: int
    ends: date

    def file(self, name: str) -> Path:
        """Path of orders, events, customers, products or truth."""
        return self.folder / f"{name}.parquet"


def simulate(
    customers: int,
    seed: int,
    out: Path,
    *,
    ends: date = ENDS,
    days: int = DAYS,
    progress: Callable[[int], None] = lambda done: None,
) -> Shop:
    """Write a shop of `customers` customers over the `days` days up to and including `ends` (UTC) into `out`.

    The same arguments give the same files. Memory does not grow with the number of customers.
    Raises ValueError for a number that makes no shop.
    """
    if customers < 1 or not 1 <= days <= 36_500 or seed < 0:
        raise ValueError("a shop needs at least 1 customer, 1 to 36,500 days and a seed of 0 or more")
    closes = (ends - _EPOCH).days + 1
    shop = stock_the_shop(np.random.default_rng([seed, 0]), closes - days, closes)
    out.mkdir(parents=True, exist_ok=True)
    (out / "NOTICE.txt").write_text(NOTICE)
    labels = {"simulated": "true", "generator": "regulars simulate", "seed": str(seed), "customers": str(customers)}
    pq.write_table(tables.labelled(tables.products(shop), labels), out / "products.parquet")
    lines = events = 0
    with ExitStack() as files:
        writers: dict[str, pq.ParquetWriter] = {}
        for done, block in _blocks(customers, seed, shop, closes - days, closes):
            for name, table in block.items():
                table = tables.labelled(table, labels)
                if name not in writers:
                    writers[name] = files.enter_context(pq.ParquetWriter(out / f"{name}.parquet", table.schema))
                writers[name].write_table(table)
            lines, events = lines + len(block["orders"]), events + len(block["events"])
            progress(done)
    return Shop(out, customers, lines, events, ends)


def _blocks(
    customers: int, seed: int, shop: Assortment, opened: int, closes: int
) -> Iterator[tuple[int, dict[str, pa.Table]]]:
    """(customers so far, tables by name) for one block of customers after the other."""
    for number, first in enumerate(range(0, customers, BLOCK)):
        wanted = min(BLOCK, customers - first)
        rng = np.random.default_rng([seed, 1, number])
        people = meet_people(rng, BLOCK, opened, closes)
        until = closes + HORIZON_DAYS
        orders = place_orders(rng, people, until)
        basket = fill_baskets(rng, people, shop, orders)
        ledger = keep_ledger(rng, people, orders, basket)
        doings = follow(rng, people, orders, basket, until)
        ids = tables.customer_ids(first, wanted)
        ledger, doings = ledger[ledger.customer < wanted], doings[doings.customer < wanted]
        yield (
            first + wanted,
            {
                "orders": tables.orders(ids, ledger, closes),
                "events": tables.events(ids, doings, closes),
                "customers": tables.customers(rng, ids, people),
                "truth": tables.truth(ids, people, ledger, closes, until),
            },
        )
