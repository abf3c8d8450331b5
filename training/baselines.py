"""What each model has to be worth more than: the rules and textbook models a shop would otherwise use.

All are fitted on what was known at the cut, like ours; `names` are the feature columns of X.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from histories.clock import local_day
from histories.history import NEVER, PURCHASE, History
from models.btyd.bg_nbd import BgNbd
from models.btyd.gamma_gamma import GammaGamma
from training.judge import Answers

_POPULAR_DAYS = 90
_YEAR = 365
Table = NDArray[np.float32]


class Columns:
    """Feature columns by name, as float64."""

    def __init__(self, X: Table, names: Sequence[str]) -> None:
        self._X, self._at = X, {name: i for i, name in enumerate(names)}

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        return self._X[:, self._at[name]].astype(np.float64)


def no_order_in_n_days(now: Columns, then: Columns, lost: NDArray, horizon_days: int) -> Answers:
    """Lost if no order in the last horizon; as a probability, the share that such customers lost last time."""
    quiet, was_quiet = now["days_since_last_order"] >= horizon_days, then["days_since_last_order"] >= horizon_days
    rates = [(lost[group].sum() + 1) / (group.sum() + 2) for group in (was_quiet, ~was_quiet)]
    return {"churn": np.where(quiet, *rates), "churn_rank": now["days_since_last_order"]}


def recency_frequency_logistic(now: Columns, then: Columns, lost: NDArray) -> Answers:
    """Logistic regression on the logs of days since the last order, frequency and tenure."""
    if len(np.unique(lost)) < 2:
        return {}
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(_logs(then), lost)
    return {"churn": model.predict_proba(_logs(now))[:, 1]}


def textbook(now: Columns, horizon_days: int) -> dict[str, Answers]:
    """BG/NBD with Gamma-Gamma, by maximum likelihood on the same customers; nothing if nobody ever came back."""
    frequency, recency, T = now["frequency"], now["recency"], now["T"]
    if not (frequency > 0).any():
        return {}
    _, lost, orders = BgNbd.fit(frequency, recency, T, shrink=0.0).forecast(frequency, recency, T, horizon_days)
    worth = GammaGamma.fit(frequency, now["monetary_value"]).expected_mean(frequency, now["monetary_value"])
    spend = orders * worth
    days = horizon_days / np.maximum(orders, horizon_days / (10 * _YEAR))
    return {"bg_nbd": {"churn": lost, "orders": orders, "days": days} | _spending(spend)}


def last_year_rate(now: Columns, horizon_days: int) -> Answers:
    """As many orders and as much money per day as in the last 365 days (or since the first order)."""
    share = horizon_days / np.clip(now["T"], horizon_days, _YEAR)
    orders, spend = now["orders_365d"] * share, now["spend_365d"] * share
    return {"orders": orders} | _spending(spend)


def _spending(spend: NDArray) -> dict[str, NDArray]:
    """One number for everything that is asked of spend."""
    return dict.fromkeys(("mean", "median", "rank"), spend)


def mean_gap(now: Columns) -> Answers:
    """The next order comes a mean gap after the last: the customer's own, the shop's mean for those without."""
    own = now["gap_mean"]
    known = np.isfinite(own)
    usual = float(own[known].mean()) if known.any() else float(_YEAR)
    return {"days": np.maximum(np.where(known, own, usual) - now["days_since_last_order"], 1.0)}


def recency_quartiles(now: Columns) -> Answers:
    days = now["days_since_last_order"]
    return {"segment": np.searchsorted(np.quantile(days, (0.25, 0.5, 0.75)), days)}


def popular(history: History, as_of: int, k: int) -> NDArray[np.int32]:
    """The k sellable products most often bought in the last 90 days of a history that ends at as_of."""
    lines = history.lines
    recent = lines.local_day > local_day(as_of, history.zone) - _POPULAR_DAYS
    return _most_frequent(history, lines.product[recent & _bought(history)], k)


def own_favourites(history: History, rows: NDArray, fill: NDArray[np.int32], k: int) -> list[NDArray]:
    """Per customer at `rows`: the products of most lines of a history that ends at as_of, filled with popular ones."""
    offsets, product, bought = history.lines.offsets, history.lines.product, _bought(history)
    lists = []
    for row in rows:
        span = slice(offsets[row], offsets[row + 1])
        own = _most_frequent(history, product[span][bought[span]], k)
        lists.append(np.concatenate([own, fill[~np.isin(fill, own)]])[:k])
    return lists


def _bought(history: History) -> NDArray[np.bool_]:
    lines = history.lines
    return (lines.kind == PURCHASE) & (lines.product >= 0) & (lines.voided_at == NEVER)


def _most_frequent(history: History, products: NDArray[np.int32], k: int) -> NDArray[np.int32]:
    """Ties go to the one bought last."""
    codes, from_the_end, counts = np.unique(products[::-1], return_index=True, return_counts=True)
    by = np.lexsort((from_the_end, -counts))
    codes = codes[by]
    return codes[history.catalog.sellable[codes]][:k]


def _logs(columns: Columns) -> NDArray[np.float64]:
    parts = [columns["days_since_last_order"], columns["frequency"], columns["T"]]
    return np.log1p(np.column_stack(parts).clip(0))
