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

Bools = NDArray[np.bool_]  # (customers,)
Rows = NDArray[np.float32]  # (customers, features)


class Customers(NamedTuple):
    history: History
    predicted: Bools  # who consents to prediction
    advised: Bools  # to both prediction and own recommendations
    known: Bools  # who consents to prediction and has bought by then
    X: Rows  # of the known, in their order

    @classmethod
    def of(cls, history: History, release: Release, moment: Moment) -> Customers:
        """Where a history holds no consent, it was sent along or made up for the purpose."""
        X, _ = rows(history, moment.as_of, release.encoder, live=moment.live)
        predicted = history.consent.get("prediction", np.ones(len(history), np.bool_))
        known = predicted & (X[:, release.bought_at] > 0)
        return cls(
            history,
            predicted,
            predicted & history.consent.get("recommendation", predicted),
            known,
            X if known.all() else X[known],
        )

    def __len__(self) -> int:
        return len(self.history)

    def only(self, chosen: Bools) -> History:
        return self.history if chosen.all() else of_customers(self.history, np.flatnonzero(chosen))


def spread(chosen: Bools, made: Iterable[Part], other: Callable[[int], Part]) -> list[Part]:
    """For each customer the next part that was made, if chosen, else the other one of their place."""
    ready = iter(made)
    return [next(ready) if is_chosen else other(place) for place, is_chosen in enumerate(chosen.tolist())]
