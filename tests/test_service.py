"""The HTTP contract, on a simulated shop and its trained release."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from histories.clock import to_text
from histories.history import PURCHASE
from service import schemas as s
from service.clock import wall
from tests.conftest import Trained
from tests.web import Web, own_copy, shelf_of, web_of

AS_OF = "2025-12-01"
PARTS = ("churn", "customer_value", "next_purchase", "segment")


@pytest.fixture(scope="module")
def web(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """To read from."""
    settings = trained.settings.model_copy(update={"clock": "data"})
    with web_of(settings, shelf_of(trained, tmp_path_factory.mktemp("shelf"))) as opened:
        yield opened


@pytest.fixture
def mine(trained: Trained, tmp_path: Path) -> Iterator[Web]:
    """A shop of the test's own, at the present."""
    with web_of(own_copy(trained, tmp_path), shelf_of(trained, tmp_path / "shelf")) as opened:
        yield opened


@pytest.fixture(scope="module")
def loyal(web: Web) -> str:
    """The customer with the most lines."""
    history = web.backend.store.history()
    counts = history.lines.offsets[1:] - history.lines.offsets[:-1]
    return str(history.customer_id[counts.argmax()])


def error_of(answer: Any) -> dict[str, Any]:
    assert set(answer.json()) == {"error"}
    assert set(answer.json()["error"]) == {"code", "field", "message"}
    return dict(answer.json()["error"])


def test_known_customer_is_answered_by_the_models(web: Web, loyal: str) -> None:
    answer = web.post("/v1/predict", {"customer_id": loyal, "k": 5, "explain": True})
    assert answer.status_code == 200
    prediction = s.Prediction.model_validate_json(answer.content)
    assert [getattr(prediction, part).source for part in PARTS] == ["model"] * 4
    assert 0 <= (prediction.churn.probability or -1) <= 1
    assert 1 <= len(prediction.churn.reasons) <= 5
    value = prediction.customer_value
    assert value.low is not None
    assert value.high is not None
    assert value.low <= (value.median_spend or 0) <= value.high
    assert len(prediction.next_purchase.products) == 5
    assert prediction.next_purchase.weeks is not None
    assert len(prediction.next_purchase.weeks) == 4


def test_unknown_customer_gets_labelled_fallbacks(web: Web) -> None:
    answer = web.post("/v1/predict", {"customer_id": "nobody knows me"})
    assert answer.status_code == 200
    told = {part: (answer.json()[part]["source"], answer.json()[part]["fallback"]) for part in PARTS}
    assert told == {
        "churn": ("fallback", "prior"),
        "customer_value": ("fallback", "prior"),
        "next_purchase": ("fallback", "popularity"),
        "segment": ("fallback", "prior"),
    }
    assert answer.json()["next_purchase"]["expected_at"] is None
    assert len(answer.json()["next_purchase"]["products"]) == 10


@pytest.mark.parametrize("part", PARTS)
def test_one_part_is_the_same_alone(web: Web, loyal: str, part: str) -> None:
    asked = {"customer_id": loyal, "as_of": AS_OF}
    alone, whole = web.post(f"/v1/{part}", asked).json(), web.post("/v1/predict", asked).json()
    assert alone == {name: whole[name] for name in ("customer_id", "as_of", "data_as_of", "release", part)}


def test_many_equals_one_by_one_in_order(web: Web) -> None:
    customers = [*web.backend.store.customer_ids()[:40:3], "nobody", web.backend.store.customer_ids()[0]]
    many = web.post("/v1/predict_many", {"customer_ids": customers, "k": 3, "as_of": AS_OF}).json()["predictions"]
    assert many == [web.post("/v1/predict", {"customer_id": c, "k": 3, "as_of": AS_OF}).json() for c in customers]


def test_as_of_is_the_end_of_the_day_and_forgets_what_came_later(web: Web, loyal: str) -> None:
    answer = web.post("/v1/predict", {"customer_id": loyal, "as_of": AS_OF}).json()
    assert answer["as_of"] == "2025-12-01T23:59:59Z"
    assert answer["data_as_of"] <= answer["as_of"]
    before_all = web.post("/v1/churn", {"customer_id": loyal, "as_of": "1999-01-01"}).json()
    assert before_all["churn"]["fallback"] == "prior"
    assert before_all["data_as_of"] is None


