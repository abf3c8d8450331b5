"""Gamma-Gamma: what an order of a customer is worth. Fader and Hardie (2013), "The Gamma-Gamma Model"."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import gammaln

from histories.compiled import compiled, piece

Floats = NDArray[np.float64]
_START = np.log([2.0, 3.0, 1.0])
_BOUND = 9.0  # in logs
_SMALLEST_Q = 1.05  # below one the mean over customers is infinite


@dataclass(frozen=True, slots=True)
class GammaGamma:
    """Orders are Gamma(p, nu), nu Gamma(q, v) over customers; v in money."""

    p: float
    q: float
    v: float

    @classmethod
    def fit(cls, orders: Floats, mean: Floats, *, shrink: float = 1.0) -> GammaGamma:
        """Maximum likelihood on customers with orders >= 1 and mean > 0; without one, orders of mean 0 (see `none`)."""
        usable = (orders >= 1) & (mean > 0) & np.isfinite(mean)
        if not usable.any():
            return cls.none()
        x, z = orders[usable].astype(float), mean[usable].astype(float)
        unit = float(np.exp(np.log(z).mean()))
        z = z / unit
        start = _START.copy()

        def penalised(logs: Floats) -> float:
            p, q, v = np.exp(np.clip(logs, -_BOUND, _BOUND))
            value = -_log_likelihood(x, z, p, q + _SMALLEST_Q, v) + shrink * ((logs - start) ** 2).sum() / 8.0
            return value / len(x) if np.isfinite(value) else 1e9

        found = minimize(penalised, start, method="BFGS", options={"gtol": 1e-6})
        p, q, v = np.exp(np.clip(found.x, -_BOUND, _BOUND))
        return cls(float(p), float(q + _SMALLEST_Q), float(v * unit))

    @classmethod
    def none(cls) -> GammaGamma:
        """Of a shop without money: every order is worth nothing."""
        return cls(1.0, 2.0, 0.0)

    @property
    def population_mean(self) -> float:
        return self.p * self.v / (self.q - 1.0)

    def expected_mean(self, orders: Floats, mean: Floats) -> Floats:
        """Expected worth of an order of each customer with so many orders of such a mean; the shop's with none."""
        return _expected_means(orders, mean, self.numbers)

    @property
    def numbers(self) -> tuple[float, float, float]:
        """The parameters as compiled code takes them."""
        return self.p, self.q, self.v


@compiled
def _expected_means(orders, mean, numbers):  # type: ignore[no-untyped-def]
    out = np.empty(len(orders))
    for i in range(len(orders)):
        out[i] = expected_mean(orders[i], mean[i], numbers)
    return out


@piece
def expected_mean(orders, mean, numbers):  # type: ignore[no-untyped-def]
    """Of one customer; `numbers` of GammaGamma."""
    p, q, v = numbers
    known = orders if orders >= 1 and np.isfinite(mean) else 0.0
    return p * (v + (known * mean if known > 0 else 0.0)) / (p * known + q - 1.0)


def _log_likelihood(x: Floats, z: Floats, p: float, q: float, v: float) -> float:
    shape = p * x
    each = (
        gammaln(shape + q)
        - gammaln(shape)
        - gammaln(q)
        + q * np.log(v)
        + (shape - 1) * np.log(z)
        + shape * np.log(x)
        - (shape + q) * np.log(v + x * z)
    )
    return float(each.sum())
