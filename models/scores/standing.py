"""Where a customer's spend is expected to stand among that of all customers of the shop."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from histories.compiled import piece
from models.scores.spread import LEVELS, MIDDLES, Spread

Floats = NDArray[np.float64]
_ENOUGH = 20_000  # customers to know the distribution by


@dataclass(frozen=True)
class Standing:
    """The spend of all customers in the horizon, as it was forecast on the day of the training.

    An expected rank is the forecast that Spearman's correlation rewards, as it does not tell how much apart two
    customers are: the mean puts a likely small buyer below an unlikely large one, most of whom spend nothing.
    """

    gone: float  # share of the customers who spend nothing; nan in models trained by a version without standings
    levels: Floats  # (101,) quantiles of log spend at 0, .01, ... 1 of those who spend; (0,) in a shop without money

    @classmethod
    def unknown(cls) -> Standing:
        return cls(float("nan"), np.empty(0))

    @classmethod
    def without_money(cls, come: Floats) -> Standing:
        return cls(1.0 - float(come.mean()), np.empty(0))

    @classmethod
    def of(cls, come: Floats, location: Floats, log_orders: Floats, spread: Spread) -> Standing:
        """Of all customers (rows,): P(a purchase), and the logs of what they spend and how often they buy if so."""
        some = np.linspace(0, len(come) - 1, min(len(come), _ENOUGH)).astype(np.int64)
        residuals = spread.quantiles[np.searchsorted(spread.edges, log_orders[some])][:, MIDDLES]
        spent, weight = (location[some, None] + residuals).ravel(), np.repeat(come[some], len(MIDDLES))
        order = np.argsort(spent, kind="stable")
        below = np.cumsum(weight[order]) - weight[order] / 2
        return cls(1.0 - float(come.mean()), np.interp(LEVELS, below / max(weight.sum(), 1e-9), spent[order]))


@piece
def percentile(come, location, log_orders, edges, quantiles, gone, levels):  # type: ignore[no-untyped-def]
    """Expected share (0 to 100) of the customers who spend less, those who spend as much counted half.

    Of one customer, as in Standing.of; `edges` and `quantiles` are of a Spread, `gone` and `levels` of a Standing.
    """
    share, residuals = 0.5, quantiles[np.searchsorted(edges, log_orders)]
    if len(levels):
        share = 0.0
        for middle in MIDDLES:
            share += _below(levels, location + residuals[middle]) / len(MIDDLES)
    return 100.0 * ((1.0 - come) * gone / 2 + come * (gone + (1.0 - gone) * share))


@piece
def _below(levels, value):  # type: ignore[no-untyped-def]
    """The level between 0 and 1 of a value."""
    right = np.searchsorted(levels, value)
    if right == 0:
        return 0.0
    if right == len(levels):
        return 1.0
    low, high = levels[right - 1], levels[right]
    return (right - 1 + (value - low) / (high - low)) / (len(levels) - 1)
