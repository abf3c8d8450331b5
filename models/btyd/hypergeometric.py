"""Gauss's hypergeometric function where the buy-till-you-die models need it, compiled."""

from __future__ import annotations

from histories.compiled import piece

_TERMS = 20_000


@piece
def hyp2f1(a, b, c, z):  # type: ignore[no-untyped-def]
    """2F1(a, b; c; z) for c > 0 and 0 <= z < 1 by its power series.

    Callers choose the form (Euler's transformation) in which the terms neither grow nor alternate.
    """
    total, term = 1.0, 1.0
    for n in range(_TERMS):
        term *= (a + n) * (b + n) / ((c + n) * (n + 1.0)) * z
        total += term
        if abs(term) <= 1e-16 * abs(total):
            break
    return total
