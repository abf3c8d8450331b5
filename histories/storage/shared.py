"""What all customers of a store share, products above all: read once, and again when it has changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.engine import Connection, Engine

from histories.history import Catalog
from histories.settings import Settings
from histories.storage import reading, writing
from histories.storage.facts import Facts
from histories.storage.seal import Seal
from histories.storage.tables import ATTRIBUTES, LABELS, PRODUCTS

_DOMAINS: Final = ("channel", "category", "event", "campaign")
_ANOTHER: Final = -1  # version of what another file said, which no store has


@dataclass(frozen=True, slots=True)
class Shared:
    """As of one products_version."""

    version: int
    catalog: Catalog
    labels: Mapping[str, tuple[str, ...]]
    attributes: Mapping[str, str]  # name: number or text
    event_kinds: NDArray[np.int8]  # code in EVENT_KINDS of each of the store's own

    @classmethod
    def read(cls, connection: Connection) -> Shared:
        version = int(writing.meta(connection, "products_version") or 0)
        rows = connection.execute(sa.select(PRODUCTS).order_by(PRODUCTS.c.code)).all()
        named = connection.execute(sa.select(LABELS.c.domain, LABELS.c.name).order_by(LABELS.c.code)).all()
        attributes = connection.execute(sa.select(ATTRIBUTES.c.name, ATTRIBUTES.c.kind).order_by(ATTRIBUTES.c.name))
        labels = {domain: tuple(name for where, name in named if where == domain) for domain in _DOMAINS}
        catalog = reading.catalog_of([tuple(row) for row in rows], labels["category"])
        return cls(version, catalog, labels, dict(attributes.all()), reading.event_kinds(labels["event"]))


class Sharing(Facts):
    """A store that remembers what is shared, and can open what is sealed."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        super().__init__(engine, settings)
        self._seal = Seal.of(settings)
        self._shared_now: Shared | None = None

    def reopen(self) -> None:
        super().reopen()
        if self._shared_now is not None:
            self._shared_now = replace(self._shared_now, version=_ANOTHER)

    def catalog(self) -> Catalog:
        """All products; remembered until they change."""
        return self._shared().catalog

    def _shared(self) -> Shared:
        version = self.products_version()
        if self._shared_now is None or self._shared_now.version != version:
            with self.snapshot() as connection:
                self._shared_now = Shared.read(connection)
        return self._shared_now

    def _attributes(self, found: Sequence[tuple], shared: Shared) -> dict[str, NDArray]:
        """Of rows (key, customer_id, attributes, consent)."""
        texts = [self._seal.open(row[0], row[2]) for row in found] if shared.attributes else []
        return reading.attribute_arrays(texts, shared.attributes)
