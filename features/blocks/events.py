"""What the customer did besides ordering. Windows are exact: the last N times 24 hours up to as_of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.feature import Feature, family
from features.past import Past
from histories.clock import DAY
from histories.compiled import lean
from histories.history import EVENT_KINDS

_KINDS = len(EVENT_KINDS)
_VIEW, _CART = EVENT_KINDS.index("view"), EVENT_KINDS.index("cart")


def _of_kind(kind: str) -> tuple[tuple[str, str, str], ...]:
    name = kind.replace("_", " ")
    return ((f"{kind}_30d", "events", f"{name} events of the last 30 times 24 hours"),
            (f"{kind}_90d", "events", f"{name} events of the last 90 times 24 hours"),
            (f"days_since_{kind}", "days", f"from the last {name} event to as_of, with the part of a day"))  # fmt: skip


FEATURES: tuple[Feature, ...] = family(
    "events",
    *(column for kind in EVENT_KINDS for column in _of_kind(kind)),
    ("view_since_order", "events", "view events after the last purchase line"),
    ("cart_since_order", "events", "cart events after the last purchase line: what lies in the cart unbought"),
)


@lean
def fill(row: NDArray[np.float32], past: Past) -> None:
    since = 3 * _KINDS
    row[: since + 2] = 0
    for kind in range(_KINDS):
        row[3 * kind + 2] = np.nan
    for k in range(len(past.event_at)):
        kind, age = past.event_kind[k], past.as_of - past.event_at[k]
        row[3 * kind] += age < 30 * DAY
        row[3 * kind + 1] += age < 90 * DAY
        row[3 * kind + 2] = age / DAY
        if past.event_at[k] > past.last_at:
            row[since] += kind == _VIEW
            row[since + 1] += kind == _CART
