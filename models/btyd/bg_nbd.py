"""BG/NBD and MBG/NBD: how often customers buy, and whether they are still alive.

Fader, Hardie and Lee (2005), "Counting Your Customers" the Easy Way; the modified form, in which a customer may also
drop out right after the first purchase, is of Batislam, Denizel and Filiztekin (2007). Both are one formula in
m = x (BG) or x + 1 (MBG), the number of times the customer could have dropped out.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, lgamma, log

import numpy as np
from numpy.typing import NDArray

from histories.compiled import compiled, piece
from models.btyd.hypergeometric import hyp2f1
from models.btyd.likelihood import fit_positive

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class BgNbd:
    """Purchase rates are Gamma(r, alpha), drop-out probabilities Beta(a, b); alpha in the unit of time of T.

    Arguments of all methods: frequency (repeat purchases), recency (first to last purchase), T (first purchase to now).
    """

    r: float
    alpha: float
    a: float
    b: float
    modified: bool = False

    @classmethod
    def fit(
        cls, frequency: Floats, recency: Floats, T: Floats, *, modified: bool = False, shrink: float = 1.0
    ) -> BgNbd:
        """Maximum likelihood; `shrink` weighs a vague prior on the parameters, felt by tiny shops only."""
        m = float(modified)

        def loss(p: Floats, x: Floats, tx: Floats, T: Floats, weight: Floats) -> float:
            return -_sum(x, tx, T, weight, p[0], p[1], p[2], p[3], m)

        prior = np.array([0.5, 0.3, 0.8, 2.5])
        r, alpha, a, b = fit_positive(loss, frequency, recency, T, prior, rates=(1,), shrink=shrink)
        return cls(r, alpha, a, b, modified)

    def log_likelihood(self, frequency: Floats, recency: Floats, T: Floats) -> float:
        return float(_sum(frequency, recency, T, np.ones(len(T)), *self.numbers))

    def forecast(self, frequency: Floats, recency: Floats, T: Floats, horizon: Floats | float) -> Floats:
        """(3, customers): P(alive), P(no purchase in the horizon), expected purchases in the horizon."""
        out = np.empty((3, len(T)))
        _forecast(frequency, recency, T, np.broadcast_to(np.float64(horizon), T.shape), self.numbers, out)
        return out

    @property
    def numbers(self) -> tuple[float, float, float, float, float]:
        """The parameters as compiled code takes them."""
        return self.r, self.alpha, self.a, self.b, float(self.modified)


@compiled
def _sum(frequency, recency, T, weight, r, alpha, a, b, modified):  # type: ignore[no-untyped-def]
    total = 0.0
    constant = r * log(alpha) - lgamma(r) + lgamma(a + b) - lgamma(b)
    for i in range(len(T)):
        x = frequency[i]
        m = x + modified
        purchases = lgamma(r + x) - (r + x) * log(alpha + T[i])
        survivals = lgamma(b + m) - lgamma(a + b + m)
        total += weight[i] * (constant + purchases + survivals - log(p_alive(x, recency[i], T[i], r, alpha, a, b, m)))
    return total


@piece
def p_alive(x, recency, T, r, alpha, a, b, m):  # type: ignore[no-untyped-def]
    """P(alive): the likelihood of a customer alive at T over that of one in either state."""
    if m <= 0:
        return 1.0
    odds_dead = (r + x) * log((alpha + T) / (alpha + recency)) + log(a / (b + m - 1.0))
    return 1.0 / (1.0 + exp(min(odds_dead, 700.0)))


@compiled
def _forecast(frequency, recency, T, horizon, numbers, out):  # type: ignore[no-untyped-def]
    for i in range(len(T)):
        out[0, i], out[1, i], out[2, i] = bg_forecast(frequency[i], recency[i], T[i], horizon[i], numbers)


@piece
def bg_forecast(x, recency, T, horizon, numbers):  # type: ignore[no-untyped-def]
    """P(alive), P(no purchase in the horizon), expected purchases in it, of one customer; `numbers` of BgNbd."""
    r, alpha, a, b, modified = numbers
    if abs(a - 1.0) < 1e-7:  # the formula is 0 / 0 there, and smooth around it
        a = 1.0 + 1e-7
    m = x + modified
    alive = p_alive(x, recency, T, r, alpha, a, b, m)
    still = exp((r + x) * log((alpha + T) / (alpha + T + horizon)))  # no purchase, if alive
    z = horizon / (alpha + T + horizon)
    c = a + b + m - 1.0
    # Euler's transformation takes ((alpha + T) / (alpha + T + t)) ** (r + x) into the series.
    series = exp((a - 1.0) * log(1.0 - z)) * hyp2f1(c - r - x, a - 1.0, c, z)
    return alive, alive * still + 1.0 - alive, alive * max(c / (a - 1.0) * (1.0 - series), 0.0)
