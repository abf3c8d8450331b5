"""How the spend of those who come scatters around what is expected of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from histories.compiled import piece

Floats = NDArray[np.float64]
LEVELS = np.linspace(0, 1, 101)
MIDDLES = np.arange(5, 101, 10)  # of ten equally likely parts, in those
_FEWEST = 30  # buyers below whom the scatter is taken to be log-normal
_PER_GROUP, _MOST_GROUPS = 200, 5
_RARE = 0.01  # share of the residuals on either side that are taken for less than they are
_USUAL_SD = 0.8  # of the log of a shop's spend per buyer


@dataclass(frozen=True)
class Spread:
    """Quantiles of log(spend / mean) of buyers, at 0, .01, ... 1, in groups by how often they buy."""

    edges: Floats  # (groups - 1,) log of the expected orders of those who come
    quantiles: Floats  # (groups, 101)

    @classmethod
    def usual(cls) -> Spread:
        """Log-normal with mean 1: of a shop where too few came to tell."""
        from scipy.stats import norm

        normal = norm.ppf(np.clip(LEVELS, 0.005, 0.995))
        return cls(np.empty(0), (_USUAL_SD * normal - _USUAL_SD**2 / 2)[None, :])

    @classmethod
    def fit(cls, residuals: Floats, log_orders: Floats, log_expected: Floats) -> Spread:
        """Of buyers (rows,): out-of-time residuals make the intervals conformal (Vovk et al. 2005, split form).

        They are freed of the period's level, the sum that came over the sum expected: what one who was expected to
        spend next to nothing brings moves nobody else's interval, nor does what is beyond the usual.
        """
        if len(residuals) < _FEWEST:
            return cls.usual()
        usual = np.clip(residuals, *np.quantile(residuals, (_RARE, 1 - _RARE)))
        residuals = residuals - logsumexp(log_expected + usual) + logsumexp(log_expected)
        groups = int(np.clip(len(residuals) // _PER_GROUP, 1, _MOST_GROUPS))
        edges = np.quantile(log_orders, np.arange(1, groups) / groups)
        member = np.searchsorted(edges, log_orders)
        pooled = np.quantile(residuals, LEVELS)
        parts = [residuals[member == group] for group in range(groups)]
        return cls(edges, np.array([np.quantile(p, LEVELS) if len(p) >= _FEWEST else pooled for p in parts]))


@piece
def quantile(edges, table, level, gone, location, log_orders):  # type: ignore[no-untyped-def]
    """Spend of one customer at a level: zero up to `gone`, P(no purchase), around exp(location) beyond.

    `edges` and `table` are the edges and quantiles of a Spread.
    """
    if level <= gone:
        return 0.0
    steps = table.shape[1] - 1
    place = (level - gone) / (1.0 - gone) * steps
    left = min(int(place), steps - 1)
    group = np.searchsorted(edges, log_orders)
    low, high = table[group, left], table[group, left + 1]
    return np.exp(location + low + (place - left) * (high - low))
