"""Events, consent, erasure and predictions in any order, beside a model of them in plain dictionaries."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from pydantic import SecretStr

from histories.settings import Settings
from histories.storage.store import Store
from service.backend import Backend
from service.releases import Releases
from tests.conftest import Trained
from tests.web import Web, own_copy, shelf_of, web_of

TODAY = 5  # the service's clock stands at the end of this day of January
PURPOSES = ("prediction", "recommendation", "training")
CUSTOMERS = st.sampled_from(["ann", "bob/1", "Cé", "007"])
DAYS = st.integers(1, 9)
LINES = st.builds(
    lambda customer, day, product, order, id: {
        "customer_id": customer, "occurred_at": f"2026-01-{day:02d}T12:00:00Z", "product_id": product,
        "order_id": order, "id": id, "quantity": 1.0, "unit_price": 5.0,
    },
    CUSTOMERS, DAYS, st.sampled_from(["A", "B"]), st.sampled_from([None, "o1"]), st.sampled_from([None, "x1", "x2"]),
)  # fmt: skip
EVENTS = st.builds(
    lambda customer, day, kind, id: {
        "customer_id": customer, "occurred_at": f"2026-01-{day:02d}T12:00:00Z", "kind": kind, "id": id,
    },
    CUSTOMERS, DAYS, st.sampled_from(["view", "cart"]), st.sampled_from([None, "x1"]),
)  # fmt: skip
CONSENT = st.dictionaries(st.sampled_from(PURPOSES), st.booleans(), min_size=1)


@dataclass
class Person:
    lines: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    consent: dict[str, bool] = field(default_factory=lambda: dict.fromkeys(PURPOSES, True))

    def bought(self) -> bool:
        return any(day_of(line) <= TODAY for line in self.lines)


def day_of(row: dict[str, Any]) -> int:
    return int(row["occurred_at"][8:10])


@dataclass
class Book:
    """What the service should know."""

    people: dict[str, Person] = field(default_factory=dict)
    erased: set[str] = field(default_factory=set)

    def post(self, rows: list[dict[str, Any]], kept: str) -> Counter[str]:
        """Takes rows in; kept names the list of a person that they go to."""
        admitted = [row for row in rows if row["customer_id"] not in self.erased]
        for row in admitted:
            self.people.setdefault(row["customer_id"], Person())
        counts, seen = Counter({"accepted": 0, "duplicate": 0, "future": 0}), Counter[str]()
        known = Counter(str(row) for person in self.people.values() for row in getattr(person, kept) if not row["id"])
        given = {row["id"] for person in self.people.values() for row in getattr(person, kept)}
        for row in admitted:
            seen[str(row)] += 1
            new = row["id"] not in given if row["id"] else seen[str(row)] > known[str(row)]
            counts["accepted" if new else "duplicate"] += 1
            counts["future"] += day_of(row) > TODAY
            if new:
                getattr(self.people[row["customer_id"]], kept).append(row)
                given.add(row["id"])
        return counts


class Machine(RuleBasedStateMachine):
    releases: Releases  # set by the test: loading one takes longer than a whole run
    settings: Settings

    def __init__(self) -> None:
        super().__init__()
        self.book = Book()
        self.folder = tempfile.TemporaryDirectory()
        self.store = Store.open(f"sqlite:///{self.folder.name}/shop.db", self.settings)
        self.web = Web(Backend(self.settings, self.store, self.releases, loopback=True))

    def teardown(self) -> None:
        self.web.close()
        self.web.backend._writer.shutdown()
        self.store.close()
        self.folder.cleanup()

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        return self.web(method, path, body)

    def path(self, customer: str, more: str = "") -> str:
        return f"/v1/customers/{customer.replace('/', '%2F')}{more}"

    @rule(orders=st.lists(LINES, max_size=4), events=st.lists(EVENTS, max_size=3))
    def post(self, orders: list[dict[str, Any]], events: list[dict[str, Any]]) -> None:
        answer = self.ask("POST", "/v1/events", {"orders": orders, "events": events})
        if not orders and not events:
            assert answer.status_code == 400
            return
        counts = self.book.post(orders, "lines")
        counts.update(self.book.post(events, "events"))
        assert answer.json() == dict(counts)

    @rule(customer=CUSTOMERS, consent=CONSENT)
    def allow(self, customer: str, consent: dict[str, bool]) -> None:
        answer = self.ask("PUT", self.path(customer, "/consent"), consent)
        person = self.book.people.get(customer)
        assert answer.status_code == (200 if person else 404)
        if person:
            person.consent |= consent
            assert answer.json() == person.consent

    @rule(customer=CUSTOMERS)
    def erase(self, customer: str) -> None:
        answer = self.ask("DELETE", self.path(customer))
        assert answer.status_code == (200 if customer in self.book.people else 404)
        if self.book.people.pop(customer, None):
            self.book.erased.add(customer)

    @rule(customer=CUSTOMERS)
    def export(self, customer: str) -> None:
        answer, person = self.ask("GET", self.path(customer)), self.book.people.get(customer)
        assert answer.status_code == (200 if person else 404)
        if person:
            held = answer.json()
            assert held["consent"] == person.consent
            for name, kept in (("orders", person.lines), ("events", person.events)):
                assert Counter(row["occurred_at"] for row in held[name]) == Counter(row["occurred_at"] for row in kept)

    @rule(customer=CUSTOMERS)
    def predict(self, customer: str) -> None:
        said = self.ask("POST", "/v1/predict", {"customer_id": customer, "k": 3}).json()
        person = self.book.people.get(customer, Person())
        may, bought = person.consent, person.bought()
        expected = "withheld" if not may["prediction"] else "model" if bought else "fallback"
        assert {said[part]["source"] for part in ("churn", "customer_value", "segment")} == {expected}
        assert (said["churn"]["probability"] is None) == (not may["prediction"])
        products = "withheld" if not may["prediction"] else "model" if bought and may["recommendation"] else "fallback"
        assert said["next_purchase"]["source"] == products
        assert said["next_purchase"]["fallback"] == (None if products == "model" else "popularity")

    @invariant()
    def nobody_who_objects_is_trained_on(self) -> None:
        allowed = sorted(name for name, person in self.book.people.items() if person.consent["training"])
        assert self.store.history(purpose="training").customer_id.tolist() == allowed


def run(trained: Trained, folder: Path, examples: int, steps: int) -> None:
    wanted = own_copy(trained, folder).model_copy(
        update={"erasure_key": SecretStr("key"), "clock": f"2026-01-0{TODAY}"}
    )
    with web_of(wanted, shelf_of(trained, folder / "shelf")) as web:
        Machine.releases, Machine.settings = web.backend.releases, web.backend.settings
        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck)
            ),
        )


def test_a_few_runs(trained: Trained, tmp_path: Path) -> None:
    run(trained, tmp_path, examples=8, steps=12)


@pytest.mark.prove
def test_many_runs(trained: Trained, tmp_path: Path) -> None:
    run(trained, tmp_path, examples=20, steps=25)
