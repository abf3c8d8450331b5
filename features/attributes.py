"""Customers' attributes as columns of the feature row: numbers as they are, categories as codes by frequency."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from histories.history import History

_MIN_CUSTOMERS = 5  # a rarer category says more about a person than about a kind of person
_MAX_CATEGORIES = 60


@dataclass(frozen=True)
class AttributeEncoder:
    """Columns attr_<name>; the code of a category is its rank by frequency in training, 0 the most frequent.

    nan where unknown: no value, a category too rare or not there in training, text where numbers were.
    """

    categories: Mapping[str, tuple[str, ...] | None]  # by attribute, in order of the columns; None: a number

    @classmethod
    def fit(cls, history: History) -> AttributeEncoder:
        return cls({name: _categories(values) for name, values in sorted(history.attributes.items())})

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(f"attr_{name}" for name in self.categories)

    def transform(self, history: History) -> NDArray[np.float32]:
        """(customers, len(names)) float32."""
        out = np.empty((len(history), len(self.categories)), dtype=np.float32)
        for column, (name, codes) in enumerate(self._codes.items()):
            out[:, column] = _column(history.attributes.get(name), codes)
        out[np.isinf(out)] = np.nan
        return out

    @cached_property
    def _codes(self) -> dict[str, dict[str, float] | None]:
        return {
            name: None if known is None else {value: float(code) for code, value in enumerate(known)}
            for name, known in self.categories.items()
        }

    def to_json(self) -> str:
        return json.dumps({"categories": self.categories})

    @classmethod
    def from_json(cls, text: str) -> AttributeEncoder:
        stored = json.loads(text)["categories"]
        return cls({name: None if values is None else tuple(values) for name, values in stored.items()})


def _column(values: NDArray | None, codes: dict[str, float] | None) -> ArrayLike:
    if values is None or (codes is None and not _is_number(values)):
        return np.nan
    if codes is not None:
        return [codes.get(str(value), np.nan) for value in values.tolist()]
    return values


def _is_number(values: NDArray) -> bool:
    return values.dtype.kind in "fiub"


def _categories(values: NDArray) -> tuple[str, ...] | None:
    if _is_number(values):
        return None
    counts = Counter(str(value) for value in values if value is not None)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(name for name, count in ranked[:_MAX_CATEGORIES] if count >= _MIN_CUSTOMERS)
