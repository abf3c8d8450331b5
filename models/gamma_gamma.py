"""Gamma-Gamma: what an order of a customer is worth. Fader and Hardie (2013), "The Gamma-Gamma Model"."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import gammaln

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
        known = np.where((orders >= 1) & np.isfinite(mean), orders, 0.0)
        return self.p * (self.v + known * np.where(known > 0, mean, 0.0)) / (self.p * known + self.q - 1.0)


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
