"""Order lines of a table as a basket file."""

from __future__ import annotations

import pandas as pd

from benchmarks.order_baskets import order_baskets

COLUMNS = ["who", "order", "at", "what"]


def test_lines_become_baskets_in_their_order() -> None:
    lines = pd.DataFrame(
        [
            ("a", 2, "2024-02-01", "tea", "drinks", 1),
            ("a", 1, "2024-01-01", "tea", "drinks", 1),
            ("a", 1, "2024-01-01", "jam", "spreads", 1),
            ("a", 3, "2024-03-01", "milk", "drinks", -1),
            ("b", 4, "2024-01-05", "tea", "drinks", 1),
        ],
        columns=[*COLUMNS, "kind", "quantity"],
    )
    assert order_baskets(lines, COLUMNS, (2, 9), 1) == {"a": [["jam", "tea"], ["tea"]]}
    assert order_baskets(lines, COLUMNS, (1, 9), 2) == {"a": [["tea"], ["tea"]], "b": [["tea"]]}
    joined = order_baskets(lines, ["who", "order", "at", "kind+what"], (1, 1), 1)
    assert joined == {"b": [["drinks|tea"]]}
