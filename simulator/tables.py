"""The made-up shop as tables with the columns of the import."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from simulator.aftermath import Ledger
from simulator.assortment import CATEGORIES, PER_CATEGORY, Assortment, product_ids, product_names
from simulator.events import KINDS, Doings
from simulator.people import AGES, CHANNELS, DEVICES, GROUPS, REGIONS, STYLES, People

CURRENCY = "EUR"
ACCOUNTS = 500  # one account in so many belongs to staff or to a test
_INSTANT = pa.timestamp("us", tz="UTC")
_FAR_AHEAD = 200 * 365  # days; a later dropout is written as this
_REFUSE = {"consent_prediction": 0.01, "consent_recommendation": 0.02, "consent_training": 0.03}


def customer_ids(first: int, n: int) -> pa.Array:
    """sim-000123; one in ACCOUNTS is sim-staff-000499 or sim-test-000999 instead."""
    return pa.array([_account(number) for number in range(first, first + n)])


def _account(number: int) -> str:
    if number % ACCOUNTS < ACCOUNTS - 1:
        return f"sim-{number:06d}"
    return f"sim-{'test' if number // ACCOUNTS % 2 else 'staff'}-{number:06d}"


def products(shop: Assortment) -> pa.Table:
    number = np.arange(len(shop))
    return pa.table(
        {
            "product_id": product_ids(len(shop)),
            "name": product_names(len(shop)),
            "category": [CATEGORIES[product // PER_CATEGORY].name for product in number],
            "price": shop.price,
            "in_stock": shop.in_stock,
        }
    )


def orders(ids: pa.Array, ledger: Ledger, closes: int) -> pa.Table:
    """What the shop had recorded by the end of its last day; `line` is unique within the customer."""
    first = np.searchsorted(ledger.customer, np.arange(len(ids)))
    place = np.arange(len(ledger)) - first[ledger.customer]
    known = ledger.recorded_at < closes
    ledger, place = ledger[known], place[known]
    customer_id = ids.take(pa.array(ledger.customer))
    order_id = _joined(customer_id, ledger.number, "/")
    return pa.table(
        {
            "id": _joined(customer_id, place, "#"),
            "customer_id": customer_id,
            "order_id": order_id,
            "occurred_at": _instants(ledger.occurred_at),
            "recorded_at": _instants(ledger.recorded_at),
            "product_id": pa.array(product_ids(PER_CATEGORY * len(CATEGORIES))).take(pa.array(ledger.product)),
            "category": _named([c.name for c in CATEGORIES], ledger.product // PER_CATEGORY),
            "quantity": ledger.quantity,
            "unit_price": ledger.unit_price,
            "discount": ledger.discount,
            "channel": _named(CHANNELS, ledger.channel),
            "currency": pa.array([CURRENCY]).take(pa.array(np.zeros(len(ledger), dtype=np.int64))),
        }
    )


def events(ids: pa.Array, doings: Doings, closes: int) -> pa.Table:
    first = np.searchsorted(doings.customer, np.arange(len(ids)))
    place = np.arange(len(doings)) - first[doings.customer]
    known = doings.at < closes
    doings, place = doings[known], place[known]
    customer_id = ids.take(pa.array(doings.customer))
    names = pa.array(product_ids(PER_CATEGORY * len(CATEGORIES)))
    return pa.table(
        {
            "id": _joined(customer_id, place, "@"),
            "customer_id": customer_id,
            "kind": _named(KINDS, doings.kind),
            "occurred_at": _instants(doings.at),
            "product_id": names.take(pa.array(doings.product, mask=doings.product < 0)),
        }
    )


def customers(rng: np.random.Generator, ids: pa.Array, people: People) -> pa.Table:
    """Attributes that say little, as real ones do, and what few customers refuse."""
    n = len(ids)
    attributes = {
        "age_band": _named(AGES, people.age[:n]),
        "region": _named(REGIONS, people.region[:n]),
        "household_size": pa.array(people.household[:n], from_pandas=True),
        "shopping_style": _named(STYLES, people.style[:n]),
        "device": _named(DEVICES, people.device[:n]),
    }
    refused = {purpose: rng.random(len(people))[:n] >= share for purpose, share in _REFUSE.items()}
    return pa.table({"customer_id": ids, **attributes, **refused})


def truth(ids: pa.Array, people: People, ledger: Ledger, closes: int, until: int) -> pa.Table:
    """What no shop knows: rates per day, the day of the loss, and the days and money of [closes, until)."""
    n = len(ids)
    staff = pc.match_substring_regex(ids, "staff|test").to_numpy(zero_copy_only=False)
    groups = np.where(staff, len(GROUPS), people.group[:n])
    ahead = ledger[(ledger.occurred_at >= closes) & (ledger.occurred_at < until) & (ledger.quantity > 0)]
    days = np.unique(ahead.customer * 1_000_000 + ahead.occurred_at.astype(np.int64)) // 1_000_000
    names = pa.array(product_ids(PER_CATEGORY * len(CATEGORIES)))
    return pa.table(
        {
            "customer_id": ids,
            "group": _named([*(group.name for group in GROUPS), "staff"], groups),
            "orders_per_day": people.rate[:n],
            "drop_rate_per_day": people.drop_rate[:n],
            "acquired_at": _instants(people.acquired[:n]),
            "dropout_at": _instants(np.minimum(people.dropout[:n], closes + _FAR_AHEAD)),
            "alive": people.dropout[:n] >= closes,
            "cycle_days": pa.array(people.cycle[:n], from_pandas=True),
            "staple": names.take(pa.array(people.staple[:n], mask=np.isnan(people.cycle[:n]))),
            "favourites": pa.FixedSizeListArray.from_arrays(
                names.take(pa.array(people.favourites[:n].ravel())), people.favourites.shape[1]
            ),
            "purchase_days_ahead": np.bincount(days, minlength=n),
            "spend_ahead": np.bincount(ahead.customer, ahead.quantity * ahead.unit_price, n).round(2),
        }
    )


def labelled(table: pa.Table, labels: dict[str, str]) -> pa.Table:
    return table.replace_schema_metadata(labels)


def _named(names: list[str] | tuple[str, ...], codes: NDArray[np.int64]) -> pa.Array:
    return pa.array(names).take(pa.array(codes))


def _joined(text: pa.Array, number: NDArray[np.int64], by: str) -> pa.Array:
    return pc.binary_join_element_wise(text, pc.cast(pa.array(number), pa.string()), by)


def _instants(days: NDArray[np.float64]) -> pa.Array:
    """Whole seconds, of days since 1970-01-01 UTC."""
    return pa.array(np.floor(days * 86_400).astype(np.int64) * 1_000_000).cast(_INSTANT)
