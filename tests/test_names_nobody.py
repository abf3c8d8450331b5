"""No word of a person where persons do not belong: logs, metrics, error messages, rejects, what commands print."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

import regulars
from tests.conftest import Trained
from tests.web import own_copy, shelf_of, web_of

WHO = "planted.person@example.org"
ORDER = "planted-order-77"
HEADER = "customer_id,occurred_at,order_id,product_id,quantity,unit_price\n"


def planted_in(*texts: str) -> bool:
    return any("planted" in text.lower() for text in texts)


def test_an_import_with_rejects_names_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.DEBUG)
    good = f"{WHO},2024-01-05,{ORDER},A,1,2\n"
    bad = [f"{WHO},{WHO},{ORDER},A,1,2\n", f"{WHO},2024-01-05,{ORDER},A,{WHO},2\n", f"{WHO},2024-01-05,{ORDER}\n"]
    Path("some.csv").write_text(HEADER + good + "".join(bad))
    Path("none.csv").write_text(HEADER + "".join(bad))
    Path("quotes.csv").write_text(HEADER + f'"{WHO},2024-01-05,{ORDER},A,1,2\n')
    some = ["import", "--orders", "some.csv", "--rejects", "rejects.csv", "--store", "sqlite:///shop.db"]
    assert regulars.run(some) == 0
    for name in ("none.csv", "quotes.csv"):
        assert regulars.run(["import", "--orders", name, "--store", "sqlite:///shop.db"]) == regulars.BAD_INPUT
    rejects = Path("rejects.csv").read_text()
    assert rejects.count("\n") == 1 + len(bad)
    said = capfd.readouterr()
    assert not planted_in(rejects, said.out, said.err, caplog.text)


BAD: list[tuple[str, str, Any]] = [
    ("POST", "/v1/predict", {"customer_id": [WHO]}),
    ("POST", "/v1/predict", {"customer_id": WHO, "as_of": WHO}),
    ("POST", "/v1/predict", {"customer_id": WHO, "k": WHO}),
    ("POST", "/v1/predict", {"customer_id": WHO + "\x00"}),
    ("POST", "/v1/predict", {"customer_id": WHO, "history": [{"occurred_at": WHO}]}),
    ("POST", "/v1/predict", f'{{"customer_id": "{WHO}"'),
    ("POST", "/v1/predict_many", {"customer_ids": WHO}),
    ("POST", "/v1/events", {"orders": [{"customer_id": WHO, "occurred_at": "yesterday", "order_id": ORDER}]}),
    ("POST", "/v1/events", {"orders": [{"customer_id": WHO, "occurred_at": "2025-01-01", "quantity": WHO}]}),
    ("POST", "/v1/events", {"events": [{"customer_id": WHO, "kind": "view", "occurred_at": WHO}]}),
    ("POST", "/v1/products", {"products": [{"product_id": ORDER, "price": WHO}]}),
    ("PUT", f"/v1/customers/{WHO}/consent", {"prediction": WHO}),
    ("GET", "/v1/customers/planted.stranger", None),
    ("DELETE", "/v1/customers/planted.stranger", None),
    ("GET", f"/v1/{WHO}", None),
]


def test_the_service_repeats_nothing_and_logs_nobody(
    trained: Trained, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    settings = own_copy(trained, tmp_path).model_copy(update={"erasure_key": SecretStr("key")})
    line = {"customer_id": WHO, "occurred_at": "2025-12-01T10:00:00Z", "order_id": ORDER, "amount": 5.0}
    with web_of(settings, shelf_of(trained, tmp_path / "shelf")) as web:
        assert web.post("/v1/events", {"orders": [line]}).status_code == 200
        assert web.post("/v1/predict", {"customer_id": WHO}).status_code == 200
        for method, path, body in BAD:
            answer = web(method, path, body)
            assert 400 <= answer.status_code < 500, (method, path)
            assert not planted_in(answer.text), (method, path, body)
        assert json.loads(web.get(f"/v1/customers/{WHO}").text)["orders"]
        assert web("DELETE", f"/v1/customers/{WHO}").json()["erased"]
        assert web.get(f"/v1/customers/{WHO}").status_code == 404
        metrics = web.backend.metrics.text().decode()
        with web.backend.store.snapshot() as connection:
            audit = str(connection.exec_driver_sql("SELECT * FROM audit").all())
    said = capfd.readouterr()
    log = [record.getMessage() for record in caplog.records if record.name != "httpx"]  # the test's own client
    assert not planted_in(*log, said.out, said.err, metrics, audit)
    assert "export" in audit
