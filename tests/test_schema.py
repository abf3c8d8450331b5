"""The HTTP API against its own OpenAPI document: requests made up from it, answers held against it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from pydantic import SecretStr

from service import keys
from service.app import create_app
from tests.conftest import Trained
from tests.web import Web, own_copy, shelf_of, web_of

app = create_app()  # its worker's state comes when the tests begin


@pytest.fixture(scope="module", autouse=True)
def shop(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    folder = tmp_path_factory.mktemp("schema")
    settings = own_copy(trained, folder).model_copy(update={"clock": "data", "erasure_key": SecretStr("key")})
    with web_of(settings, shelf_of(trained, folder / "shelf"), loopback=False) as web:
        app.state.backend = web.backend
        yield web


@pytest.fixture(scope="module")
def key() -> dict[str, str]:
    return {"Authorization": f"Bearer {keys.add(app.state.backend.store, ['admin'])}"}


schema = schemathesis.openapi.from_asgi("/v1/openapi.json", app)
# What the schema cannot say (one of two fields, a date that exists) is 400; a body beyond all limits, 413.
schema.config.checks.positive_data_acceptance.expected_statuses += ["400"]
schema.config.checks.negative_data_rejection.expected_statuses += ["413"]
quietly = settings(deadline=None, suppress_health_check=list(HealthCheck))


@schema.parametrize()
@settings(quietly, max_examples=5)
def test_a_few_requests_of_each_kind(case: schemathesis.Case, key: dict[str, str]) -> None:
    case.call_and_validate(headers=key)


@pytest.mark.prove
@schema.parametrize()
@settings(quietly, max_examples=50)
def test_many_requests_of_each_kind(case: schemathesis.Case, key: dict[str, str]) -> None:
    case.call_and_validate(headers=key)


@pytest.mark.parametrize("method", ["DELETE", "GET"])
def test_a_slash_that_is_not_encoded_divides_the_path(method: str, shop: Web, key: dict[str, str]) -> None:
    answer = shop(method, "/v1/customers/7/consent", headers=key)
    assert (answer.status_code, answer.headers["allow"]) == (405, "PUT")
    assert shop(method, "/v1/customers/7%2Fconsent", headers=key).status_code == 404


def test_a_path_names_all_its_methods(shop: Web, key: dict[str, str]) -> None:
    answer = shop("PATCH", "/v1/customers/7", headers=key)
    assert (answer.status_code, answer.headers["allow"]) == (405, "DELETE, GET")
