"""The history store: one shop's lines, events, customers and products in SQLite or PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from sqlalchemy.engine import Connection

from histories.columns import EVENTS, ORDERS, complete
from histories.errors import BadInput
from histories.settings import Settings
from histories.storage import erasure, incoming, persons, privacy, writing
from histories.storage.database import forget_log, open_engine
from histories.storage.erasure import Erasure
from histories.storage.incoming import Added
from histories.storage.lookup import Lookup
from histories.storage.many import Many
from histories.storage.seal import Seal


class Store(Lookup, Many):
    """All that can be asked of a shop's data and done to it: reading one and many is inherited, the rest is here.

    Open with Store.open. Reads may come from any thread; each write is one durable transaction.
    """

    @classmethod
    def open(cls, url: str, settings: Settings) -> Store:
        """Creates what is missing. Raises BadInput for a store of another zone or currency, or none at all."""
        Seal.of(settings)  # a key that is none is refused before anything is opened
        store = cls(open_engine(url), settings)
        for name in ("timezone", "currency"):
            known = store._meta(name)
            if known and name in settings.model_fields_set and getattr(settings, name) not in ("", known):
                store.close()
                raise BadInput(f"{name}: this store was filled with {known}; leave the setting out or import anew")
        return store

    def add(
        self,
        orders: pa.Table | None = None,
        events: pa.Table | None = None,
        customers: pa.Table | None = None,
        products: pa.Table | None = None,
        *,
        now: int,
    ) -> Added:
        """Canonical tables (columns.py) in one transaction. Without recorded_at, a row was learned of `now` (us)."""
        added = Added()
        with self.writing() as connection:
            gate = incoming.Gate.of(connection, self.settings)
            self.fix_zone(connection)
            if products is not None:
                writing.update_products(connection, products.to_pylist())
            if customers is not None:
                persons.add_customers(connection, customers.to_pylist(), gate, self.settings)
            if orders is not None:
                rates = incoming.Rates(self.currency, self.settings.rates)
                added += incoming.add_orders(connection, complete(orders, ORDERS), gate, rates, now)
            if events is not None:
                added += incoming.add_events(connection, complete(events, EVENTS), gate, now)
        return added

    def fix_zone(self, connection: Connection, zone: str | None = None, currency: str | None = None) -> None:
        """Keeps the zone (and currency) that the first write uses for all that follow."""
        for name, value in (
            ("timezone", zone or self.settings.timezone),
            ("currency", currency or self.settings.currency),
        ):
            if value and writing.meta(connection, name) is None:
                writing.set_meta(connection, name, value)

    def upsert_products(self, rows: Sequence[Mapping[str, object]]) -> int:
        """Name, category, price and stock of products, by product_id; keys left out keep their value."""
        with self.writing() as connection:
            return writing.update_products(connection, rows)

    def set_consent(self, customer_id: str, consent: Mapping[str, bool]) -> bool:
        """False when the customer is unknown."""
        with self.writing() as connection:
            return privacy.set_consent(connection, self.settings, customer_id, consent)

    def export(self, customer_id: str) -> dict[str, Any] | None:
        """All that is held on a person; None when unknown."""
        with self.writing() as connection:
            return privacy.export(connection, self.settings, customer_id)

    def erase(self, customer_id: str) -> Erasure | None:
        """Forgets a person for good, in batch outputs, too; None when unknown. Needs settings.erasure_key."""
        return erasure.erase(self, customer_id)

    def retain(self, days: int, *, now: int) -> int:
        """Deletes lines and events older than `days` before now (us), and who is then empty; returns rows gone."""
        with self.writing() as connection:
            gone = privacy.retain(connection, self.settings, days, now)
        forget_log(self.engine)
        return gone
