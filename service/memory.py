"""Answers that are remembered: until the customer's history, the release, the day or the products change."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from histories.lookup import Known

_MOST_REMEMBERED: Final = 20_000  # answers


@dataclass(slots=True)
class Remembered:
    answer: bytes
    edition: int  # of the store: as long as it is the same, nothing has changed
    made_from: int | None  # once it has, the answer holds if this is the same; None: it holds no more


class Memory:
    """The newest answers, all made under the same circumstances, which concern every customer."""

    def __init__(self) -> None:
        self._answers: OrderedDict[object, Remembered] = OrderedDict()
        self._circumstances: object = None

    def get(self, about: object, circumstances: object) -> Remembered | None:
        if circumstances != self._circumstances:
            self._answers.clear()
            self._circumstances = circumstances
        return self._answers.get(about)

    def put(self, about: object, answer: Remembered) -> None:
        self._answers[about] = answer
        if len(self._answers) > _MOST_REMEMBERED:
            self._answers.popitem(last=False)

    def clear(self) -> None:
        self._answers.clear()


def made_from(known: Known, as_of: int) -> int:
    """A digest of all that is known of one customer, and of how much counts by then: lines dated ahead fall due."""
    parts = (known.history.lines, known.history.events)
    return hash((known.digest, *(_due(part.occurred_at, as_of) for part in parts)))


def _due(occurred_at: NDArray[np.int64], as_of: int) -> int:
    if not len(occurred_at) or occurred_at[-1] <= as_of:
        return len(occurred_at)
    return int(occurred_at.searchsorted(as_of, side="right"))
