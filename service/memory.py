"""Answers that are remembered: until the customer's history, the release, the day or the products change."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from histories.history import History

_MOST_REMEMBERED: Final = 20_000  # answers
# What tells lines from one another: one that is written stays as it is, or goes.
_LINES: Final = ("occurred_at", "recorded_at", "product", "quantity", "amount")
_EVENTS: Final = ("occurred_at", "recorded_at", "kind", "product")


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


def made_from(history: History, consent: dict[str, bool], as_of: int) -> int:
    """A digest of all that is known of one customer, and of how much counts by then: lines dated ahead fall due."""
    lines, events = history.lines, history.events
    return hash(
        (
            *(getattr(lines, name).tobytes() for name in _LINES),
            *(getattr(events, name).tobytes() for name in _EVENTS),
            *(int(part.occurred_at.searchsorted(as_of, side="right")) for part in (lines, events)),
            str([values.item() for values in history.attributes.values()]),
            history.customer_id[0],
            tuple(consent.values()),
        )
    )
