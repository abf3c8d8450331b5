"""Shops with known habits that nobody tuned for, as order files: python -m benchmarks.made_up_shops --out DIR

Prints the command that measures each. Every shop has a seed of its own; the files are the same on every run.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

Order = tuple[int, float, float]  # customer, days since the shop opened, amount
_SIZE = 2500


def lasting(
    rng: np.random.Generator, n: int, days: float, *, r: float = 0.8, alpha: float = 40, life: float = 250,
    price: tuple[float, float] = (3.2, 0.6), sd: float = 0.5, season: float = 0, growth: float = 0, cohort: float = 0,
) -> Iterator[Order]:  # fmt: skip
    """Pareto/NBD: Poisson orders at rates of their own until customers are lost."""
    for customer in range(n):
        if growth:
            born = days + np.log(1 - rng.uniform(0, 1) * (1 - np.exp(-growth * days))) / growth
        else:
            born = rng.uniform(0, cohort or days)
        rate, death = rng.gamma(r, 1 / alpha), rng.gamma(1.2, 1 / (1.2 * life))
        end, worth = min(days, born + rng.exponential(1 / max(death, 1e-9))), rng.lognormal(*price)
        day = born
        yield customer, day, worth * rng.lognormal(0, sd)
        while (day := day + rng.exponential(1 / (rate * (1 + season)))) < end:
            pace = (1 + season * np.cos(2 * np.pi * (day - 340) / 365.25)) / (1 + season)
            if season and rng.random() > pace:
                continue
            yield customer, day, worth * rng.lognormal(0, sd)


def grocery(rng: np.random.Generator) -> Iterator[Order]:
    """Regular buyers: Erlang gaps around two weeks."""
    for customer in range(_SIZE):
        day, gap, k = rng.uniform(0, 540), rng.lognormal(np.log(14), 0.5), rng.choice([2, 4, 8])
        end, worth = min(540, day + rng.exponential(260)), rng.lognormal(3.6, 0.5)
        while day < end:
            yield customer, day, worth * rng.lognormal(0, 0.35)
            day += 1 + rng.gamma(k, gap / k)


def donations(rng: np.random.Generator) -> Iterator[Order]:
    """Most give once or every year around the same date, some twice a year or monthly."""
    days = 365 * 6
    for customer in range(_SIZE):
        born = rng.choice(6) * 365 + (330 + rng.normal(0, 35)) if rng.random() < 0.7 else rng.uniform(0, days)
        kind, worth, first = rng.random(), rng.lognormal(3.5, 0.9), max(born, 0)
        if first >= days:
            continue
        if kind < 0.45:
            yield customer, first, worth
            continue
        period = 365 if kind < 0.85 else (182 if kind < 0.93 else 30.4)
        number = 0
        while (day := first + number * period + rng.normal(0, period * 0.08)) < days:
            if (day >= 0 and rng.random() < 0.9) or number == 0:
                yield customer, max(day, 0), worth * rng.choice([1, 1, 1, 1.5, 2])
            if rng.random() > (0.72 if period > 100 else 0.95):
                break
            number += 1


def subscription(rng: np.random.Generator) -> Iterator[Order]:
    """Every month until cancelled, sometimes with a month left out."""
    for customer in range(_SIZE):
        day, worth, leaves = rng.uniform(0, 730), rng.choice([9, 19, 39]), rng.beta(1, 8)
        while day < 730:
            yield customer, day, worth
            if rng.random() < leaves:
                break
            day += 30.4 + rng.normal(0, 1) + (rng.random() < 0.05) * 30


def heavy(rng: np.random.Generator) -> Iterator[Order]:
    """A wholesaler with most of the revenue, and five other large buyers."""
    yield from lasting(rng, _SIZE, 600, life=400, price=(4, 1.0), sd=0.8)
    for day in range(5, 600, 9):
        yield 99_999, day, 4e4 * rng.lognormal(0, 0.5)
    for customer in range(5):
        for day in np.cumsum(rng.exponential(25, 24)):
            if day < 600:
                yield 90_000 + customer, day, 3000 * (1 + rng.pareto(1.3))


def changing(rng: np.random.Generator) -> Iterator[Order]:
    """Nobody is lost for good: rates walk up and down."""
    for customer in range(_SIZE):
        born, log_rate = rng.uniform(0, 700), np.log(rng.gamma(0.8, 1 / 35) + 1e-4)
        worth = rng.lognormal(3, 0.7)
        yield customer, born, worth * rng.lognormal(0, 0.5)
        for day in range(int(born) + 1, 700):
            log_rate += rng.normal(-0.003, 0.09)
            if rng.random() < 1 - np.exp(-min(np.exp(log_rate), 0.5)):
                yield customer, day + rng.random(), worth * rng.lognormal(0, 0.5)


def clumpy(rng: np.random.Generator) -> Iterator[Order]:
    """Projects of a few orders, with long silences between."""
    for customer in range(_SIZE):
        day, worth = rng.uniform(0, 700), rng.lognormal(3, 0.6)
        silence, end = rng.lognormal(np.log(120), 0.6), min(700, day + rng.exponential(500))
        while day < end:
            for _ in range(1 + rng.geometric(0.45)):
                if day < end:
                    yield customer, day, worth * rng.lognormal(0, 0.6)
                day += rng.exponential(6)
            day += rng.exponential(silence)


Make = Callable[[np.random.Generator], Iterator[Order]]
SHOPS: dict[str, tuple[Make, str, str, int]] = {  # orders, opened, cut-off, horizon
    "grocery": (grocery, "2023-01-01", "2024-03-31", 60),
    "donations": (donations, "2017-01-01", "2021-12-31", 365),
    "subscription": (subscription, "2022-06-01", "2024-02-28", 60),
    "growing": (lambda rng: lasting(rng, 4000, 600, growth=0.0058, life=300), "2022-03-01", "2023-07-01", 90),
    "heavy": (heavy, "2022-03-01", "2023-06-30", 90),
    "small": (lambda rng: lasting(rng, 420, 270, alpha=30, life=300), "2023-01-01", "2023-06-30", 90),
    "cohort": (lambda rng: lasting(rng, 5000, 450, cohort=80, alpha=25, life=150), "2020-01-01", "2020-09-01", 180),
    "seasonal": (lambda rng: lasting(rng, 3500, 1100, season=0.7, life=500), "2020-12-01", "2023-08-31", 90),
    "changing": (changing, "2022-01-01", "2023-08-31", 90),
    "clumpy": (clumpy, "2022-01-01", "2023-08-31", 90),
}


def orders(name: str) -> pd.DataFrame:
    make, opened, _, _ = SHOPS[name]
    made = make(np.random.default_rng(sum(map(ord, name))))
    table = pd.DataFrame(list(made), columns=["customer_id", "day", "amount"])
    table["timestamp"] = pd.Timestamp(opened) + pd.to_timedelta(table["day"], unit="D")
    return table.sort_values("timestamp")[["customer_id", "timestamp", "amount"]]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.made_up_shops", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    folder = parser.parse_args(arguments).out
    folder.mkdir(parents=True, exist_ok=True)
    for name, (_, _, cutoff, horizon) in SHOPS.items():
        path = folder / f"{name}.csv"
        orders(name).to_csv(path, index=False)
        print(f"python -m benchmarks.customer_value --orders {path} --cutoff {cutoff} --horizon-days {horizon}")


if __name__ == "__main__":
    main()
