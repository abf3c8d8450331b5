"""Pareto/NBD: Poisson purchases while alive, exponential lifetimes, both heterogeneous.

Schmittlein, Morrison and Colombo (1987); formulas as in Fader and Hardie (2005), "A Note on Deriving the Pareto/NBD
Model and Related Expressions".
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, expm1, lgamma, log, log1p

import numpy as np
from numpy.typing import NDArray

from histories.compiled import compiled, piece
from models.btyd.hypergeometric import hyp2f1
from models.btyd.likelihood import fit_positive

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ParetoNbd:
    """Purchase rates are Gamma(r, alpha), death rates Gamma(s, beta); alpha and beta in the unit of time of T."""

    r: float
    alpha: float
    s: float
    beta: float

    @classmethod
    def fit(cls, frequency: Floats, recency: Floats, T: Floats, *, shrink: float = 1.0) -> ParetoNbd:
        """Maximum likelihood; arguments as in BgNbd.fit."""

        def loss(p: Floats, x: Floats, tx: Floats, T: Floats, weight: Floats) -> float:
            return -_sum(x, tx, T, weight, p[0], p[1], p[2], p[3])

        prior = np.array([0.5, 3.0, 0.6, 3.5])
        return cls(*fit_positive(loss, frequency, recency, T, prior, rates=(1, 3), shrink=shrink))

    def log_likelihood(self, frequency: Floats, recency: Floats, T: Floats) -> float:
        return float(_sum(frequency, recency, T, np.ones(len(T)), self.r, self.alpha, self.s, self.beta))

    def forecast(self, frequency: Floats, recency: Floats, T: Floats, horizon: Floats | float) -> Floats:
        """(3, customers): P(alive), P(no purchase in the horizon), expected purchases in the horizon."""
        out = np.empty((3, len(T)))
        spans = np.broadcast_to(np.float64(horizon), T.shape)
        _forecast(frequency, recency, T, spans, self.numbers, out)
        return out

    @property
    def numbers(self) -> tuple[float, float, float, float]:
        """The parameters as compiled code takes them."""
        return self.r, self.alpha, self.s, self.beta


@piece
def _log_tail(x, t, r, alpha, s, beta):  # type: ignore[no-untyped-def]
    """Log of the hypergeometric term of A0 at time t, in the form whose series has small terms."""
    low, high = min(alpha, beta), max(alpha, beta)
    z = (high - low) / (high + t)
    power = r + s + x
    if alpha >= beta:
        series = log(hyp2f1(power, s + 1.0, power + 1.0, z))
    else:  # Euler's transformation of 2F1(r + s + x, r + x; r + s + x + 1; z)
        series = log(hyp2f1(1.0, s + 1.0, power + 1.0, z)) + (1.0 - r - x) * log1p(-z)
    return series - power * log(high + t)


@piece
def _log_states(x, recency, T, r, alpha, s, beta):  # type: ignore[no-untyped-def]
    """Logs of the likelihoods of (alive at T) and (died since the last purchase), without common factors."""
    alive = -(r + x) * log(alpha + T) - s * log(beta + T)
    if recency >= T:
        return alive, -np.inf
    early, late = _log_tail(x, recency, r, alpha, s, beta), _log_tail(x, T, r, alpha, s, beta)
    if late >= early:
        return alive, -np.inf
    return alive, log(s / (r + s + x)) + early + log(-expm1(late - early))


@piece
def _log_add(p, q):  # type: ignore[no-untyped-def]
    top = max(p, q)
    return top + log(exp(p - top) + exp(q - top))


@compiled
def _sum(frequency, recency, T, weight, r, alpha, s, beta):  # type: ignore[no-untyped-def]
    total = 0.0
    constant = r * log(alpha) + s * log(beta) - lgamma(r)
    for i in range(len(T)):
        alive, dead = _log_states(frequency[i], recency[i], T[i], r, alpha, s, beta)
        total += weight[i] * (constant + lgamma(r + frequency[i]) + _log_add(alive, dead))
    return total


@compiled
def _forecast(frequency, recency, T, horizon, numbers, out):  # type: ignore[no-untyped-def]
    for i in range(len(T)):
        out[0, i], out[1, i], out[2, i] = pareto_forecast(frequency[i], recency[i], T[i], horizon[i], numbers)


@piece
def pareto_forecast(x, recency, T, horizon, numbers):  # type: ignore[no-untyped-def]
    """P(alive), P(no purchase in the horizon), expected purchases in it, of one customer; `numbers` of ParetoNbd."""
    r, alpha, s, beta = numbers
    alive, dead = _log_states(x, recency, T, r, alpha, s, beta)
    both = _log_add(alive, dead)
    later, gone = _log_states(x, recency, T + horizon, r, alpha, s, beta)
    lived = log1p(horizon / (beta + T))
    exposure = -expm1((1.0 - s) * lived) / (s - 1.0) if abs(s - 1.0) > 1e-9 else lived
    lives = exp(alive - both)
    lapse = min(exp(_log_add(later, gone) - both), 1.0)
    return lives, lapse, (r + x) * (beta + T) / (alpha + T) * exposure * lives
