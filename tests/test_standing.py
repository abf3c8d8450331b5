"""The percentile of a customer is the mean rank of their spend over futures that the model holds possible."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm, rankdata

from histories.compiled import compiled
from models.customer_value import CustomerValue
from models.scores.spread import Spread
from models.scores.standing import Standing, percentile
from service.fallbacks import finite
from tests.test_models_contract import AS_OF, fitted, made_up

CUSTOMERS, FUTURES = 400, 2_000


@compiled
def _percentiles(come, location, log_orders, edges, quantiles, gone, levels, out):  # type: ignore[no-untyped-def]
    for i in range(len(out)):
        out[i] = percentile(come[i], location[i], log_orders[i], edges, quantiles, gone, levels)


def percentiles(
    come: np.ndarray, location: np.ndarray, log_orders: np.ndarray, spread: Spread, standing: Standing
) -> np.ndarray:
    out = np.empty(len(come))
    _percentiles(come, location, log_orders, spread.edges, spread.quantiles, standing.gone, standing.levels, out)
    return out


def test_it_is_the_mean_rank_over_possible_futures() -> None:
    rng = np.random.default_rng(3)
    come, location = rng.beta(0.6, 0.8, CUSTOMERS), rng.normal(4, 1.2, CUSTOMERS)
    log_orders = rng.normal(0, 1, CUSTOMERS)
    narrow, wide = (norm.ppf(np.clip(np.linspace(0, 1, 101), 0.005, 0.995)) * sd for sd in (0.3, 1.1))
    spread = Spread(np.array([0.0]), np.stack([narrow, wide]))
    made = percentiles(come, location, log_orders, spread, Standing.of(come, location, log_orders, spread))

    noise = rng.normal(0, 1, (FUTURES, CUSTOMERS)) * np.where(log_orders > 0, 1.1, 0.3)
    spend = np.where(rng.random((FUTURES, CUSTOMERS)) < come, np.exp(location + noise), 0.0)
    ranks = (rankdata(spend, axis=1) - 0.5) / CUSTOMERS
    np.testing.assert_allclose(made, 100 * ranks.mean(axis=0), atol=2.5)  # two standard errors of the draws are 1.5
    assert made.mean() == pytest.approx(50, abs=0.5)


def test_who_is_sure_to_stay_away_shares_the_lowest_rank_and_without_money_coming_decides() -> None:
    come, none = np.array([0.0, 0.2, 0.8, 1.0]), np.zeros(4)
    standing = Standing(gone=0.6, levels=np.empty(0))
    made = percentiles(come, none, none, Spread.usual(), standing)
    np.testing.assert_allclose(made, 100 * ((1 - come) * 0.3 + come * 0.8))


@pytest.mark.parametrize("customers", [1, 2, 40])
def test_a_shop_of_few_has_percentiles(customers: int) -> None:
    shop = fitted(made_up(customers, 3))
    value = shop.models["customer_value"].predict(shop.X, AS_OF)
    assert ((value.percentile >= 0) & (value.percentile <= 100)).all()
    if customers > 2:
        assert value.percentile.mean() == pytest.approx(50, abs=2)


def test_a_release_of_before_knows_none(tmp_path: Path) -> None:
    shop = fitted(made_up(40, 3))
    shop.models["customer_value"].save(tmp_path)
    meta = json.loads((tmp_path / "model.json").read_text())
    del meta["standing"]
    (tmp_path / "model.json").write_text(json.dumps(meta))
    models = CustomerValue.load(tmp_path), shop.models["customer_value"]
    before, now = (model.predict(shop.X, AS_OF) for model in models)
    np.testing.assert_array_equal(before.mean, now.mean)
    assert {finite(number) for number in before.percentile.tolist()} == {None}
