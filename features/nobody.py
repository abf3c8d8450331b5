"""A history of one customer who never did anything: the row of an unknown customer, and what warm-up runs on."""

from __future__ import annotations

import numpy as np

from histories.arrays import sorted_events, sorted_lines
from histories.history import Catalog, History

_LINE_TYPES = {"order_id": object, "quantity": float, "unit_price": float, "amount": float, "discount": float}


def nobody(zone: str = "UTC") -> History:
    lines = ("customer", "line_id", "occurred_at", "recorded_at", "order_id", "product", "channel", *_LINE_TYPES)
    events = ("customer", "occurred_at", "recorded_at", "kind", "product", "value")
    none = np.zeros(0)
    return History(
        customer_id=np.array([""], dtype=object),
        lines=sorted_lines({name: none.astype(_LINE_TYPES.get(name, np.int64)) for name in lines}, 1, zone),
        events=sorted_events({name: none.astype(float if name == "value" else np.int64) for name in events}, 1),
        attributes={},
        catalog=Catalog(
            none.astype(object), none.astype(object), none.astype(np.int32), (), none, none > 0, none > 0, {}
        ),
        channels=(),
        zone=zone,
    )
