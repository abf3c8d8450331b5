"""Basket files as splits of history and target, and as a History of made-up days."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from histories.arrays import sorted_events, sorted_lines
from histories.clock import DAY, to_instant
from histories.history import NO_CODE, Catalog, History

GAP_DAYS = 7  # between two baskets of a user; the files hold their order only
LAST_DAY = to_instant(datetime(2020, 1, 1, 12, tzinfo=UTC))
SHUFFLE_SEED = 20_261

Basket = list[int]


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Items are numbered at random: in the files their numbers tell the order of first appearance, targets included."""

    histories: list[list[Basket]]  # per user, what may be learnt from
    scored: list[int]  # positions of the users that are scored
    targets: list[Basket]  # of those users
    items: int


def read_split(baskets: Path, users: Path | None) -> Split:
    """Raises ValueError where a file is not of the documented form, or nobody in it can be scored."""
    data = _load(baskets)
    _check_baskets(data, baskets)
    chosen = _test_users(users, data) if users else set(data)
    names = [user for user, orders in data.items() if orders]
    number = _shuffled({item for user in names for basket in data[user] for item in basket})
    full = [[sorted({number[item] for item in basket}) for basket in data[user] if basket] for user in names]
    scored = [at for at, user in enumerate(names) if user in chosen and len(full[at]) > 1]
    if not scored:
        raise ValueError(f"{users or baskets}: no user with two baskets to score")
    histories = [orders[:-1] if user in chosen else orders for user, orders in zip(names, full, strict=True)]
    return Split(histories, scored, [full[at][-1] for at in scored], len(number))


def _check_baskets(data: dict, path: Path) -> None:
    for place, orders in enumerate(data.values(), 1):
        fits = isinstance(orders, list) and all(isinstance(basket, list) for basket in orders)
        if not fits or not all(isinstance(item, str | int) for basket in orders for item in basket):
            raise ValueError(
                f"{path}: entry {place} is no list of baskets, each a list of items (text or whole numbers)"
            )


def _test_users(path: Path, data: dict) -> set[str]:
    named = _load(path).get("test")
    if not isinstance(named, list):
        raise ValueError(f'{path}: has no list "test" of users to score')
    chosen = set(map(str, named))
    if unknown := len(chosen - data.keys()):
        print(f"{path}: {unknown:,} of {len(chosen):,} test users have no baskets", file=sys.stderr)
    return chosen


def _load(path: Path) -> dict:
    try:
        data = json.loads(path.read_text())
    except json.JSONDecodeError as problem:
        raise ValueError(f"{path}: not JSON ({problem})") from None
    if not isinstance(data, dict):
        raise ValueError(f"{path}: expected an object of users")
    return data


def _shuffled(items: set) -> dict:
    names = sorted(items, key=str)
    places = np.random.default_rng(SHUFFLE_SEED).permutation(len(names))
    return dict(zip(names, places.tolist(), strict=True))


def to_history(split: Split) -> tuple[History, int]:
    """Everybody's last basket is on the same day, the one before it GAP_DAYS earlier; and the instant to predict at.

    The next baskets would come GAP_DAYS later.
    """
    customer, at, product = [], [], []
    for user, orders in enumerate(split.histories):
        for back, basket in enumerate(reversed(orders)):
            customer += [user] * len(basket)
            at += [LAST_DAY - back * GAP_DAYS * DAY] * len(basket)
            product += basket
    lines = len(customer)
    rows = {
        "customer": np.array(customer, dtype=np.int64),
        "line_id": np.arange(lines),
        "occurred_at": np.array(at, dtype=np.int64),
        "recorded_at": np.array(at, dtype=np.int64),
        "order_id": np.full(lines, None, dtype=object),
        "product": np.array(product, dtype=np.int32),
        "channel": np.full(lines, NO_CODE),
        "quantity": np.ones(lines),
        "unit_price": np.full(lines, np.nan),
        "amount": np.zeros(lines),
        "discount": np.zeros(lines),
    }
    users = len(split.histories)
    names = np.array([str(user) for user in range(users)], dtype=object)
    empty = {name: np.empty(0) for name in ("customer", "occurred_at", "recorded_at", "kind", "product", "value")}
    history = History(
        names, sorted_lines(rows, users, "UTC"), sorted_events(empty, users), {}, _catalog(split.items), (), "UTC"
    )
    return history, LAST_DAY


def _catalog(items: int) -> Catalog:
    ids = np.array([str(item) for item in range(items)], dtype=object)
    return Catalog(
        product_id=ids,
        name=np.full(items, "", dtype=object),
        category=np.full(items, NO_CODE, dtype=np.int32),
        categories=(),
        price=np.full(items, np.nan),
        in_stock=np.ones(items, dtype=bool),
        sellable=np.ones(items, dtype=bool),
        code_of={product: code for code, product in enumerate(ids)},
    )
