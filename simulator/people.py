"""The customers of the made-up shop: how often each buys, when each is lost, and what each likes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.assortment import CATEGORIES, PER_CATEGORY, pick_in_category

FAVOURITES = 8
CHANNELS = ("web", "app", "store")
AGES = ("18-29", "30-44", "45-59", "60+")
REGIONS = ("north", "south", "east", "west")
STYLES = ("bargain", "quality", "convenience")
DEVICES = ("ios", "android", "desktop")


@dataclass(frozen=True, slots=True)
class Group:
    """A kind of customer. Rates are gamma within the group, so that no two customers are alike."""

    name: str
    share: float
    gap_days: float  # mean days between orders while alive
    life_days: float  # mean days until lost
    christmas: float  # extra orders before Christmas, times the usual rate
    basket: float  # mean products per order
    replenishes: float  # share with a product bought in a steady cycle


GROUPS = (
    Group("loyal", 0.15, 24, 1400, 0.8, 4.5, 0.60),
    Group("regular", 0.30, 45, 800, 1.0, 4.2, 0.30),
    Group("seasonal", 0.14, 85, 1100, 8.0, 5.5, 0.05),
    Group("occasional", 0.24, 100, 450, 1.0, 3.8, 0.10),
    Group("one-off", 0.17, 300, 40, 1.0, 3.0, 0.00),
)
_RATE_SHAPE, _DROP_SHAPE = 2.5, 3.0
_CONSUMABLE = np.flatnonzero([category.consumable for category in CATEGORIES])


@dataclass(frozen=True, slots=True)
class People:
    """Traits of n customers; days are fractional, since 1970-01-01 UTC; rates are per day."""

    group: NDArray[np.int64]  # code in GROUPS
    acquired: NDArray[np.float64]  # day of the first order
    dropout: NDArray[np.float64]  # day after which nothing is bought, maybe far ahead
    rate: NDArray[np.float64]  # spontaneous orders per day while alive, without season
    drop_rate: NDArray[np.float64]
    christmas: NDArray[np.float64]
    basket: NDArray[np.float64]
    taste: NDArray[np.float64]  # (n, categories), rows add up to 1
    favourites: NDArray[np.int64]  # (n, FAVOURITES) products
    repeat: NDArray[np.float64]  # chance that a line is a favourite
    cycle: NDArray[np.float64]  # mean days between replenishments, nan without
    staple: NDArray[np.int64]  # the product replenished
    hour: NDArray[np.float64]  # usual hour of the day
    deals: NDArray[np.float64]  # chance of a coupon on a line
    channel: NDArray[np.float64]  # (n, channels)
    opens: NDArray[np.float64]  # chance of opening a newsletter
    age: NDArray[np.int64]
    region: NDArray[np.int64]
    style: NDArray[np.int64]
    device: NDArray[np.int64]
    household: NDArray[np.float64]  # nan where unknown

    def __len__(self) -> int:
        return len(self.group)


def meet_people(rng: np.random.Generator, n: int, opened: int, closes: int) -> People:
    """n customers acquired in [opened, closes), a quarter of them drawn from the first three months."""
    group = rng.choice(len(GROUPS), n, p=[g.share for g in GROUPS])
    rate = rng.gamma(_RATE_SHAPE, 1 / _RATE_SHAPE, n) / _of(group, "gap_days")
    drop_rate = rng.gamma(_DROP_SHAPE, 1 / _DROP_SHAPE, n) / _of(group, "life_days")
    early = min(opened + 90, closes)
    acquired = np.where(rng.random(n) < 0.25, rng.uniform(opened, early, n), rng.uniform(opened, closes, n))
    taste = rng.dirichlet(np.full(len(CATEGORIES), 0.35), n)
    style = rng.choice(len(STYLES), n, p=[0.3, 0.3, 0.4])
    device = rng.choice(len(DEVICES), n, p=[0.35, 0.40, 0.25])
    age = _lean(rng, group, [1, 2, 2, 1], [2, 2, 1, 1])
    replenishes = rng.random(n) < _of(group, "replenishes")
    household = rng.poisson(_of(group, "basket") / 3) + 1.0
    return People(
        group=group,
        acquired=acquired,
        dropout=acquired + rng.exponential(1.0, n) / drop_rate,
        rate=rate,
        drop_rate=drop_rate,
        christmas=_of(group, "christmas") * rng.gamma(4.0, 0.25, n),
        basket=_of(group, "basket") * rng.gamma(6.0, 1 / 6.0, n),
        taste=taste,
        favourites=pick_in_category(rng, draw_rows(rng, np.repeat(taste, FAVOURITES, axis=0)).reshape(n, FAVOURITES)),
        repeat=rng.beta(2.0, 2.5, n),
        cycle=np.where(replenishes, rng.lognormal(np.log(35.0), 0.35, n), np.nan),
        staple=_staples(rng, n),
        hour=rng.normal(15.5, 3.5, n).clip(7, 22),
        deals=rng.beta(1.0, 9.0, n) + 0.15 * (style == STYLES.index("bargain")),
        channel=_channels(rng, device),
        opens=rng.beta(1.2, 4.0, n),
        age=age,
        region=rng.integers(0, len(REGIONS), n),
        style=style,
        device=device,
        household=np.where(rng.random(n) < 0.25, np.nan, household),
    )


def draw_rows(rng: np.random.Generator, weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """One column per row of (rows, columns), with chances proportional to the row's weights."""
    cumulative = np.cumsum(weights, axis=1)
    point = rng.random(len(weights)) * cumulative[:, -1]
    return np.minimum((cumulative < point[:, None]).sum(axis=1), weights.shape[1] - 1)


def _of(group: NDArray[np.int64], trait: str) -> NDArray[np.float64]:
    return np.array([getattr(g, trait) for g in GROUPS], dtype=np.float64)[group]


def _lean(rng: np.random.Generator, group: NDArray, frequent: list[int], others: list[int]) -> NDArray[np.int64]:
    """An attribute that says a little about the group: one distribution for the frequent buyers, one for the rest."""
    weights = np.where((group <= 1)[:, None], np.array(frequent, dtype=float), np.array(others, dtype=float))
    return draw_rows(rng, weights)


def _staples(rng: np.random.Generator, n: int) -> NDArray[np.int64]:
    return _CONSUMABLE[rng.integers(0, len(_CONSUMABLE), n)] * PER_CATEGORY + rng.integers(0, PER_CATEGORY // 2, n)


def _channels(rng: np.random.Generator, device: NDArray[np.int64]) -> NDArray[np.float64]:
    app = np.where(device == DEVICES.index("desktop"), 0.1, 0.45)
    store = rng.beta(0.5, 3.0, len(device))
    return np.column_stack([(1 - app) * (1 - store), app * (1 - store), store])
