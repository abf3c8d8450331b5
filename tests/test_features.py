"""The kernel against a plain reference, against leaks from the future, and alone against in a batch."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.customers import FEATURES, NAMES, customer_features
from features.nobody import nobody
from histories.history import EVENT_KINDS, History
from tests.features_reference import reference_row
from tests.shops import instant, toy_history

ZONE = "Europe/London"
AS_OF = instant("2021-06-15T15:00", ZONE)
KERNEL = settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def moment(hour: int) -> str:
    """`hour` hours after 1 January 2019."""
    return str(np.datetime64("2019-01-01T00:20") + np.timedelta64(hour, "h"))


@st.composite
def orders(draw):
    """A line, perhaps with the return that voids it on the same day."""
    hour = draw(st.one_of(st.integers(0, 26_000), st.integers(21_400, 21_600)))
    row = {
        "customer_id": draw(st.sampled_from(["a", "b", "c"])),
        "occurred_at": moment(hour),
        "recorded_at": moment(hour + draw(st.sampled_from([0, 0, 0, 30, 3_000]))),
        "product_id": draw(st.sampled_from([None, "p1", "p2", "p3", "p4"])),
        "quantity": draw(st.sampled_from([1, 1, 2, 5, -1])),
        "unit_price": draw(st.sampled_from([0.0, 1.25, 1.25, 7.5, 300.0])),
        "discount": draw(st.sampled_from([0.0, 0.0, 0.5])),
        "channel": draw(st.sampled_from([None, "web", "app"])),
    }
    if draw(st.integers(0, 9)) or row["quantity"] < 0:
        return [row]
    return [row, row | {"quantity": -row["quantity"], "recorded_at": moment(hour + draw(st.sampled_from([0, 50])))}]


@st.composite
def events(draw):
    hour = draw(st.integers(15_000, 26_000))
    customer, kind = draw(st.sampled_from(["a", "b"])), draw(st.sampled_from(EVENT_KINDS))
    late = draw(st.sampled_from([0, 0, 100]))
    return {"customer_id": customer, "kind": kind, "occurred_at": moment(hour), "recorded_at": moment(hour + late)}


def shop(order_rows, event_rows) -> History:
    rows = [row for pair in order_rows for row in pair]
    categories = {"p1": "cups", "p2": "cups", "p3": "tea"}
    return toy_history(rows, event_rows, customers=["a", "b", "c"], categories=categories, zone=ZONE)


shops = st.builds(shop, st.lists(orders(), max_size=45), st.lists(events(), max_size=20))


@KERNEL
@given(shops, st.booleans())
def test_rows_agree_with_the_reference(history, live):
    rows = customer_features(history, AS_OF, live=live)
    for i, row in enumerate(rows):
        expected = reference_row(history, i, AS_OF, live)
        assert expected.keys() == set(NAMES)
        for name, value in zip(NAMES, row, strict=True):
            assert value == pytest.approx(expected[name], rel=2e-6, abs=1e-6, nan_ok=True), name


@KERNEL
@given(shops, st.integers(0, 2**31))
def test_nothing_after_as_of_changes_a_row(history, seed):
    known = customer_features(history, AS_OF)
    scrambled = scramble_after(history, AS_OF, np.random.default_rng(seed))
    np.testing.assert_array_equal(customer_features(scrambled, AS_OF), known)


def scramble_after(history: History, as_of: int, rng: np.random.Generator) -> History:
    """Every value of lines and events that occurred, or were recorded, after as_of drawn anew; and voids unknown."""

    def scrambled(part, fields):
        later = (part.occurred_at > as_of) | (part.recorded_at > as_of)
        changed = {}
        for name in fields:
            values = getattr(part, name).copy()
            values[later] = rng.integers(-1, 100, later.sum()).astype(values.dtype)
            changed[name] = values
        return dataclasses.replace(part, **changed), later

    lines, later = scrambled(history.lines, ("kind", "product", "quantity", "amount", "discount", "channel"))
    voided = lines.voided_at.copy()
    voided[voided > as_of] = rng.integers(as_of + 1, 2**62, (voided > as_of).sum())
    lines = dataclasses.replace(lines, voided_at=voided, kind=np.where(later, lines.kind % 2, lines.kind))
    events, _ = scrambled(history.events, ("kind",))
    return dataclasses.replace(history, lines=lines, events=events)


@KERNEL
@given(shops)
def test_a_row_is_the_same_alone_in_a_batch_and_on_threads(history):
    batch = customer_features(history, AS_OF)
    assert batch.dtype == np.float32
    assert batch.flags.c_contiguous
    assert not np.isinf(batch).any()
    for i in range(len(history)):
        alone = customer_features(only(history, i), AS_OF)
        assert alone.tobytes() == batch[i : i + 1].tobytes()


def only(history: History, i: int) -> History:
    def part(columns):
        span = slice(columns.offsets[i], columns.offsets[i + 1])
        values = {field.name: getattr(columns, field.name)[span] for field in dataclasses.fields(columns)}
        return dataclasses.replace(columns, **values | {"offsets": columns.offsets[i : i + 2] - columns.offsets[i]})

    return dataclasses.replace(
        history, customer_id=history.customer_id[i : i + 1], lines=part(history.lines), events=part(history.events)
    )


def test_threads_give_the_same_bits(monkeypatch):
    monkeypatch.setattr("features.customers._LINES_PER_THREAD", 1)
    rows = [{"customer_id": f"c{i % 17}", "occurred_at": moment(97 * i), "unit_price": i} for i in range(200)]
    history = toy_history(rows)
    alone = customer_features(history, AS_OF, threads=1)
    assert customer_features(history, AS_OF, threads=3).tobytes() == alone.tobytes()


def test_read_only_arrays_will_do():
    history = toy_history([{"customer_id": "a", "occurred_at": "2021-01-01"}])
    before = customer_features(history, AS_OF)
    for field in dataclasses.fields(history.lines):
        getattr(history.lines, field.name).flags.writeable = False
    np.testing.assert_array_equal(customer_features(history, AS_OF), before)


def test_a_wrong_type_is_named():
    history = toy_history([{"customer_id": "a", "occurred_at": "2021-01-01"}])
    wrong = dataclasses.replace(history.lines, amount=history.lines.amount.astype(np.float32))
    with pytest.raises(TypeError, match="amount must be float64"):
        customer_features(dataclasses.replace(history, lines=wrong), AS_OF)


def test_nobody_has_no_purchases_and_a_calendar():
    row = dict(zip(NAMES, customer_features(nobody(ZONE), AS_OF)[0].tolist(), strict=True))
    assert row["purchases"] == row["spend_total"] == row["orders_365d"] == row["view_30d"] == 0
    assert np.isnan([row["days_since_last_order"], row["T"], row["gap_mean"], row["monetary_value"]]).all()
    assert row["as_of_weekday"] == 1  # 15 June 2021 was a Tuesday


def test_a_customer_with_a_hundred_thousand_lines():
    hours = np.arange(100_000) // 5
    rows = [{"customer_id": "a", "occurred_at": moment(int(hour)), "product_id": f"p{hour % 7}"} for hour in hours]
    row = dict(zip(NAMES, customer_features(toy_history(rows), AS_OF)[0].tolist(), strict=True))
    assert row["lines_total"] == 100_000
    assert row["products_distinct"] == 7
    assert row["gap_mean"] == row["gap_median"] == row["gap_max"] == 1


def test_names_are_distinct_and_described():
    assert len(set(NAMES)) == len(NAMES) >= 60
    assert all(feature.meaning and feature.family for feature in FEATURES)
