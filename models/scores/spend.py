"""From raw scores to orders and money, compiled: where scores begin, the views of a buyer's spend, the quantiles."""

from __future__ import annotations

from math import exp, log, log1p

import numpy as np

from histories.compiled import compiled, piece
from models.btyd.mixture import log_odds
from models.scores.plain import log_spend
from models.scores.score import raw_score
from models.scores.season import level_on
from models.scores.spread import quantile
from models.scores.standing import percentile

INTERVAL = 0.8
_TAIL = (1 - INTERVAL) / 2
TINY = 1e-9


@compiled
def starts(alive, lapse, orders, worth):  # type: ignore[no-untyped-def]
    """(3, rows): where the scores of churn, of orders and of what buyers spend begin, from the columns of a Base."""
    return _start_scores(lapse, orders, worth)


@piece
def _start_scores(lapse, orders, worth):  # type: ignore[no-untyped-def]
    out = np.empty((3, len(lapse)))
    for i in range(len(lapse)):
        out[0, i], out[1, i] = log_odds(lapse[i]), log(max(orders[i], TINY))
        out[2, i] = out[1, i] + log(max(worth[i], TINY)) - log(max(1.0 - lapse[i], TINY))
    return out


@compiled
def fill_values(X, inputs, base, days, model, out):  # type: ignore[no-untyped-def]
    """Fills out with the columns of a Value; `base` is of a Base, `days` (1 or rows,) since 1970."""
    scores, at, plain, prices, scale, edges, quantiles, gone, levels = model
    start, said, seen = _start_scores(base[1], base[2], base[3]), np.empty((3, len(X))), np.empty((2, len(X)))
    for k in range(3):
        raw_score(scores[k], inputs, start[k], said[k])
    _set_views(said[0], said[1], said[2], base[3], X, at, plain, seen)
    for i in range(len(X)):
        seen[0, i] += scale + level_on(prices, days[i % len(days)])
    _set_numbers(said[0], said[1], seen[0], seen[1], (edges, quantiles), (gone, levels), out)


@compiled
def fill_views(churn, orders, basket, worth, X, at, plain, out):  # type: ignore[no-untyped-def]
    """Fills out with the logs of the spend (before scale and prices) and of the orders of those who come."""
    _set_views(churn, orders, basket, worth, X, at, plain, out)


@piece
def _set_views(churn, orders, basket, worth, X, at, plain, out):  # type: ignore[no-untyped-def]
    for i in range(len(X)):
        out[1, i] = orders[i] + max(churn[i], 0.0) + log1p(exp(-abs(churn[i])))
        whole, weight = basket[i] + out[1, i] + log(max(worth[i], TINY)), plain[0]
        if weight > 0:
            whole += weight * log_spend(X[i], at, plain)
        out[0, i] = whole / (2 + weight)


@piece
def _set_numbers(churn, orders, location, often, spread, standing, out):  # type: ignore[no-untyped-def]
    """Of raw scores, and of the log of what buyers spend and of how often: the columns of a Value."""
    (edges, quantiles), (lost, levels) = spread, standing
    for i in range(len(churn)):
        gone, come = 1.0 / (1.0 + exp(-churn[i])), 1.0 / (1.0 + exp(churn[i]))
        place = min(max(location[i], -20.0), 25.0)
        # From zero on where zero is likely, and INTERVAL in all.
        low = 0.0 if gone >= _TAIL else _TAIL
        out[0, i] = come * exp(place)
        out[1, i] = quantile(edges, quantiles, 0.5, gone, place, often[i])
        out[2, i] = quantile(edges, quantiles, low, gone, place, often[i])
        out[3, i] = quantile(edges, quantiles, low + INTERVAL, gone, place, often[i])
        out[4, i] = exp(min(max(orders[i], -20.0), 20.0))
        out[5, i] = percentile(come, location[i], often[i], edges, quantiles, lost, levels)
