"""Answers that are remembered: until the customer's history, the release, the day or the products change."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

import numpy as np
from numpy.typing import NDArray

from histories.lookup import Rows

_MOST_REMEMBERED: Final = 20_000  # answers


# The answer; the edition of the store: as long as it is the same, nothing has changed; once it has, the answer holds if
# made_from() is the same; None: it holds no more. Plain tuples, as is what it is about: of many thousand named ones or
# objects the garbage collector would look at each, in the middle of a request.
Remembered = tuple[bytes, int, int | None]
About = tuple[object, ...]


class Memory:
    """The newest answers, all made under the same circumstances, which concern every customer."""

    def __init__(self) -> None:
        self._answers: OrderedDict[About, Remembered] = OrderedDict()
        self._circumstances: object = None

    def get(self, about: About, circumstances: object) -> Remembered | None:
        if circumstances != self._circumstances:
            self._answers.clear()
            self._circumstances = circumstances
        return self._answers.get(about)

    def put(self, about: About, answer: Remembered) -> None:
        self._answers[about] = answer
        if len(self._answers) > _MOST_REMEMBERED:
            self._answers.popitem(last=False)

    def clear(self) -> None:
        self._answers.clear()


def made_from(rows: Rows | None, as_of: int) -> int:
    """A digest of all that is held of one customer, and of how much counts by then: lines dated ahead fall due."""
    if rows is None:
        return 0
    found, *parts = rows
    return hash((found, *(part.tobytes() for part in parts), *(_due(part, as_of) for part in parts)))


def _due(part: NDArray[np.float64], as_of: int) -> int:
    """Of rows that begin with their instant, in that order."""
    if not len(part) or part[-1, 0] <= as_of:
        return len(part)
    return int(part[:, 0].searchsorted(as_of, side="right"))
