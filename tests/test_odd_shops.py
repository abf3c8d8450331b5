"""Small and odd shops: trained, promoted and asked, every answer is labelled and sane."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from histories.clock import parse_as_of, to_instant
from histories.history import PURCHASE, History
from histories.selection import of_customers
from histories.settings import Settings
from histories.storage.store import Store
from models.next_purchase import NextPurchase
from service.ask import Ask, Choice, Moment
from service.predictor import Parts, answers
from service.release import Release
from tests.odd_shops import LARGE, SMALL, Rows
from training import recipe

HORIZON = 60
AS_OF = "2025-06-30"
NOW = to_instant(datetime(2025, 7, 1, tzinfo=UTC))
_SOURCES = {"model", "fallback"}


def settings_in(folder: Path) -> Settings:
    return Settings(store=f"sqlite:///{folder}/regulars.db", timezone="UTC", horizon_days=HORIZON)


def opened(rows: Rows, folder: Path) -> Store:
    """A store of these orders."""
    settings = settings_in(folder)
    store = Store.open(settings.store, settings)
    names = dict.fromkeys(name for row in rows for name in row)
    columns: dict[str, Any] = {name: [row.get(name) for row in rows] for name in names}
    columns.setdefault("recorded_at", columns["occurred_at"])
    for name in ("occurred_at", "recorded_at"):
        times = [datetime.fromisoformat(str(at)).replace(tzinfo=UTC) for at in columns[name]]
        columns[name] = pa.array(times, pa.timestamp("us", "UTC"))
    store.add(pa.table(columns), now=NOW)
    return store


def quickly_fitted(history: History, folder: Path) -> Release:
    """A release without MLflow: what training fits and saves, loaded as the service loads it."""
    fitted, _ = recipe.fit(history, parse_as_of(AS_OF, "UTC"), HORIZON, lambda stage: None)
    fitted.save(folder, {"release": "r", "horizon_days": HORIZON})
    (folder / "release.json").write_text('{"release": "r", "versions": {}, "grades": {}}')
    return Release.load(folder)


def check(parts: Parts, most: float) -> None:
    """`most`: spent by any customer, ever."""
    numbers = [parts["churn"]["probability"], *(parts["customer_value"][name] for name in
               ("expected_spend", "median_spend", "low", "high", "expected_orders", "percentile"))]  # fmt: skip
    assert all(number is not None and math.isfinite(number) and number >= 0 for number in numbers), parts
    assert {part["source"] for part in parts.values()} <= _SOURCES
    assert all((part["source"] == "model") == (part["fallback"] is None) for part in parts.values())
    churn, value = numbers[0], parts["customer_value"]
    assert 0 < churn < 1
    assert value["low"] <= value["median_spend"] <= value["high"]
    assert value["percentile"] <= 100
    if churn > 0.5 + 1e-9:
        assert value["median_spend"] == 0
    assert value["expected_spend"] <= 3 * most + 1, "nobody is expected to spend more than anybody ever did"
    weeks = parts["next_purchase"]["weeks"]
    if weeks is not None:
        assert all(0 <= week <= 1 for week in weeks)
        assert sum(weeks) <= 1 - churn + 1e-6  # the horizon is longer than the weeks
    assert parts["segment"]["name"]
    assert all(math.isfinite(product["score"]) for product in parts["next_purchase"]["products"])


def _spent(history: History) -> tuple[np.ndarray, np.ndarray]:
    """Per customer: spend ever, and whether there is a purchase."""
    lines = history.lines
    owner = np.repeat(np.arange(len(history)), np.diff(lines.offsets))
    bought = lines.kind == PURCHASE
    spent = np.bincount(owner[bought], weights=lines.amount[bought], minlength=len(history))
    return spent, np.bincount(owner[bought], minlength=len(history)) > 0


def ask_everybody(store: Store, release: Release) -> list[Parts]:
    """All customers and somebody unknown, checked."""
    history = store.history()
    moment = Moment(parse_as_of(AS_OF, "UTC"), live=False)
    everybody = (of_customers(history, np.array([position])) for position in range(len(history)))
    answered = [answers(customer, release, moment, Ask(explain=True), [Choice()])[0] for customer in everybody]
    spent, bought = _spent(history)
    for parts, has_bought in zip(answered, bought.tolist(), strict=True):
        assert parts["churn"]["source"] == ("model" if has_bought else "fallback")
        assert bool(parts["churn"]["reasons"]) == has_bought
        check(parts, float(spent.max()))
    nobody = store.history_from([{"customer_id": "nobody", "occurred_at": "2030-01-01T10:00:00Z"}])
    unknown = answers(nobody, release, moment, Ask(), [Choice()])[0]
    assert (unknown["churn"]["source"], unknown["churn"]["fallback"]) == ("fallback", "prior")
    check(unknown, float(spent.max()))
    return answered


@pytest.mark.parametrize("name", SMALL)
def test_a_small_or_odd_shop_gets_sane_answers(name: str, tmp_path: Path) -> None:
    with closing(opened(SMALL[name](), tmp_path)) as store:
        answered = ask_everybody(store, quickly_fitted(store.history(), tmp_path / "release"))
    if name == "no_products":
        assert all(parts["next_purchase"]["products"] == [] for parts in answered)
    if name == "a_cancelled_giant":
        assert max(parts["customer_value"]["high"] for parts in answered) < 10_000
    if name == "no_money":
        assert all(parts["customer_value"]["expected_spend"] == 0 for parts in answered)
        assert any(parts["customer_value"]["expected_orders"] > 0 for parts in answered)


@pytest.mark.prove
@pytest.mark.parametrize("name", ["thirty_customers", "one_customer", "no_products", *LARGE])
def test_an_odd_shop_is_trained_promoted_and_served(name: str, tmp_path: Path, tracking_uri: str) -> None:
    from service.batch import champion
    from training.promote import promote
    from training.train import train

    shops: dict[str, Callable[[], Rows]] = {**SMALL, **LARGE}
    settings = settings_in(tmp_path).model_copy(update={"tracking_uri": tracking_uri})
    with closing(opened(shops[name](), tmp_path)) as store:
        made = train(store, settings)
        assert made.table()
        promote(settings, made.id)
        release = champion(store, settings)
        assert release.id == made.id
        assert isinstance(release.next_purchase, NextPurchase)
        ask_everybody(store, release)
