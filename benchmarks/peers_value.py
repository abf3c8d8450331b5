"""The peers of benchmarks.customer_value: lifetimes' models and the simple rules, fitted on the calibration period."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.metrics_value import Forecast

Floats = NDArray[np.float64]
PENALTIES = (0.0, 0.001, 0.01, 0.1)  # lifetimes: the first that converges


@dataclass(frozen=True)
class Calibration:
    """One row per customer with a purchase by the cut-off; all times in days, same-day purchases merged."""

    frequency: Floats
    recency: Floats
    T: Floats
    monetary_value: Floats  # mean spend of a repeat day, 0 without one
    spend_total: Floats

    @property
    def purchases(self) -> Floats:
        return self.frequency + 1

    @property
    def table(self) -> Floats:
        """Columns of the recency-frequency regressions."""
        since = self.T - self.recency
        return np.column_stack([np.log1p(v) for v in (since, self.frequency, self.T, np.maximum(self.spend_total, 0))])


@dataclass(frozen=True)
class Problem:
    """What a peer may see: the calibration at the cut-off and, where it fits, the one a horizon earlier with labels."""

    now: Calibration
    before: Calibration | None
    before_orders: Floats | None
    before_spend: Floats | None
    horizon_days: int
    has_amount: bool


def calibration(days: pd.DataFrame, cutoff_day: int) -> tuple[Calibration, NDArray[np.int64]]:
    """From one row per customer and purchase day (customer, day, amount, sorted); and the customers' codes."""
    seen = days[days["day"] <= cutoff_day]
    grouped = seen.groupby("customer", sort=True)
    first, last, count, total = grouped["day"].min(), grouped["day"].max(), grouped.size(), grouped["amount"].sum()
    repeat = (total - grouped["amount"].first()) / (count - 1).where(count > 1)
    columns = (count - 1, last - first, cutoff_day - first, repeat.fillna(0.0), total)
    numbers = [np.asarray(c, dtype=np.float64) for c in columns]
    return Calibration(*numbers), count.index.to_numpy(np.int64)


def lifetimes_model(name: str) -> Callable[[Problem], Forecast]:
    """BG/NBD, MBG/NBD or Pareto/NBD with Gamma-Gamma, fitted by lifetimes."""

    def run(problem: Problem) -> Forecast:
        import lifetimes

        fitter = {
            "bg_nbd": lifetimes.BetaGeoFitter,
            "mbg_nbd": lifetimes.ModifiedBetaGeoFitter,
            "pareto_nbd": lifetimes.ParetoNBDFitter,
        }[name]
        c, t = problem.now, problem.horizon_days
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            model = _converged(lambda penalty: fitter(penalizer_coef=penalty).fit(c.frequency, c.recency, c.T))
            orders = model.conditional_expected_number_of_purchases_up_to_time(t, c.frequency, c.recency, c.T)
            spend = np.asarray(orders) * _mean_order(c) if problem.has_amount else None
        return Forecast(np.asarray(orders, float), _no_purchase(name, model.params_, c, t), spend)

    return run


def _converged(fit: Callable[[float], Any]) -> Any:
    from lifetimes.utils import ConvergenceError

    for penalty in PENALTIES:
        try:
            return fit(penalty)
        except ConvergenceError:
            continue
    raise ValueError(f"did not converge with any penalizer_coef of {PENALTIES}")


def _mean_order(c: Calibration) -> Floats:
    """Gamma-Gamma's expected worth of an order; the plain mean order where it cannot be fitted."""
    import lifetimes

    usable = (c.frequency > 0) & (c.monetary_value > 0)
    model = _converged(
        lambda p: lifetimes.GammaGammaFitter(penalizer_coef=p).fit(c.frequency[usable], c.monetary_value[usable])
    )
    return np.asarray(
        model.conditional_expected_average_profit(pd.Series(c.frequency), pd.Series(c.monetary_value)), float
    )


def _no_purchase(name: str, parameters: Any, c: Calibration, t: float) -> Floats:
    """P(no purchase in the horizon) under lifetimes' parameters, which it does not compute itself for BG/NBD."""
    from models.btyd.bg_nbd import BgNbd
    from models.btyd.pareto_nbd import ParetoNbd

    p = {key: float(value) for key, value in parameters.items()}
    model = ParetoNbd(**p) if name == "pareto_nbd" else BgNbd(**p, modified=name == "mbg_nbd")
    return model.forecast(c.frequency, c.recency, c.T, t)[1]


def rf_regressions(problem: Problem) -> Forecast:
    """Logistic, Poisson and Tweedie regression on recency, frequency, tenure and spend, trained one horizon earlier."""
    from sklearn.linear_model import LogisticRegression, PoissonRegressor, TweedieRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if problem.before is None or problem.before_orders is None or problem.before_spend is None:
        raise ValueError(f"no label window of {problem.horizon_days} days before the cut-off")
    X, now = problem.before.table, problem.now.table

    def fitted(model: Any, y: Floats) -> Any:
        return make_pipeline(StandardScaler(), model).fit(X, y)

    churn = fitted(LogisticRegression(), problem.before_orders == 0).predict_proba(now)[:, 1]
    orders = fitted(PoissonRegressor(alpha=1e-3, max_iter=1000), problem.before_orders).predict(now)
    if not problem.has_amount:
        return Forecast(orders, churn)
    scale = max(problem.before_spend.mean(), 1e-9)
    model = fitted(TweedieRegressor(power=1.5, alpha=1e-3, max_iter=1000), problem.before_spend / scale)
    return Forecast(orders, churn, model.predict(now) * scale)


def own_rate(problem: Problem) -> Forecast:
    """Everybody goes on as before: own orders and spend per day, Poisson."""
    c, t = problem.now, problem.horizon_days
    exposure = t / np.maximum(c.T, t)
    orders = c.purchases * exposure
    return Forecast(orders, np.exp(-orders), c.spend_total * exposure if problem.has_amount else None)


def recency_rule(problem: Problem) -> Forecast:
    """'No order in N days': the share of customers who ordered more recently is the churn score."""
    since = problem.now.T - problem.now.recency
    rank = np.searchsorted(np.sort(since), since, side="right") / (len(since) + 1)
    return Forecast(churn=rank)


def constant(problem: Problem) -> Forecast:
    """The same for everybody: the last horizon's means, or the mean rate so far where none fits."""
    size = len(problem.now.T)
    if problem.before_orders is None or problem.before_spend is None:
        rate = own_rate(problem)
        assert rate.orders is not None
        means = rate.orders.mean(), np.exp(-rate.orders).mean(), 0.0 if rate.spend is None else rate.spend.mean()
    else:
        means = problem.before_orders.mean(), (problem.before_orders == 0).mean(), problem.before_spend.mean()
    orders, churn, spend = (np.full(size, float(m)) for m in means)
    return Forecast(orders, churn, spend if problem.has_amount else None)


PEERS: dict[str, Callable[[Problem], Forecast]] = {
    "bg_nbd": lifetimes_model("bg_nbd"),
    "mbg_nbd": lifetimes_model("mbg_nbd"),
    "pareto_nbd": lifetimes_model("pareto_nbd"),
    "rf_regressions": rf_regressions,
    "own_rate": own_rate,
    "recency": recency_rule,
    "constant": constant,
}
