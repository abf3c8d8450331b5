"""Statistics of short arrays for the blocks; nan where a number has no meaning, never infinite."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from histories.compiled import lean


@lean
def ratio(part: float, whole: float) -> float:
    """nan unless the whole is above 0."""
    return part / whole if whole > 0 else np.nan


@lean
def total(values: NDArray) -> float:
    """Sum in order, so that it is the same number wherever it is computed."""
    result = 0.0
    for value in values:
        result += value
    return result


@lean
def mean(values: NDArray) -> float:
    return total(values) / len(values) if len(values) else np.nan


@lean
def deviation(values: NDArray, centre: float) -> float:
    """Sample standard deviation (n - 1) around the values' mean; nan under two values."""
    if len(values) < 2:
        return np.nan
    squares = 0.0
    for value in values:
        squares += (value - centre) ** 2
    return np.sqrt(squares / (len(values) - 1))


@lean
def sort(values: NDArray) -> None:
    """In place, ascending: Shell's sort, an insertion sort for the few orders that most customers have."""
    step = 1
    while step < len(values) // 3:
        step = 3 * step + 1
    while step > 0:
        for i in range(step, len(values)):
            value, j = values[i], i
            while j >= step and values[j - step] > value:
                values[j] = values[j - step]
                j -= step
            values[j] = value
        step //= 3


@lean
def median_of_sorted(values: NDArray) -> float:
    n = len(values)
    return (values[(n - 1) // 2] + values[n // 2]) / 2 if n else np.nan


@lean
def slope(values: NDArray, centre: float) -> float:
    """Least-squares change per step, as a share of the values' mean `centre`; nan under three values."""
    n = len(values)
    if n < 3 or centre <= 0:
        return np.nan
    middle, product, square = (n - 1) / 2, 0.0, 0.0
    for i in range(n):
        product += (i - middle) * (values[i] - centre)
        square += (i - middle) ** 2
    return product / square / centre


@lean
def copy(values, into):  # type: ignore[no-untyped-def]
    """A loop of one's own: numba takes two seconds to compile the assignment of a slice."""
    for at in range(len(values)):
        into[at] = values[at]