def test_a_basket_alone_gets_products_that_go_with_it(web: Web, loyal: str) -> None:
    bought = web.post("/v1/next_purchase", {"customer_id": loyal}).json()["next_purchase"]["products"]
    basket = [bought[0]["product_id"]]
    answer = web.post("/v1/next_purchase", {"basket": basket, "k": 5}).json()
    assert answer["customer_id"] is None
    assert answer["next_purchase"]["source"] == "model"
    offered = [product["product_id"] for product in answer["next_purchase"]["products"]]
    assert len(offered) == 5
    assert not set(basket) & set(offered)


def test_exclude_and_repeat_are_obeyed(web: Web, loyal: str) -> None:
    first = web.post("/v1/next_purchase", {"customer_id": loyal}).json()["next_purchase"]["products"][0]["product_id"]
    asked = {"customer_id": loyal, "exclude": [first], "k": 100}
    assert first not in str(web.post("/v1/next_purchase", asked).json()["next_purchase"]["products"])
    history = web.backend.store.history_of(loyal)
    assert history is not None
    own = {history.catalog.product_id[p] for p in history.lines.product[history.lines.kind == PURCHASE]}
    for repeat, kept in (("only", True), ("none", False)):
        asked = {"customer_id": loyal, "repeat": repeat}
        chosen = web.post("/v1/next_purchase", asked).json()["next_purchase"]["products"]
        assert all((product["product_id"] in own) is kept for product in chosen)


def test_a_history_sent_along_is_nobody_in_the_store(web: Web) -> None:
    lines = [
        {"occurred_at": f"2025-{month:02}-10T12:00:00", "product_id": "new thing", "unit_price": 9.5, "quantity": 2}
        for month in (8, 9, 10, 11)
    ]
    answer = web.post("/v1/predict", {"history": lines})
    assert answer.status_code == 200
    assert answer.json()["customer_id"] is None
    assert answer.json()["churn"]["source"] == "model"
    assert web.backend.store.history_of("") is None


BAD = [
    ({}, "customer_id"),
    ({"customer_id": "1", "history": [{"occurred_at": "2025-01-01"}]}, "history"),
    ({"customer_id": "1", "k": 0}, "k"),
    ({"customer_id": "1", "k": 101}, "k"),
    ({"customer_id": "1", "k": "5"}, "k"),
    ({"customer_id": "1", "hidden": 1}, "hidden"),
    ({"customer_id": ""}, "customer_id"),
    ({"customer_id": "a\x00b"}, "customer_id"),
    ({"customer_id": "x" * 257}, "customer_id"),
    ({"customer_id": True}, "customer_id"),
    ({"customer_id": "1", "as_of": "soon"}, "as_of"),
    ({"customer_id": "1", "as_of": "9999-12-31"}, "as_of"),
    ({"customer_id": "1", "as_of": "0001-01-01"}, "as_of"),
    ({"customer_id": "1", "repeat": "never"}, "repeat"),
    ({"history": [{"occurred_at": "yesterday", "amount": 1}]}, "history[0].occurred_at"),
    ({"history": [{"occurred_at": "2025-01-01", "colour": "red"}]}, "history[0].colour"),
    ({"history": []}, "history"),
    ({"basket": ["a"] * 101}, "basket"),
]


@pytest.mark.parametrize(("body", "field"), BAD, ids=[str(at) for at in range(len(BAD))])
def test_bad_input_is_named_by_its_field(web: Web, body: dict[str, Any], field: str) -> None:
    answer = web.post("/v1/predict", body)
    assert answer.status_code == 400
    assert error_of(answer)["field"] == field


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "null",
        "{",
        b"\xff\xfe\x00",
        "[" * 100_000,
        '{"a":' * 50_000,
        '{"customer_id": "\\ud800"}',
        '{"customer_id": NaN}',
        '{"history": [{"occurred_at": "2025-01-01", "quantity": 1e999}]}',
    ],
    ids=range(10),
)
def test_hostile_bodies_are_bad_input(web: Web, body: str | bytes) -> None:
    answer = web.post("/v1/predict", body)
    assert answer.status_code == 400
    assert error_of(answer)["code"] == "bad_input"


