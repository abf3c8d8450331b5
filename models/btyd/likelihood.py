"""Maximum likelihood over positive parameters, for the buy-till-you-die models."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

Floats = NDArray[np.float64]
Loss = Callable[[Floats, Floats, Floats, Floats, Floats], float]
_LOW, _HIGH = -8.0, 5.0  # in logs, around the prior: beyond 150 times it, all customers are alike and series are long
_PRIOR_SD = 2.0


def fit_positive(
    loss: Loss, frequency: Floats, recency: Floats, T: Floats, prior: Floats, *, rates: tuple[int, ...], shrink: float
) -> tuple[float, ...]:
    """Parameters at the minimum of loss(parameters, x, t_x, T, weight) plus a log-normal prior times `shrink`.

    Time is scaled to a longest T of ten while fitting, and the parameters at `rates` (in units of time) scaled back.
    Equal customers are merged and weighted. Raises ValueError without a customer.
    """
    if len(T) == 0:
        raise ValueError("no customer with a purchase to fit a buy-till-you-die model on")
    rows, weight = np.unique(np.column_stack([frequency, recency, T]).astype(float), axis=0, return_counts=True)
    unit = max(rows[:, 2].max(), 1e-9) / 10.0
    x, recency, T = (np.ascontiguousarray(rows[:, k]) for k in range(3))
    start = np.log(prior)

    def penalised(logs: Floats) -> float:
        distance = ((logs - start) ** 2).sum() / (2 * _PRIOR_SD**2)
        logs = np.clip(logs, start + _LOW, start + _HIGH)
        value = loss(np.exp(logs), x, recency / unit, T / unit, weight.astype(float))
        return (value + shrink * distance) / weight.sum() if np.isfinite(value) else 1e9

    # Plain BFGS: it needs a fifth of L-BFGS-B's time here, most of which goes into waking threads.
    found = minimize(penalised, start, method="BFGS", options={"gtol": 1e-6})
    parameters = np.exp(np.clip(found.x, start + _LOW, start + _HIGH))
    parameters[list(rates)] *= unit
    return tuple(float(p) for p in parameters)
