"""Reasons: what moved a score, grouped and in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.customers import FEATURES

Floats = NDArray[np.float64]
_UNIT = {feature.name: feature.unit for feature in FEATURES}
_FAMILY = {feature.name: feature.family for feature in FEATURES}
BTYD, SEASON = "buy_till_you_die", "season_level"
_TEXTS = {
    "days_since_last_order": "ordered {:.0f} days ago",
    "purchases": "{:.0f} orders so far",
    "frequency": "{:.0f} repeat orders so far",
    "T": "first ordered {:.0f} days ago",
    "spend_total": "spent {:,.2f} in all",
    "gap_mean": "usually {:.0f} days between orders",
    "overdue": "{:.1f} usual gaps since the last order",
    BTYD: "rate of orders and time since the last one",
    SEASON: "time of the year",
}


class Reason(NamedTuple):
    feature: str  # the strongest column of its family
    value: float | None  # None where the column has none
    effect: float  # on the raw scale of the score
    text: str


def explained(
    names: Sequence[str], inputs: NDArray[np.float32], effects: Floats, base: Floats, level: Floats, top: int
) -> list[list[Reason]]:
    """Per row the `top` strongest reasons. Effects of the trees (rows, inputs + 1) are summed per feature family."""
    return [
        _of_row(names, inputs[i], effects[i, :-1], float(base[i] + effects[i, -1]), float(level[i]), top)
        for i in range(len(inputs))
    ]


def _of_row(names: Sequence[str], row: Floats, effects: Floats, base: float, level: float, top: int) -> list[Reason]:
    families: dict[str, list[int]] = {}
    for column in np.flatnonzero(effects).tolist():
        name = names[column]
        own = name if name.startswith("attr_") else BTYD if name.startswith("btyd_") else _FAMILY.get(name, name)
        families.setdefault(own, []).append(column)
    reasons = [Reason(SEASON, None, level, _TEXTS[SEASON])]
    ground = base + sum(float(effects[c]) for c in families.pop(BTYD, []))
    reasons.append(Reason(BTYD, None, ground, _TEXTS[BTYD]))
    for columns in families.values():
        strongest = max(columns, key=lambda c: abs(effects[c]))
        value = None if np.isnan(row[strongest]) else float(row[strongest])
        total = float(effects[columns].sum())
        reasons.append(Reason(names[strongest], value, total, _text(names[strongest], value)))
    return sorted(reasons, key=lambda reason: -abs(reason.effect))[:top]


def _text(name: str, value: float | None) -> str:
    plain = name.replace("_", " ")
    if value is None:
        return f"{plain}: unknown"
    if name in _TEXTS:
        return _TEXTS[name].format(value)
    return f"{plain}: {value:,.4g} {_UNIT.get(name, '')}".rstrip()