def test_other_refusals_use_the_same_envelope(web: Web) -> None:
    assert error_of(web.post("/v1/predict", " " * (2 << 20)))["code"] == "too_large"
    assert error_of(web.get("/v1/nothing"))["code"] == "not_found"
    refused = web.get("/v1/predict")
    assert error_of(refused)["code"] == "method_not_allowed"
    assert refused.headers["allow"] == "POST"
    assert error_of(web.get("/v1/customers/nobody"))["code"] == "not_found"
    assert error_of(web("DELETE", "/v1/customers/nobody"))["code"] == "conflict"  # no key to hash the person with
    assert error_of(web.post("/v1/predict_many", {"customer_ids": ["a"] * 1001}))["field"] == "customer_ids"


def order(customer: str, **more: object) -> dict[str, object]:
    return {"customer_id": customer, "occurred_at": to_text(wall()), "unit_price": 20.0, **more}


def test_an_order_changes_the_next_answer_and_counts_once(mine: Web) -> None:
    customer = mine.backend.store.customer_ids()[0]
    before = mine.post("/v1/predict", {"customer_id": customer}).json()
    posted = {"orders": [order(customer, product_id="hat"), order(customer, product_id="scarf")]}
    assert mine.post("/v1/events", posted).json() == {"accepted": 2, "duplicate": 0, "future": 0}
    after = mine.post("/v1/predict", {"customer_id": customer}).json()
    assert after["churn"]["probability"] < before["churn"]["probability"]
    assert after["data_as_of"] > before["data_as_of"]
    assert mine.post("/v1/events", posted).json() == {"accepted": 0, "duplicate": 2, "future": 0}


