"""The customers of one pass: their histories, their feature rows, and what may be said of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from histories.history import History
from histories.selection import of_customers
from models.frame import rows
from service.ask import Moment
from service.fallbacks import Part
from service.release import Release

Rows = NDArray[np.float32]  # (customers, features)


class Customers(NamedTuple):
    """Of each customer, in the order of the history, whether they are meant."""

    history: History
    predicted: list[bool]  # who consents to prediction
    advised: list[bool]  # to both prediction and own recommendations
    known: list[bool]  # who consents to prediction and has bought by then
    X: Rows  # of the known, in their order

    @classmethod
    def of(cls, history: History, release: Release, moment: Moment) -> Customers:
        """Where a history holds no consent, it was sent along or made up for the purpose."""
        X, _ = rows(history, moment.as_of, release.encoder, live=moment.live)
        predicted, advised = (_consenting(history, purpose) for purpose in ("prediction", "recommendation"))
        known = both(predicted, (X[:, release.bought_at] > 0).tolist())
        return cls(history, predicted, both(predicted, advised), known, X if all(known) else X[np.array(known)])

    def __len__(self) -> int:
        return len(self.history)

    def only(self, chosen: list[bool]) -> History:
        return self.history if all(chosen) else of_customers(self.history, np.flatnonzero(chosen))


def _consenting(history: History, purpose: str) -> list[bool]:
    given = history.consent.get(purpose)
    return [True] * len(history) if given is None else given.tolist()


def both(these: list[bool], those: list[bool]) -> list[bool]:
    return [this and that for this, that in zip(these, those, strict=True)]


def spread(chosen: list[bool], made: Iterable[Part], other: Callable[[int], Part]) -> list[Part]:
    """For each customer the next part that was made, if chosen, else the other one of their place."""
    ready = iter(made)
    return [next(ready) if is_chosen else other(place) for place, is_chosen in enumerate(chosen)]
