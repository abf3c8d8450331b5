"""Reasons: what moved a score, grouped by family of features and in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.customers import FEATURES
from models.sentences import ago, count, days, sentence

Floats = NDArray[np.float64]
_FAMILY = {feature.name: feature.family for feature in FEATURES}
BTYD, SEASON = "buy_till_you_die", "season_level"


class Reason(NamedTuple):
    feature: str  # the strongest column of its family
    value: float | None  # None where the column has none
    effect: float  # of the whole family, on the raw scale of the score
    text: str


class _Families(NamedTuple):
    """The columns of a model by family; those of buy-till-you-die are the last."""

    columns: tuple[NDArray[np.intp], ...]
    member: Floats  # (columns, families): 1 where it belongs


def explained(
    names: Sequence[str],
    inputs: NDArray[np.float32],
    effects: Floats,
    base: Floats,
    level: Floats | float,
    top: int | None,
) -> list[list[Reason]]:
    """Per row the `top` strongest reasons, strongest first; all of them if None, and then they add up to the score.

    effects: (rows, inputs + 1) of the trees, summed per family, the last column their expectation. That belongs with
    `base`, (rows,) what buy-till-you-die models say alone; `level` is the season's.
    """
    families = _families(tuple(names))
    totals = effects[:, :-1] @ families.member
    totals[:, -1] += base + effects[:, -1]
    whole = np.column_stack([totals, np.broadcast_to(level, len(inputs))])
    order = np.argsort(-np.abs(whole), axis=1, kind="stable")[:, :top]
    reasons = []
    for row, chosen in enumerate(order.tolist()):
        told = [(at, float(whole[row, at])) for at in chosen if whole[row, at]]
        reasons.append([_reason(names, families, inputs[row], effects[row], *each) for each in told])
    return reasons


def _reason(
    names: Sequence[str], families: _Families, inputs: NDArray, effects: Floats, at: int, effect: float
) -> Reason:
    if at == len(families.columns):
        return Reason(SEASON, None, effect, "time of the year")
    if at == len(families.columns) - 1:
        return Reason(BTYD, None, effect, _history(names, inputs))
    columns = families.columns[at]
    strongest = int(columns[np.abs(effects[columns]).argmax()])
    value = float(inputs[strongest])
    known = None if np.isnan(value) else value
    return Reason(names[strongest], known, effect, sentence(names[strongest], known))


def _history(names: Sequence[str], inputs: NDArray) -> str:
    """What buy-till-you-die models look at."""
    at = _positions(tuple(names))
    purchases, tenure, since = (float(inputs[position]) for position in at)
    if purchases <= 1:
        return f"one order so far, {ago(since)}"
    return f"{count(purchases, 'order')} in {days(tenure)}, the last {ago(since)}"


@cache
def _positions(names: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(names.index(name) for name in ("purchases", "T", "days_since_last_order"))


@cache
def _families(names: tuple[str, ...]) -> _Families:
    own = [BTYD if name.startswith("btyd_") else _FAMILY.get(name, name) for name in names]
    kinds = [kind for kind in dict.fromkeys(own) if kind != BTYD] + [BTYD]
    columns = tuple(np.flatnonzero([kind == each for each in own]) for kind in kinds)
    member = np.zeros((len(names), len(kinds)))
    for at, some in enumerate(columns):
        member[some, at] = 1.0
    return _Families(columns, member)
