"""What larger shops need, from the figures in benchmarks/scale.toml: the tables of docs/scale.md.

python -m benchmarks.scale [--write]
"""

from __future__ import annotations

import argparse
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs" / "scale.md"
SIZES: Final = (10_000_000, 100_000_000, 1_000_000_000)
_MARKS: Final = ("<!-- scale: made by `python -m benchmarks.scale --write` -->", "<!-- end of scale -->")
Figures = Mapping[str, Any]


@dataclass(frozen=True)
class Need:
    """What a shop of some size needs for a night's scoring with ten products each, and around it."""

    customers: int
    lines: int
    snapshot_gb: float
    score_core_hours: float
    recommend_core_hours: float
    executors: int  # that end the scoring with products within the night
    memory_gb: int  # of all executors
    hours: float  # with so many
    night_dollars: float
    storage_dollars: float  # a month
    first_import_hours: float  # of all lines, one process
    news_import_hours: float  # of a day's lines
    export_hours: float  # one process

    @property
    def bottleneck(self) -> str:
        """Of what runs in one process every night, the slowest."""
        slowest = max(("export", self.export_hours), ("import of the day", self.news_import_hours), key=lambda x: x[1])
        return f"{slowest[0]}, {slowest[1]:.1f} h"


def figures() -> dict[str, Any]:
    return tomllib.loads((ROOT / "benchmarks" / "scale.toml").read_text(encoding="utf-8"))


def need(customers: int, given: Figures) -> Need:
    shop, assumed = given["shop"], given["assumed"]
    measured = {name: each["value"] for name, each in given["measured"].items()}
    lines = customers * shop["lines_per_customer"]
    news = customers * shop["ordering_per_day"] * shop["lines_per_order"]
    score, recommend = (
        customers * measured[name] * measured["spark_factor"] / 3.6e9 for name in ("score", "recommend")
    )
    an_executor = assumed["executor_cores"] * assumed["busy"]  # core-hours per hour
    executors = max(1, math.ceil(recommend / an_executor / shop["night_hours"]))
    hours = recommend / an_executor / executors
    snapshot_gb = customers * measured["snapshot"] / 1e9
    return Need(
        customers=customers,
        lines=lines,
        snapshot_gb=snapshot_gb,
        score_core_hours=score,
        recommend_core_hours=recommend,
        executors=executors,
        memory_gb=executors * assumed["executor_gb"],
        hours=hours,
        night_dollars=hours * executors * assumed["executor_cores"] * assumed["core_hour"],
        storage_dollars=snapshot_gb * assumed["kept_snapshots"] * assumed["gb_month"],
        first_import_hours=lines * measured["import"] / 3.6e9,
        news_import_hours=news * measured["import"] / 3.6e9,
        export_hours=customers * measured["export"] / 3.6e9,
    )


def tables(given: Figures) -> str:
    needs = [need(size, given) for size in SIZES]
    rows = [
        ("order lines", [f"{each.lines / 1e9:,.1f} bn" for each in needs]),
        ("snapshot", [f"{each.snapshot_gb:,.0f} GB" for each in needs]),
        ("churn, value, segment: core-hours", [f"{each.score_core_hours:,.1f}" for each in needs]),
        ("with ten products: core-hours", [f"{each.recommend_core_hours:,.1f}" for each in needs]),
        (f"executors that do it in {given['shop']['night_hours']:g} h", [f"{each.executors:,}" for each in needs]),
        ("their memory", [f"{each.memory_gb:,} GB" for each in needs]),
        ("hours with so many", [f"{each.hours:.1f}" for each in needs]),
        ("cost of a night", [f"${each.night_dollars:,.2f}" for each in needs]),
        ("snapshots kept, a month", [f"${each.storage_dollars:,.2f}" for each in needs]),
        ("first import, one process", [f"{each.first_import_hours:,.1f} h" for each in needs]),
        ("import of a day's lines, one process", [f"{each.news_import_hours:,.2f} h" for each in needs]),
        ("export, one process", [f"{each.export_hours:,.1f} h" for each in needs]),
        ("slowest single process of a night", [each.bottleneck for each in needs]),
    ]
    head = ("", *(f"{size // 1_000_000:,} million" for size in SIZES))
    return "\n\n".join([_table(head, [(name, *cells) for name, cells in rows]), _inputs(given)])


def _inputs(given: Figures) -> str:
    measured = [(name.replace("_", " "), f"{each['value']:g} {each['unit']}", each["command"])
                for name, each in given["measured"].items()]  # fmt: skip
    assumed = [(name.replace("_", " "), f"{value:g}", "assumed")
               for part in ("shop", "assumed") for name, value in given[part].items()]  # fmt: skip
    return _table(("input", "value", "from"), [*measured, *assumed])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def page(text: str, given: Figures) -> str:
    """docs/scale.md with its tables anew."""
    head, _, rest = text.partition(_MARKS[0])
    _, _, tail = rest.partition(_MARKS[1])
    return f"{head}{_MARKS[0]}\n\n{tables(given)}\n\n{_MARKS[1]}{tail}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="into docs/scale.md")
    if parser.parse_args().write:
        PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), figures()), encoding="utf-8")
    else:
        print(tables(figures()))


if __name__ == "__main__":
    main()
