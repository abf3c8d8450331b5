"""Buy-till-you-die models: recover known parameters, agree with numerical integration, stay sane when tiny."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import beta, gamma

from models.btyd.bg_nbd import BgNbd
from models.btyd.gamma_gamma import GammaGamma
from models.btyd.mixture import _EQUAL, COLUMNS, BuyTillYouDie
from models.btyd.own_time import OwnTime
from models.btyd.pareto_nbd import ParetoNbd

CDNOW_SAMPLE = "cdnow_customers_summary_with_transactions.csv"
ONE = np.array([2.0]), np.array([30.43]), np.array([38.86])


def integral(values: Callable[[np.ndarray, np.ndarray], np.ndarray], high: float, other: float) -> float:
    """Over (0, high) x (0, other), by Gauss-Legendre."""
    nodes, weights = np.polynomial.legendre.leggauss(200)
    x, y = (nodes + 1) / 2 * high, (nodes + 1) / 2 * other
    return float(weights @ values(x[:, None], y[None, :]) @ weights * high * other / 4)


@pytest.mark.parametrize("modified", [False, True])
def test_bg_nbd_agrees_with_integration_over_its_customers(modified: bool) -> None:
    model = BgNbd(0.8, 4.0, 0.9, 2.5, modified)
    x, tx, T, t = 2.0, 30.43, 38.86, 39.0

    def likelihood(rate: np.ndarray, p: np.ndarray, end: float) -> np.ndarray:
        chances = x + modified
        alive = (1 - p) ** chances * np.exp(-rate * end)
        dead = p * (1 - p) ** (chances - 1) * np.exp(-rate * tx)
        return rate**x * (alive + dead) * gamma.pdf(rate, 0.8, scale=1 / 4.0) * beta.pdf(p, 0.9, 2.5)

    def total(end: float) -> float:
        return integral(lambda rate, p: likelihood(rate, p, end), 4, 1)

    assert model.log_likelihood(*ONE) == pytest.approx(np.log(total(T)), rel=1e-4)
    assert model.forecast(*ONE, t)[1, 0] == pytest.approx(total(T + t) / total(T), rel=2e-4)


@pytest.mark.parametrize(("alpha", "beta_"), [(10.6, 11.7), (14.0, 6.0)])
def test_pareto_nbd_agrees_with_integration_over_its_customers(alpha: float, beta_: float) -> None:
    model = ParetoNbd(1.2, alpha, 1.4, beta_)
    x, tx, T = 2.0, 30.43, 38.86

    def likelihood(rate: np.ndarray, death: np.ndarray) -> np.ndarray:
        both = rate + death
        given = rate**x / both * (death * np.exp(-both * tx) + rate * np.exp(-both * T))
        return given * gamma.pdf(rate, 1.2, scale=1 / alpha) * gamma.pdf(death, 1.4, scale=1 / beta_)

    assert model.log_likelihood(*ONE) == pytest.approx(np.log(integral(likelihood, 3, 3)), rel=1e-4)


def test_expected_purchases_are_what_a_simulation_gives() -> None:
    rng = np.random.default_rng(3)
    n, horizon = 400_000, 39.0
    rate, p = rng.gamma(0.8, 1 / 4.0, n), rng.beta(0.9, 2.5, n)
    until_dead = rng.geometric(p)
    bought = np.minimum(rng.poisson(rate * horizon), until_dead)
    newcomer = np.zeros(1)
    expected = BgNbd(0.8, 4.0, 0.9, 2.5).forecast(newcomer, newcomer, newcomer, horizon)[2, 0]
    assert bought.mean() == pytest.approx(expected, rel=0.02)


def test_gamma_gamma_recovers_its_parameters() -> None:
    rng = np.random.default_rng(5)
    n = 20_000
    nu, orders = rng.gamma(3.74, 1 / 15.44, n), rng.integers(1, 8, n).astype(float)
    mean = rng.gamma(6.25 * orders, 1 / nu) / orders
    model = GammaGamma.fit(orders, mean)
    assert (model.p, model.q, model.v) == pytest.approx((6.25, 3.74, 15.44), rel=0.06)


def test_busy_and_ancient_customers_stay_finite() -> None:
    x = np.array([0.0, 0.0, 5000.0, 5000.0])
    recency, T = np.array([0.0, 0.0, 4000.0, 10.0]), np.array([0.0, 4000.0, 4000.0, 4000.0])
    for model in (BgNbd(0.2, 4.4, 0.8, 2.4), BgNbd(0.5, 6.2, 1.0, 1.6, True), ParetoNbd(0.5, 10.6, 0.6, 11.7)):
        answer = model.forecast(x, recency, T, 365.0)
        assert np.isfinite(answer).all()
        assert (answer >= 0).all()
        assert (answer[:2] <= 1).all()


def test_published_parameters_of_the_cdnow_sample() -> None:
    """Fader and Hardie, weeks, 2,357 customers; the sample comes with lifetimes."""
    found = find_spec("lifetimes")
    if found is None or found.origin is None:
        pytest.skip(f"lifetimes (group peers) brings {CDNOW_SAMPLE}")
    table = pd.read_csv(Path(found.origin).parent / "datasets" / CDNOW_SAMPLE)
    x, recency, T, value = (table[c].to_numpy(float) for c in ("x", "t_x", "T", "zbar"))
    bg = BgNbd.fit(x, recency, T, shrink=0)
    assert (bg.r, bg.alpha, bg.a, bg.b) == pytest.approx((0.243, 4.414, 0.793, 2.426), abs=6e-4)
    pareto = ParetoNbd.fit(x, recency, T, shrink=0)
    assert (pareto.r, pareto.alpha, pareto.s, pareto.beta) == pytest.approx((0.553, 10.578, 0.606, 11.669), abs=3e-3)
    worth = GammaGamma.fit(x, value, shrink=0)
    assert (x > 0).sum() == 946
    assert (worth.p, worth.q, worth.v) == pytest.approx((6.25, 3.74, 15.44), abs=0.01)


@pytest.mark.parametrize("modified", [False, True])
def test_bg_nbd_recovers_its_parameters(modified: bool) -> None:
    rng = np.random.default_rng(8)
    n, r, alpha, a, b = 20_000, 0.8, 6.0, 0.9, 2.4
    rate, p, T = rng.gamma(r, 1 / alpha, n), rng.beta(a, b, n), rng.uniform(40, 80, n)
    chances = rng.geometric(p) - modified  # the purchase after which the customer is lost; the modified form, the first
    times = np.cumsum(rng.exponential(1 / rate[:, None], (n, 120)), axis=1)
    bought = (times <= T[:, None]) & (np.arange(1, 121) <= chances[:, None])
    recency = np.where(bought, times, 0.0).max(axis=1)
    model = BgNbd.fit(bought.sum(axis=1).astype(float), recency, T, modified=modified)
    assert (model.r, model.alpha) == pytest.approx((r, alpha), rel=0.08)
    assert model.a / (model.a + model.b) == pytest.approx(a / (a + b), rel=0.06)
    assert model.a == pytest.approx(a, rel=0.2)


def test_pareto_nbd_recovers_its_parameters() -> None:
    rng = np.random.default_rng(9)
    n, r, alpha, s, beta_ = 20_000, 0.8, 6.0, 0.7, 12.0
    rate, lost, T = rng.gamma(r, 1 / alpha, n), rng.exponential(1 / rng.gamma(s, 1 / beta_, n)), rng.uniform(40, 80, n)
    times = np.cumsum(rng.exponential(1 / rate[:, None], (n, 120)), axis=1)
    bought = times <= np.minimum(T, lost)[:, None]
    recency = np.where(bought, times, 0.0).max(axis=1)
    model = ParetoNbd.fit(bought.sum(axis=1).astype(float), recency, T)
    assert (model.r, model.alpha) == pytest.approx((r, alpha), rel=0.08)
    assert model.s / model.beta == pytest.approx(s / beta_, rel=0.15)


def test_models_are_mixed_as_the_window_that_came_asks_for() -> None:
    """Customers of a Pareto/NBD: it gets most of the weight, and the mixture forecasts better than the average."""
    rng = np.random.default_rng(12)
    size, window = 6000, 20.0
    rate, death, T = rng.gamma(0.9, 1 / 4.0, size), rng.gamma(1.2, 1 / 25.0, size), rng.uniform(5, 40, size)
    lived = rng.exponential(1 / death)
    x = rng.poisson(rate * np.minimum(lived, T)).astype(float)
    recency = np.where(x > 0, np.minimum(lived, T) * rng.random(size) ** (1 / np.maximum(x, 1)), 0.0)
    came = rng.poisson(rate * np.clip(lived - T, 0, window)).astype(float)
    X = np.column_stack([x, recency, T, np.full(size, np.nan)]).astype(np.float32)
    models = BuyTillYouDie(
        BgNbd.fit(x, recency, T), BgNbd.fit(x, recency, T, modified=True), ParetoNbd.fit(x, recency, T),
        GammaGamma.none(), OwnTime.even(),
    )  # fmt: skip
    assert models.weights == _EQUAL
    half = size // 2
    weights = models.weighed(X[:half], range(len(COLUMNS)), 0, window, came[:half])
    assert sum(weights) == pytest.approx(1.0)
    assert weights[2] > 0.5

    def loss(mixed: BuyTillYouDie) -> float:
        lapse = mixed.forecast(X[half:], range(len(COLUMNS)), 0, window).lapse
        return float(-np.log(np.where(came[half:] == 0, lapse, 1 - lapse)).mean())

    mixed = BuyTillYouDie(models.bg, models.mbg, models.pareto, models.worth, models.time, weights)
    assert loss(mixed) < loss(models)
    assert BuyTillYouDie.from_dict(mixed.to_dict()) == mixed


def test_customers_who_are_all_alike_do_not_run_away() -> None:
    """A subscription: the likelihood rises with r for ever, and the series get longer with it."""
    rng = np.random.default_rng(13)
    T = rng.uniform(1, 24, 500)
    x = np.floor(T * np.where(rng.random(500) < 0.3, rng.random(500), 1.0))
    for model in (ParetoNbd.fit(x, x.copy(), T), BgNbd.fit(x, x.copy(), T, modified=True)):
        assert model.r < 100
        assert np.isfinite(model.forecast(x, x, T, 3.0)).all()
