"""The shop's own time: a known season is found and comes back, and what is no season is none."""

from __future__ import annotations

import numpy as np
import pytest

from histories.clock import DAY
from models.btyd.own_time import OwnTime

DAYS = 900
WEEKS = DAYS // 7 + 1


def pace(day: np.ndarray) -> np.ndarray:
    """Twice the usual in a quarter of the year."""
    return np.where((day % 364) < 91, 1.6, 0.8)


def shop(customers: int, *, last_first: int = DAYS - 30, seasonal: bool = True, slump: float = 1.0):  # type: ignore[no-untyped-def]
    """(repeats by week, frequency, recency, T) of Poisson customers who come up to the day `last_first`."""
    rng = np.random.default_rng(customers)
    rate, first = rng.gamma(2, 1 / 80, customers), rng.integers(0, last_first, customers)
    end = np.minimum(first + rng.exponential(700, customers), DAYS)
    days = np.arange(DAYS)
    speed = (pace(days) if seasonal else np.ones(DAYS)) * np.where(days > DAYS - 364, slump, 1.0)
    alive = (days > first[:, None]) & (days < end[:, None])
    came = alive & (rng.random((customers, DAYS)) < rate[:, None] * speed)
    last = np.where(came.any(axis=1), DAYS - 1 - came[:, ::-1].argmax(axis=1), first)
    weekly = np.bincount((DAYS - 1 - np.nonzero(came)[1]) // 7, minlength=WEEKS)
    return weekly, came.sum(axis=1).astype(float), (last - first).astype(float), (DAYS - 1.0 - first)


def ahead(time: OwnTime, days: int) -> float:
    return float(time.span(DAYS - 1.0, DAYS - 1.0 + days)) / days


def fit(made) -> OwnTime:  # type: ignore[no-untyped-def]
    return OwnTime.fit(*made, (DAYS - 1) * DAY)


def quarters(time: OwnTime) -> np.ndarray:
    """Pace of the four quarters ahead, over their mean."""
    edges = DAYS - 1.0 + 91 * np.arange(5)
    each = np.diff([float(time.span(DAYS - 1.0, edge)) for edge in edges])
    return each / each.mean()


def test_the_season_of_a_year_ago_comes_back() -> None:
    time = fit(shop(3000))
    expected = pace(np.arange(DAYS, DAYS + 364)).reshape(4, 91).mean(axis=1)
    np.testing.assert_allclose(quarters(time), expected, rtol=0.12)
    busy, quiet = (float(time.span(a, a + 60.0)) for a in (380.0, 500.0))
    assert busy > 1.2 * quiet  # pasts follow the season halfway


def test_a_weaker_year_is_followed() -> None:
    usual, weak = (ahead(fit(shop(3000, slump=slump)), 182) for slump in (1.0, 0.6))
    assert weak < 0.85 * usual


def test_without_a_season_time_runs_evenly() -> None:
    np.testing.assert_allclose(quarters(fit(shop(3000, seasonal=False))), 1.0, atol=0.08)


def test_a_cohort_and_a_young_shop_have_no_season() -> None:
    assert fit(shop(500, last_first=60)) == OwnTime.even()
    weekly, *customers = shop(500)
    assert OwnTime.fit(weekly[:50], *customers, (DAYS - 1) * DAY) == OwnTime.even()
    assert OwnTime.even().span(10.0, 25.0) == 15.0


def test_few_purchases_move_little() -> None:
    assert ahead(fit(shop(12)), 91) == pytest.approx(1.0, abs=0.25)


def test_time_goes_on_beyond_what_is_foreseen() -> None:
    time = OwnTime(100.0, (2.0, 1.0))
    assert time.span(90.0, 100.0) == 10.0
    assert time.span(100.0, 107.0) == 14.0
    np.testing.assert_allclose(time.span(np.array([107.0, 114.0]), np.array([114.0, 124.0])), [7.0, 10.0])
