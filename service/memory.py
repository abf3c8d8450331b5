"""Answers that are remembered: until the customer's history, the release, the day or the products change."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

import numpy as np
from numpy.typing import NDArray

from histories.clock import local_day
from histories.storage.lookup import Rows
from service.ask import Moment
from service.asked import Asked
from service.clock import Clock
from service.present import Present
from service.release import Release

_MOST_REMEMBERED: Final = 20_000  # answers


# The answer; the edition of the store: as long as it is the same, nothing has changed; once it has, the answer holds if
# made_from() is the same; None: it holds no more. Plain tuples, as is what it is about: of many thousand named ones or
# objects the garbage collector would look at each, in the middle of a request.
Remembered = tuple[bytes, int, int | None]


class Memory:
    """The newest answers, all made under the same circumstances, which concern every customer."""

    def __init__(self, present: Present, clock: Clock) -> None:
        self._present = present
        self._clock = clock
        self._answers: OrderedDict[tuple[object, ...], Remembered] = OrderedDict()
        self._circumstances: object = None

    def begin(self, release: Release) -> None:
        """To be called at the start of every pass: what was made under other circumstances is forgotten."""
        circumstances = self._now(release)
        if circumstances != self._circumstances:
            self._answers.clear()
            self._circumstances = circumstances

    def get(self, asked: Asked, moment: Moment) -> bytes | None:
        """The answer of before, if it still holds."""
        known = self._answers.get(asked.about)
        return known[0] if known is not None and self._holds(known, asked, moment) else None

    def put(self, asked: Asked, moment: Moment) -> None:
        """What was just answered, unless it is about nobody in the store, or old already."""
        if asked.body.customer_id is None or self._present.stale or not isinstance(asked.answer, bytes):
            return
        self._keep(asked, (asked.answer, self._present.edition, self._made_from(asked.body.customer_id, moment)))

    def clear(self) -> None:
        self._answers.clear()

    def _keep(self, asked: Asked, answer: Remembered) -> None:
        self._answers[asked.about] = answer
        if len(self._answers) > _MOST_REMEMBERED:
            self._answers.popitem(last=False)

    def _now(self, release: Release) -> tuple[object, ...]:
        """What must be the same for any answer to hold: under a clock that stands still, to the instant."""
        now = self._clock.instant(self._present.newest())
        day = local_day(now, self._present.zone) if self._clock.setting == "now" else now
        return self._present.shared_edition, release.id, day

    def _holds(self, known: Remembered, asked: Asked, moment: Moment) -> bool:
        """Whether nothing has been written since, or nothing about this customer."""
        answer, edition, made = known
        if self._present.stale:
            return False
        if edition == self._present.edition:
            return True
        if made is None or made != self._made_from(asked.body.customer_id or "", moment):
            return False
        self._keep(asked, (answer, self._present.edition, made))
        return True

    def _made_from(self, customer: str, moment: Moment) -> int | None:
        """None as of the past: what others did changes data_as_of, and the answer does not say when it was made."""
        return made_from(self._present.rows([customer])[0], moment.as_of) if moment.live else None


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
