"""The Python client, against the app itself and against one that fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from service import keys
from service.client import ApiError, Client
from tests.conftest import Trained
from tests.web import Web, own_copy, shelf_of, web_of


@pytest.fixture(scope="module")
def web(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    folder = tmp_path_factory.mktemp("client")
    settings = own_copy(trained, folder).model_copy(update={"erasure_key": SecretStr("a key")})
    with web_of(settings, shelf_of(trained, folder / "shelf"), loopback=False) as opened:
        yield opened


def client_of(web: Web, *scopes: str) -> Client:
    key = keys.add(web.backend.store, scopes) if scopes else None
    return Client("http://shop", key, transport=web)


def test_everything_can_be_asked(web: Web) -> None:
    shop = client_of(web, "admin")
    customer = web.backend.store.customer_ids()[3]
    assert shop.predict(customer, k=3).churn.source == "model"
    assert shop.churn(customer).churn.probability == pytest.approx(shop.predict(customer).churn.probability)
    assert shop.customer_value(customer).customer_value.expected_spend is not None
    assert shop.segment(customer).segment.name
    assert len(shop.next_purchase(basket=["nothing known"], k=2).next_purchase.products) == 2
    assert [one.customer_id for one in shop.predict_many([customer, "x"])] == [customer, "x"]
    line = {"customer_id": "a/b c", "occurred_at": "2025-12-30T10:00:00", "unit_price": 5}
    assert shop.add(orders=[line]).accepted == 1
    assert shop.upsert_products([{"product_id": "hat", "price": 3.5}]) == 1
    assert shop.customer("a/b c")["orders"][0]["unit_price"] == 5
    assert shop.set_consent("a/b c", training=False).training is False
    assert shop.erase("a/b c").erased
    assert shop.models().release is not None


def test_refusals_are_told_as_errors(web: Web) -> None:
    with pytest.raises(ApiError, match="400 bad_input: k: ") as refused:
        client_of(web, "predict").predict("1", k=0)
    assert (refused.value.status, refused.value.field) == (400, "k")


def test_keys_open_what_their_scopes_say(web: Web) -> None:
    with pytest.raises(ApiError, match="401"):
        client_of(web).churn("1")
    with pytest.raises(ApiError, match="401"):
        Client("http://shop", "rg_0000_wrong", transport=web).churn("1")
    shop = client_of(web, "predict")
    assert shop.churn("1").customer_id == "1"
    with pytest.raises(ApiError, match="403"):
        shop.customer("1")
    with pytest.raises(ApiError, match="403"):
        shop.upsert_products([{"product_id": "hat"}])
    with pytest.raises(ApiError, match="404"):
        client_of(web, "privacy").customer("1")


def test_a_revoked_key_opens_nothing(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "_REFRESH_SECONDS", 0.0)
    secret = keys.add(web.backend.store, ["predict"], "to be revoked")
    shop = Client("http://shop", secret, transport=web)
    shop.churn("1")
    (made,) = [key for key in keys.every(web.backend.store) if key.name == "to be revoked"]
    assert secret.rsplit("_", 1)[-1] not in str(made)  # only a digest is kept
    assert keys.revoke(web.backend.store, made.id)
    assert not keys.revoke(web.backend.store, made.id)
    with pytest.raises(ApiError, match="401"):
        shop.churn("1")


def test_a_scope_that_is_none_is_refused(web: Web) -> None:
    with pytest.raises(ValueError, match="scopes must be some of"):
        keys.add(web.backend.store, ["everything"])


def failing(*answers: httpx.Response | Exception) -> tuple[Client, list[httpx.Request]]:
    """A client of a service that answers with these, one after the other."""
    left, asked = list(answers), []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        now = left.pop(0)
        if isinstance(now, Exception):
            raise now
        return now

    return Client("http://shop", transport=httpx.MockTransport(answer)), asked


def test_it_tries_again_where_that_is_safe(web: Web) -> None:
    busy = httpx.Response(503, headers={"Retry-After": "0"}, json={})
    added = httpx.Response(200, json={"accepted": 1, "duplicate": 0, "future": 0})
    shop, asked = failing(busy, httpx.ConnectError("no"), added)
    assert shop.add(orders=[{}]).accepted == 1
    assert len(asked) == 3


def test_it_gives_up_in_the_end(tmp_path: Path) -> None:
    busy = httpx.Response(503, json={"error": {"code": "unavailable", "field": None, "message": "busy"}})
    shop, asked = failing(busy, busy, busy)
    with pytest.raises(ApiError, match="503 unavailable: busy"):
        shop.churn("1")
    assert len(asked) == 3
    shop, asked = failing(busy, busy)
    with pytest.raises(ApiError):
        shop.erase("1")
    assert len(asked) == 1
