"""Requests that are answered in one pass get what each would get alone, and do not touch each other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service import schemas as s
from service.ask import PARTS
from service.errors import Problem
from service.queue import TOGETHER
from tests.conftest import Trained
from tests.web import Web, own_copy, shelf_of, web_of

AS_OF = "2025-12-20"
LINES = [{"occurred_at": f"2025-{month:02}-10T12:00:00", "product_id": "a", "unit_price": 9.5} for month in (9, 10, 11)]


@pytest.fixture
def web(trained: Trained, tmp_path: Path) -> Iterator[Web]:
    """On a clock that stands still: some minutes later, some answers differ in their last digits."""
    settings = own_copy(trained, tmp_path).model_copy(update={"clock": AS_OF})
    with web_of(settings, shelf_of(trained, tmp_path / "shelf")) as web:
        yield web


def bodies(web: Web) -> list[dict[str, Any]]:
    """Customers of every kind, and ways to ask."""
    ids = web.backend.store.customer_ids()
    web("PUT", f"/v1/customers/{ids[1]}/consent", {"prediction": False})
    web("PUT", f"/v1/customers/{ids[2]}/consent", {"prediction": True, "recommendation": False})
    product = str(web.backend.store.catalog().product_id[3])
    return [
        *({"customer_id": customer} for customer in (*ids[:7], "never heard of", ids[0])),
        {"customer_id": ids[3], "explain": True},
        {"customer_id": ids[1], "explain": True},
        {"customer_id": ids[4], "k": 3, "basket": [product]},
        {"customer_id": "never heard of", "k": 3, "basket": [product]},
        {"customer_id": ids[5], "as_of": "2025-06-01"},
        {"customer_id": ids[6], "as_of": "2025-06-01"},
        {"customer_id": ids[6], "as_of": "1999-01-01"},
        {"customer_id": ids[5], "repeat": "none", "exclude": [product]},
        {"basket": [product]},
        {"basket": [product], "k": 2},
        {"history": LINES},
        {"history": LINES[:1]},
    ]


def together(web: Web, every: list[dict[str, Any]]) -> list[Any]:
    """What each is told, or what is raised, when all are asked at once."""
    web.backend.answers.forget()

    async def ask() -> list[bytes | BaseException]:
        asked = (web.backend.predict(s.PredictRequest.model_validate(body), PARTS) for body in every)
        return await asyncio.gather(*asked, return_exceptions=True)

    found = asyncio.run(ask())
    return [json.loads(answer) if isinstance(answer, bytes) else answer for answer in found]


def alone(web: Web, every: list[dict[str, Any]]) -> list[Any]:
    return [together(web, [body])[0] for body in every]


def same(one: Any, other: Any) -> bool:
    """To the twelfth digit: sums over several rows may end in another last one."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == pytest.approx(other, rel=1e-12)) if isinstance(one, float) else one == other


def test_together_each_gets_what_it_gets_alone(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    every, passes = bodies(web), list[int]()
    expected, read = alone(web, every), web.backend.present.customers
    monkeypatch.setattr(web.backend.present, "customers", lambda named: passes.append(len(named)) or read(named))
    for body, told, wanted in zip(every, together(web, every), expected, strict=True):
        assert same(told, wanted), body
    assert max(passes) == TOGETHER
    sources = [answer["next_purchase"]["source"] for answer in expected[:8]]
    assert {"model", "withheld", "fallback"} == set(sources)


def test_whichever_products_they_want_they_share_a_pass(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    ids, products = web.backend.store.customer_ids(), web.backend.store.catalog().product_id.tolist()
    wanted: list[dict[str, Any]] = [
        {},
        {"k": 3},
        {"k": 3},
        {"exclude": products[:2]},
        {"basket": products[2:4]},
        {"basket": products[2:4], "upsell": True},
        {"repeat": "none"},
        {"in_stock_only": False, "k": 20},
    ]
    every = [{"customer_id": customer} | more for customer, more in zip(ids, wanted, strict=False)]
    expected, read, passes = alone(web, every), web.backend.present.customers, list[int]()
    monkeypatch.setattr(web.backend.present, "customers", lambda named: passes.append(len(named)) or read(named))
    assert all(map(same, together(web, every), expected))
    assert passes == [len(every)]


def test_the_wrong_ones_are_told_what_is_wrong_and_the_others_are_answered(web: Web) -> None:
    customer = web.backend.store.customer_ids()[0]
    good, history = {"customer_id": customer}, {"customer_id": customer, "history": LINES}
    told = together(web, [good, good | {"as_of": "soon"}, {}, history, {"customer_id": "x", "k": 2}])
    assert [isinstance(each, Problem) for each in told] == [False, True, True, True, False]
    assert "as_of must be a date" in told[1].message


def test_a_customer_who_cannot_be_answered_does_not_touch_the_others(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = web.backend.store.customer_ids()[:2]
    read = web.backend.present.customers

    def customers(named: list[str]) -> object:
        if bad in named:
            raise ArithmeticError
        return read(named)

    monkeypatch.setattr(web.backend.present, "customers", customers)
    told = together(web, [{"customer_id": good}, {"customer_id": bad}])
    assert told[0]["churn"]["source"] == "model"
    assert isinstance(told[1], ArithmeticError)


def test_many_are_answered_as_one_by_one(web: Web) -> None:
    ids = [*web.backend.store.customer_ids()[:19], "never heard of"]
    told = web.post("/v1/predict_many", {"customer_ids": ids}).json()["predictions"]
    assert [answer["customer_id"] for answer in told] == ids
    assert all(map(same, told, alone(web, [{"customer_id": customer} for customer in ids])))
