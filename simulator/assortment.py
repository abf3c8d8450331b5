"""What the made-up shop sells: categories with seasons, products with popularity, complements and promotions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Category:
    name: str
    price: float  # typical price, shop currency
    consumable: bool  # bought again when used up
    peak_day: int  # day of the year around which it sells best
    tilt: float  # how strongly it follows its season, 0..1
    returned: float  # share of lines sent back


CATEGORIES = (
    Category("coffee", 9.0, True, 330, 0.1, 0.01),
    Category("tea", 6.0, True, 350, 0.3, 0.01),
    Category("pet food", 18.0, True, 180, 0.0, 0.01),
    Category("cosmetics", 14.0, True, 345, 0.2, 0.03),
    Category("vitamins", 12.0, True, 20, 0.3, 0.02),
    Category("stationery", 4.0, False, 245, 0.4, 0.01),
    Category("kitchen", 22.0, False, 340, 0.3, 0.04),
    Category("garden", 19.0, False, 125, 0.8, 0.04),
    Category("toys", 16.0, False, 345, 0.6, 0.04),
    Category("clothing", 34.0, False, 300, 0.2, 0.14),
    Category("home decor", 13.0, False, 335, 0.3, 0.05),
    Category("gifts", 8.0, False, 348, 0.8, 0.03),
)
PER_CATEGORY = 50
WEEKS = 400  # after which the promotions start again
_POPULARITY = 1.0 / np.arange(2, PER_CATEGORY + 2) ** 0.9
_PROMOTED, _DEPTHS = 0.10, (0.10, 0.20, 0.30)


@dataclass(frozen=True, slots=True)
class Assortment:
    """Product p belongs to category p // PER_CATEGORY, and sells the better the lower it stands in it."""

    price: NDArray[np.float64]  # (products,) list price
    complement: NDArray[np.int64]  # (products,) what is often bought with it
    launch: NDArray[np.float64]  # (products,) day since 1970-01-01 from which it is sold
    in_stock: NDArray[np.bool_]
    promotion: NDArray[np.float64]  # (categories, WEEKS) share of the price taken off, mostly 0

    def __len__(self) -> int:
        return len(self.price)


def stock_the_shop(rng: np.random.Generator, opened: int, closes: int) -> Assortment:
    """Most products are there from day `opened` on, some come later (days since 1970-01-01)."""
    products = PER_CATEGORY * len(CATEGORIES)
    typical = np.repeat([category.price for category in CATEGORIES], PER_CATEGORY)
    promoted = rng.random((len(CATEGORIES), WEEKS)) < _PROMOTED
    launched_late = rng.random(products) < 0.08
    return Assortment(
        price=np.maximum(0.5, (typical * rng.lognormal(0.0, 0.5, products)).round(1) - 0.01),
        complement=(np.arange(products) + rng.integers(1, products, products)) % products,
        launch=np.where(launched_late, rng.uniform(opened, closes, products), float(opened)),
        in_stock=rng.random(products) >= 0.04,
        promotion=np.where(promoted, rng.choice(_DEPTHS, promoted.shape), 0.0),
    )


def product_ids(products: int) -> list[str]:
    return [f"SIM-{product:04d}" for product in range(products)]


def product_names(products: int) -> list[str]:
    return [
        f"Simulated {CATEGORIES[product // PER_CATEGORY].name} {product % PER_CATEGORY + 1:02d}"
        for product in range(products)
    ]


def pick_in_category(rng: np.random.Generator, category: NDArray[np.int64]) -> NDArray[np.int64]:
    """A product of each category, the popular ones more often."""
    cumulative = np.cumsum(_POPULARITY / _POPULARITY.sum())
    place = np.searchsorted(cumulative, rng.random(category.shape), side="right")
    return category * PER_CATEGORY + np.minimum(place, PER_CATEGORY - 1)


def category_season(day: NDArray[np.float64]) -> NDArray[np.float64]:
    """How well each category sells on each day (since 1970-01-01), (days, categories), 1 on average."""
    peak = np.array([category.peak_day for category in CATEGORIES])
    tilt = np.array([category.tilt for category in CATEGORIES])
    return 1.0 + tilt * np.cos(2 * np.pi * (day[:, None] - peak) / 365.25)
