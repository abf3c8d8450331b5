"""Drift: how far today's customers and their scores are from those of the training, and from what chance would show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from models.churn import Churn
from models.customer_value import CustomerValue
from models.segments import Segments
from training.recipe import columns as wanted_columns

BINS = 10
CERTAINTY = 0.999  # of one column; a release has some 150
OF_THE_DATE = "as_of_"  # columns that are the same for everybody and change every day
Reference = dict[str, dict[str, list[float]]]  # column -> inner edges, and counts per bin, of the missing last


class Drift(NamedTuple):
    column: str
    psi: float
    noise: float  # what PSI stays below with CERTAINTY where nothing has drifted


def population(churn: Churn, value: CustomerValue, segments: Segments, X: NDArray[np.float32],
               names: tuple[str, ...], as_of: int) -> dict[str, NDArray]:  # fmt: skip
    """What drift is looked for in: every feature that is not of the date, and the scores, as score/..."""
    features = {name: X[:, at] for at, name in enumerate(names) if not name.startswith(OF_THE_DATE)}
    spend = value.predict(wanted_columns(X, names, value.features), as_of)
    return features | {
        "score/churn": churn.predict(wanted_columns(X, names, churn.features), as_of),
        "score/expected_spend": spend.mean,
        "score/expected_orders": spend.orders,
        "score/segment": segments.predict(wanted_columns(X, names, segments.features), as_of).astype(np.float64),
    }


def reference(columns: Mapping[str, NDArray]) -> Reference:
    """Histograms to keep with a release: ten bins of equal mass where the values allow, and one of the missing."""
    return {name: {"edges": (edges := _edges(values)).tolist(), "counts": _counts(values, edges).tolist()}
            for name, values in columns.items()}  # fmt: skip


def drifts(then: Reference, columns: Mapping[str, NDArray]) -> list[Drift]:
    """Of the columns that both know, the furthest first."""
    found = [
        _drift(name, np.array(then[name]["counts"]), _counts(values, np.array(then[name]["edges"])))
        for name, values in columns.items()
        if name in then
    ]
    return sorted(found, key=lambda each: -each.psi)


def _drift(name: str, then: NDArray[np.float64], now: NDArray[np.float64]) -> Drift:
    """Population stability index: sum of (now - then) * log(now / then) over the shares of the bins.

    Half a customer is added to each bin. Without drift, PSI is about (1/n + 1/m) times a chi-square with one degree
    of freedom less than there are bins (Yurdakul and Naranjo 2020, Statistical properties of the population
    stability index, Journal of Risk Model Validation 14(4)).
    """
    used = (then + now) > 0
    p, q = ((counts[used] + 0.5) / (counts[used] + 0.5).sum() for counts in (then, now))
    chance = float(chi2.ppf(CERTAINTY, max(int(used.sum()) - 1, 1)))
    sizes = 1 / max(then.sum(), 1) + 1 / max(now.sum(), 1)
    return Drift(name, float(((q - p) * np.log(q / p)).sum()), chance * float(sizes))


def _edges(values: NDArray[Any]) -> NDArray[np.float64]:
    known = values[np.isfinite(values)].astype(np.float64)
    return np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1])) if len(known) else np.empty(0)


def _counts(values: NDArray[Any], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """A value at an edge belongs to the bin below it, so that a heap of equal values has a bin of its own."""
    known = np.isfinite(values)
    bins = np.searchsorted(edges, values[known].astype(np.float64), side="left")
    return np.append(np.bincount(bins, minlength=len(edges) + 1), (~known).sum()).astype(np.float64)