def test_an_answer_is_remembered_until_something_is_written_about_the_customer(
    mine: Web, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By any worker: here the posts go to another than the one that answers."""
    from service import answers

    made: list[object] = []
    anew = answers.answers
    monkeypatch.setattr(answers, "answers", lambda *about: made.append(about) or anew(*about))
    first, second = mine.backend.store.customer_ids()[:2]
    hat = {"product_id": "hat"}
    view = {"kind": "view", "occurred_at": to_text(wall()), **hat}

    def made_anew() -> bool:
        before = len(made)
        assert mine.post("/v1/predict", {"customer_id": first}).status_code == 200
        return len(made) > before

    with web_of(mine.backend.settings, shelf_of(trained, tmp_path / "other")) as other:
        other.post("/v1/events", {"orders": [order(second, **hat)], "events": [view | {"customer_id": second}]})
        assert made_anew()
        for path, body, counts in (
            ("events", {"orders": [order(second, **hat)]}, False),
            ("events", {"orders": [order(first, **hat)]}, True),
            ("events", {"events": [view | {"customer_id": second, "id": "one"}]}, False),
            ("events", {"events": [view | {"customer_id": first}]}, True),
            ("events", {"orders": [order(first, quantity=-1, **hat)]}, True),
            ("products", {"products": [{"product_id": "hat", "price": 7.0}]}, True),
        ):
            assert not made_anew()
            assert other.post(f"/v1/{path}", body).status_code == 200
            assert made_anew() is counts, body
        assert other("PUT", f"/v1/customers/{second}/consent", {"prediction": False}).status_code == 200
        assert not made_anew()
        assert other("PUT", f"/v1/customers/{first}/consent", {"prediction": False}).status_code == 200
        assert made_anew()


def test_an_event_without_an_order_is_no_purchase(mine: Web) -> None:
    seen = {"customer_id": "visitor", "kind": "view", "occurred_at": to_text(wall()), "product_id": "hat"}
    assert mine.post("/v1/events", {"events": [seen]}).json()["accepted"] == 1
    assert mine.post("/v1/churn", {"customer_id": "visitor"}).json()["churn"]["fallback"] == "prior"
    assert mine.get("/v1/customers/visitor").json()["events"][0]["kind"] == "view"


def test_orders_dated_ahead_are_kept_and_ignored(mine: Web) -> None:
    ahead = order("early", occurred_at="2090-01-01T00:00:00Z")
    assert mine.post("/v1/events", {"orders": [ahead]}).json() == {"accepted": 1, "duplicate": 0, "future": 1}
    assert mine.post("/v1/churn", {"customer_id": "early"}).json()["churn"]["fallback"] == "prior"


def test_one_bad_line_refuses_all(mine: Web) -> None:
    answer = mine.post("/v1/events", {"orders": [order("new"), order("new", occurred_at="never")]})
    assert error_of(answer)["field"] == "orders[1].occurred_at"
    foreign = mine.post("/v1/events", {"orders": [order("new", currency="XXX")]})
    assert foreign.status_code in (200, 400)  # a shop that never said its currency takes any
    assert mine.post("/v1/events", {}).status_code == 400
    assert mine.get("/v1/customers/new").status_code == (404 if foreign.status_code == 400 else 200)


def test_stock_counts_at_once(mine: Web, loyal: str) -> None:
    asked = {"customer_id": loyal, "k": 3}
    first = mine.post("/v1/next_purchase", asked).json()["next_purchase"]["products"][0]["product_id"]
    gone = {"products": [{"product_id": first, "in_stock": False}]}
    assert mine.post("/v1/products", gone).json() == {"products": 1}
    chosen = mine.post("/v1/next_purchase", asked).json()["next_purchase"]["products"]
    assert first not in [product["product_id"] for product in chosen]
    chosen = mine.post("/v1/next_purchase", {**asked, "in_stock_only": False}).json()["next_purchase"]["products"]
    assert first in [product["product_id"] for product in chosen]


def test_without_consent_nothing_is_computed(mine: Web, loyal: str) -> None:
    answer = mine("PUT", f"/v1/customers/{loyal}/consent", {"prediction": False})
    assert answer.json() == {"prediction": False, "recommendation": True, "training": True}
    told = mine.post("/v1/predict", {"customer_id": loyal, "explain": True}).json()
    assert [told[part]["source"] for part in PARTS] == ["withheld"] * 4
    assert told["churn"]["probability"] is None
    assert told["churn"]["reasons"] == []
    assert told["customer_value"]["expected_spend"] is None
    assert told["segment"]["name"] is None
    assert told["next_purchase"]["weeks"] is None
    assert told["next_purchase"]["fallback"] == "popularity"
    assert len(told["next_purchase"]["products"]) == 10


def test_without_consent_to_recommendation_products_are_popular(mine: Web, loyal: str) -> None:
    mine("PUT", f"/v1/customers/{loyal}/consent", {"recommendation": False})
    told = mine.post("/v1/next_purchase", {"customer_id": loyal}).json()["next_purchase"]
    popular = mine.post("/v1/next_purchase", {"customer_id": "nobody"}).json()["next_purchase"]
    assert told["products"] == popular["products"]
    assert (told["source"], told["fallback"]) == ("fallback", "popularity")
    assert told["weeks"] is not None


def test_ids_with_slashes_are_whole(trained: Trained, tmp_path: Path) -> None:
    settings = own_copy(trained, tmp_path).model_copy(update={"erasure_key": _secret("a key")})
    with web_of(settings, shelf_of(trained, tmp_path / "shelf")) as web:
        for customer in ("a/b", "a/consent", "50% off?#", "déjà"):
            assert web.post("/v1/events", {"orders": [order(customer)]}).status_code == 200
            path = f"/v1/customers/{_quoted(customer)}"
            assert web.get(path).json()["customer_id"] == customer
            assert web("PUT", f"{path}/consent", {"training": False}).json()["training"] is False
            assert web("DELETE", path).json()["erased"] is True
            assert web.get(path).status_code == 404
            assert web("DELETE", path).status_code == 404


def test_what_is_served_is_told(web: Web, trained: Trained) -> None:
    told = s.ModelsAnswer.model_validate(web.get("/v1/models").json())
    assert told.release == trained.release
    assert set(told.models) == {"churn", "customer_value", "next_purchase", "segments"}
    assert told.grades
    assert {"name", "size", "share_of_spend", "expected_spend"} <= set(told.segments[0])
    assert told.last_refusal is None
    assert told.warnings == []


def test_old_data_is_warned_of(mine: Web) -> None:
    assert any("everybody looks lost" in warning for warning in mine.get("/v1/models").json()["warnings"])


def test_no_id_reaches_log_or_metrics(mine: Web, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    who = "someone.private@example.org"
    mine.post("/v1/predict", {"customer_id": who, "colour": who})
    mine.post("/v1/predict", {"customer_id": who})
    mine.post("/v1/events", {"orders": [order(who, occurred_at=who)]})
    mine.get(f"/v1/customers/{who}")
    mine.backend.store.rows = lambda customer: 1 / 0  # type: ignore[method-assign,assignment,return-value]
    failed = mine.post("/v1/predict", {"customer_id": f"other {who}"}, headers={"X-Request-ID": "abc-1"})
    assert failed.status_code == 500
    assert error_of(failed)["code"] == "internal"
    assert "abc-1" in caplog.text
    assert who not in caplog.text.replace("http://shop/v1/customers/", "")[: caplog.text.find("HTTP Request") or None]
    assert who not in mine.backend.metrics.text().decode()


def test_a_store_that_cannot_be_read_leaves_what_is_known(
    mine: Web, loyal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sqlite3

    known = mine.post("/v1/predict", {"customer_id": loyal}).json()

    def locked() -> None:
        raise sqlite3.OperationalError("database is locked")

    with monkeypatch.context() as broken:
        broken.setattr(mine.backend.store, "_quick", locked)
        stale = mine.post("/v1/predict", {"customer_id": loyal}).json()
        assert {(stale[part]["source"], stale[part]["fallback"]) for part in PARTS} == {("fallback", "stale")}
        assert stale["churn"]["probability"] == pytest.approx(known["churn"]["probability"], abs=0.01)
        stranger = mine.post("/v1/predict", {"customer_id": "never asked about"}).json()
        assert {stranger[part]["fallback"] for part in PARTS} == {"stale"}
        assert len(stranger["next_purchase"]["products"]) == 10
    monkeypatch.setattr("service.present._RETRY_SECONDS", 0.0)
    assert mine.post("/v1/churn", {"customer_id": loyal}).json()["churn"]["source"] == "model"


def test_a_request_that_came_too_long_ago_gets_a_labelled_fallback(
    trained: Trained, tmp_path: Path, loyal: str
) -> None:
    shelf = shelf_of(trained, tmp_path / "shelf")
    with web_of(trained.settings, shelf, deadline_ms=0.001) as web:
        told = web.post("/v1/predict", {"customer_id": loyal}).json()
        assert {(told[part]["source"], told[part]["fallback"]) for part in PARTS} == {("fallback", "deadline")}
        assert len(told["next_purchase"]["products"]) == 10
        s.Prediction.model_validate(told)


def test_without_a_release_it_says_so(trained: Trained, tmp_path: Path) -> None:
    from service.shelf import Shelf

    with web_of(trained.settings, Shelf(tmp_path)) as web:
        answer = web.post("/v1/predict", {"customer_id": "1"})
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "5"
        assert "no release" in error_of(answer)["message"]
        assert web.get("/v1/models").json()["release"] is None


def test_examples_of_the_document_are_true(mine: Web) -> None:
    document = mine.get("/v1/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    ran = 0
    for path, verbs in document["paths"].items():
        for verb, operation in verbs.items():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            for example in content.get("examples", {}).values():
                answer = mine(verb.upper(), path.replace("{id}", "13085"), example["value"])
                assert answer.status_code == 200, (path, answer.text)
                shown = operation["responses"]["200"]["content"]["application/json"]["example"]
                assert _shape(answer.json()) == _shape(shown), path
                ran += 1
    assert ran >= 14


def _shape(value: Any) -> Any:
    """Names all the way down; values and lengths do not matter."""
    if isinstance(value, dict):
        return {name: None if name == "reasons" else _shape(inner) for name, inner in value.items()}
    return _shape(value[0]) if isinstance(value, list) and value and isinstance(value[0], dict) else None


def _secret(text: str) -> Any:
    from pydantic import SecretStr

    return SecretStr(text)


def _quoted(customer: str) -> str:
    from urllib.parse import quote

    return quote(customer, safe="")


def test_answers_are_plain_json(web: Web, loyal: str) -> None:
    answer = web.post("/v1/predict", {"customer_id": loyal, "explain": True})
    assert json.loads(answer.text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_late_lines_in_any_order_give_the_answer_of_lines_in_order(mine: Web) -> None:
    days = ("2025-06-03", "2025-08-09", "2025-10-21", "2025-12-04")
    posted = {
        who: [order(who, occurred_at=f"{day}T10:00:00Z", product_id="hat", order_id=day) for day in days]
        for who in ("in order", "backwards")
    }
    for line in (*posted["in order"], *reversed(posted["backwards"])):
        assert mine.post("/v1/events", {"orders": [line]}).json()["accepted"] == 1
    one, other = (mine.post("/v1/churn", {"customer_id": who, "as_of": "2090-01-01"}).json() for who in posted)
    assert one["churn"]["source"] == "model"
    assert one["churn"] == other["churn"]


def test_late_lines_do_not_change_what_was_known_in_the_past(mine: Web, loyal: str) -> None:
    asked = {"customer_id": loyal, "as_of": AS_OF}
    before = mine.post("/v1/churn", asked).json()["churn"]
    mine.post("/v1/events", {"orders": [order(loyal, occurred_at="2025-11-30T10:00:00Z")]})
    assert mine.post("/v1/churn", asked).json()["churn"] == before


def test_a_line_dated_ahead_counts_from_when_it_is_due(mine: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    soon = order("early bird", occurred_at=to_text(wall() + 3_600_000_000))
    assert mine.post("/v1/events", {"orders": [soon]}).json()["future"] == 1
    assert mine.post("/v1/churn", {"customer_id": "early bird"}).json()["churn"]["fallback"] == "prior"
    later = wall() + 7_200_000_000
    monkeypatch.setattr("service.clock.wall", lambda: later)
    monkeypatch.setattr("service.present._LOOK_SECONDS", -1.0)
    assert mine.post("/v1/churn", {"customer_id": "early bird"}).json()["churn"]["source"] == "model"


def test_an_unknown_product_is_known_from_then_on(mine: Web) -> None:
    mine.post("/v1/events", {"orders": [order("pioneer", product_id="brand new")]})
    chosen = mine.post("/v1/next_purchase", {"customer_id": "pioneer", "repeat": "only"}).json()["next_purchase"]
    assert [product["product_id"] for product in chosen["products"]] == ["brand new"]


def test_as_long_as_nothing_is_written_nothing_is_read(mine: Web, loyal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = mine.post("/v1/predict", {"customer_id": loyal})
    with monkeypatch.context() as unread:
        unread.setattr(mine.backend.store, "rows", lambda customer, **more: pytest.fail("read again"))
        assert mine.post("/v1/predict", {"customer_id": loyal}).content == first.content


def test_a_key_that_asks_too_often_is_told_to_wait(trained: Trained, tmp_path: Path) -> None:
    settings = trained.settings.model_copy(update={"rate_limit": 1.0})
    with web_of(settings, shelf_of(trained, tmp_path / "shelf")) as web:
        assert web.post("/v1/churn", {"customer_id": "1"}).status_code == 200
        refused = web.post("/v1/churn", {"customer_id": "1"})
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "1"
        assert error_of(refused)["code"] == "too_many_requests"


def test_keys_known_last_still_open_while_the_store_is_away(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sqlalchemy as sa

    from service import keys

    def away(engine: object) -> list[keys.Key]:
        raise sa.exc.OperationalError("", {}, Exception())

    with web_of(own_copy(trained, tmp_path), shelf_of(trained, tmp_path / "shelf"), loopback=False) as web:
        known = {"Authorization": f"Bearer {keys.add(web.backend.store, ['predict'])}"}
        assert web.post("/v1/churn", {"customer_id": "1"}, headers=known).status_code == 200
        monkeypatch.setattr(keys, "_REFRESH_SECONDS", 0.0)
        monkeypatch.setattr(keys, "_read", away)
        assert web.post("/v1/churn", {"customer_id": "1"}, headers=known).status_code == 200
        assert web.post("/v1/churn", {"customer_id": "1"}).status_code == 401
