"""Made-up basket files of other characters than the real ones, to see that nothing breaks, slows down or falls behind.

    python -m benchmarks.made_up_baskets --users N --items N --orders MEAN --size MEAN --repeat SHARE --out FILE

`orders` and `size` are means per user and per order; `repeat` is the share of an order drawn from what the user bought
before. It shows robustness, not skill: nobody shops like this.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

GROUPS = 40  # of users with a taste in common
TOGETHER = 0.15  # how often a product brings its partner


def made_up_baskets(users: int, items: int, orders: float, size: float, repeat: float, seed: int = 0) -> dict:
    """{user: [[item, ...], ...]}: products fall off like Zipf, each group of users in an order of its own."""
    rng = np.random.default_rng(seed)
    likes = [rng.permutation(items) for _ in range(GROUPS)]
    return {
        str(user): _user(rng, likes[rng.integers(GROUPS)], 2 + rng.geometric(1 / max(orders - 2, 1)), size, repeat)
        for user in range(users)
    }


def _user(rng: np.random.Generator, liked: np.ndarray, orders: int, size: float, repeat: float) -> list[list[int]]:
    baskets: list[list[int]] = []
    past: list[int] = []
    for _ in range(orders):
        wanted = 1 + int(rng.poisson(size - 1))
        again = int(rng.binomial(wanted, repeat)) if past else 0
        new = liked[(len(liked) * rng.random(wanted - again) ** 4).astype(np.int64)].tolist()
        old = [past[int(at)] for at in len(past) * (1 - rng.random(again) ** 2)]
        partners = [(item * 7 + 3) % len(liked) for item in new + old if rng.random() < TOGETHER]
        baskets.append(sorted({*new, *old, *partners}))
        past += baskets[-1]
    return baskets


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.made_up_baskets")
    for name, kind in (("users", int), ("items", int), ("orders", float), ("size", float), ("repeat", float)):
        parser.add_argument(f"--{name}", type=kind, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    options = vars(parser.parse_args())
    out = options.pop("out")
    out.write_text(json.dumps(made_up_baskets(**options)))


if __name__ == "__main__":
    main()
