"""Segments: named groups by recency, frequency, money and behaviour, of which every customer has exactly one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histories.compiled import compiled
from models.customer_value import CustomerValue
from models.frame import Frame

NAMES = ("champions", "loyal", "big spenders", "promising", "new", "one-time", "lapsing", "at risk", "lost")
_CHAMPIONS, _LOYAL, _BIG, _PROMISING, _NEW, _ONE_TIME, _LAPSING, _AT_RISK, _LOST = range(len(NAMES))
_USED = ("purchases", "days_since_last_order", "T", "spend_total", "gap_mean")


@dataclass(frozen=True)
class Segments:
    """Rules with thresholds learned from the customers at as_of. `gap` is the shop's usual days between orders."""

    features: tuple[str, ...]
    gap: float
    many_orders: float  # the upper fifth of repeat customers begins here
    much_spend: float  # the upper tenth of customers begins here
    table: list[dict[str, Any]]  # name, size, share_of_spend, expected_spend (of one customer), its share

    names = NAMES

    @classmethod
    def fit(cls, frame: Frame, value_model: CustomerValue) -> Segments:
        latest = np.flatnonzero(frame.latest)
        X, as_of = frame.X[latest], int(frame.as_of[-1])
        column = {name: X[:, frame.names.index(name)].astype(float) for name in _USED}
        repeat = column["purchases"] > 1
        gaps = column["gap_mean"][repeat]
        gap = float(np.clip(np.median(gaps), 3, 180)) if len(gaps) else 30.0
        many = max(4.0, float(np.quantile(column["purchases"][repeat], 0.8))) if repeat.any() else 4.0
        much = float(np.quantile(column["spend_total"], 0.9)) if len(latest) >= 10 else np.inf
        model = cls(frame.names, gap, many, much if much > 0 else np.inf, [])
        table = _table(model.predict(X, as_of), column["spend_total"], value_model.predict(X, as_of).mean)
        return cls(frame.names, gap, model.many_orders, model.much_spend, table)

    def predict(self, X: NDArray[np.float32], as_of: int | NDArray[np.int64]) -> NDArray[np.int64]:
        """(rows,) codes, positions in NAMES. Distance since the last order counts in the customer's own gaps."""
        rows = np.ascontiguousarray(X, dtype=np.float32)
        return _codes(rows, self._at, float(self.gap), float(self.many_orders), float(self.much_spend))

    @cached_property
    def _at(self) -> NDArray[np.int64]:
        return np.array([self.features.index(name) for name in _USED])

    def fallback(self) -> str:
        """The segment of somebody without a purchase."""
        return NAMES[_NEW]

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        much = self.much_spend if np.isfinite(self.much_spend) else None
        meta = {
            "features": list(self.features),
            "gap": self.gap,
            "many_orders": self.many_orders,
            "much_spend": much,
            "table": self.table,
        }
        (folder / "model.json").write_text(json.dumps(meta, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Segments:
        meta = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        much = np.inf if meta["much_spend"] is None else meta["much_spend"]
        return cls(tuple(meta["features"]), meta["gap"], meta["many_orders"], much, meta["table"])


@compiled
def _codes(X, at, gap, many_orders, much_spend):  # type: ignore[no-untyped-def]
    """`at`: where the columns _USED are. The first rule that holds decides."""
    codes = np.empty(len(X), np.int64)
    for i in range(len(X)):
        purchases, since, tenure, spend, own = X[i, at[0]], X[i, at[1]], X[i, at[2]], X[i, at[3]], X[i, at[4]]
        own = gap if np.isnan(own) else min(max(float(own), gap / 3), gap * 3)
        gaps = since / own
        many, big = purchases >= many_orders, spend >= much_spend
        if purchases <= 1 and tenure <= 2 * gap:
            codes[i] = _NEW
        elif purchases <= 1 and since <= 12 * gap:
            codes[i] = _ONE_TIME
        elif gaps <= 2:
            codes[i] = (_CHAMPIONS if big else _LOYAL) if many else (_BIG if big else _PROMISING)
        elif gaps <= 4:
            codes[i] = _LAPSING
        elif (gaps <= 6 and (many or big)) or (gaps <= 12 and many and big):
            codes[i] = _AT_RISK
        else:
            codes[i] = _LOST
    return codes


def _table(codes: NDArray[np.int64], spend: NDArray[np.float64], expected: NDArray[np.float64]) -> list[dict[str, Any]]:
    """One row per segment: size, share of all spend so far, expected spend of a customer in the horizon, its share."""
    rows = []
    for code, name in enumerate(NAMES):
        members = codes == code
        rows.append(
            {
                "name": name,
                "size": int(members.sum()),
                "share_of_spend": _share(spend, members),
                "expected_spend": float(expected[members].mean()) if members.any() else 0.0,
                "share_of_expected_spend": _share(expected, members),
            }
        )
    return rows


def _share(amounts: NDArray[np.float64], members: NDArray[np.bool_]) -> float:
    total = float(amounts.sum())
    return float(amounts[members].sum()) / total if total > 0 else 0.0
