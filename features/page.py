"""docs/features.md from the blocks: `python -m features.page [PATH]`."""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path

from features.customers import FEATURES

_HEAD = """# Features

The {count} columns of a customer's row, in order. This page is written by `python -m features.page` from
`features/blocks`, where each column stands beside the compiled code that fills it.

Every number is as of an inclusive instant `as_of`: only what had occurred by then counts and, outside live answers,
what had been recorded by then. A purchase day is a shop-local day with at least one purchase line that is not void;
"order" means such a day. Spend is gross: returns do not undo it. "The last N days" are the shop-local days after the
day of as_of - N, up to the day of as_of itself. Where a number has no meaning (no second order, no channel) it is nan;
counts are 0. Shares and ratios are nan where they would divide by 0. Attributes of customers follow as `attr_<name>`
(features/attributes.py); numbers about products and about a customer and a product are in features/items.py.
"""


def page() -> str:
    parts = [_HEAD.format(count=len(FEATURES))]
    for family, features in groupby(FEATURES, key=lambda feature: feature.family):
        rows = "".join(f"| `{feature.name}` | {feature.unit} | {feature.meaning} |\n" for feature in features)
        parts.append(f"\n## {family.capitalize()}\n\n| column | unit | meaning |\n|---|---|---|\n{rows}")
    return "".join(parts)


if __name__ == "__main__":
    Path(sys.argv[1] if len(sys.argv) > 1 else "docs/features.md").write_text(page(), encoding="utf-8")
