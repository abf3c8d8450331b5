"""One customer looked up in a store: what an online call waits for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from histories import incoming, one, privacy, reading
from histories.columns import ORDERS, complete, table
from histories.history import History
from histories.quick import Quick
from histories.shared import Sharing

# One customer's rows as they lie in the store: who it is (key, id, attributes, consent), lines, events. A plain tuple
# of what is no container, so that many of them can be remembered without the garbage collector's looking at any.
Rows = tuple[tuple[Any, ...], NDArray[np.float64], NDArray[np.float64]]


class Known(NamedTuple):
    """What is held of one customer."""

    history: History
    consent: dict[str, bool]  # by purpose


class Lookup(Sharing):
    """By id or alias, in a tenth of a millisecond."""

    def known(self, customer_id: str) -> Known | None:
        """One customer, by id or alias; None when unknown."""
        self._shared()
        rows = self.rows(customer_id)
        return None if rows is None else self.made(rows, self.zone)

    def rows(self, customer_id: str) -> Rows | None:
        """All that is held of one customer, by id or alias, in one state of the store; None when unknown."""
        with self._quick() as read:
            found = _find(read, customer_id)
            if found is None:
                return None
            return found, read.numbers(one.LINES_SQL, found[0]), read.numbers(one.EVENTS_SQL, found[0])

    def made(self, rows: Rows, zone: str) -> Known:
        """What rows say, with the products as they were when the store was last asked for them; nothing is read."""
        shared = self._shared_now or self._shared()
        found, lines, events = rows
        consent = privacy.full_consent(found[3], self.settings.consent)
        history = History(
            customer_id=np.array([found[1]], dtype=object),
            lines=one.lines_of(lines, zone, len(shared.catalog)),
            events=one.events_of(events, shared.event_kinds),
            attributes=self._attributes([found], shared),
            catalog=shared.catalog,
            channels=shared.labels["channel"],
            zone=zone,
            consent={purpose: np.array([allowed]) for purpose, allowed in consent.items()},
        )
        return Known(history, consent)

    def history_of(self, customer_id: str) -> History | None:
        """One customer by id or alias, None when unknown."""
        found = self.known(customer_id)
        return found.history if found else None

    def history_from(self, orders: Sequence[Mapping[str, object]]) -> History:
        """Order lines of one request, of nobody in the store, against this store's catalog."""
        shared = self._shared()
        lines = complete(table(orders, ORDERS, self.zone), ORDERS)
        rows = incoming.stateless_rows(lines, shared.catalog.code_of, shared.labels["channel"])
        nobody = reading.attribute_arrays([None], shared.attributes)
        events = {name: np.empty(0, dtype=dtype) for name, dtype in reading.EVENT_COLUMNS}
        return reading.build([""], nobody, rows, events, shared.catalog, shared.labels, self.zone)

    def consent(self, customer_id: str) -> dict[str, bool]:
        """What a customer allows, by purpose; the setting's default where nothing was said, and for strangers."""
        with self._quick() as read:
            found = _find(read, customer_id)
        return privacy.full_consent(found[3] if found else None, self.settings.consent)


def _find(read: Quick, customer_id: str) -> tuple[Any, ...] | None:
    """Row (key, customer_id, attributes, consent) of an id or alias."""
    columns = "SELECT key, customer_id, attributes, consent FROM customers "
    by_alias = "WHERE key = (SELECT customer FROM aliases WHERE alias = ?)"
    return read.row(columns + "WHERE customer_id = ?", customer_id) or read.row(columns + by_alias, customer_id)
