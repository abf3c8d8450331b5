"""docs/scale.md is what its inputs come to."""

from __future__ import annotations

import copy

import pytest

from benchmarks.scale import PAGE, figures, need, page


def test_the_page_is_that_of_the_inputs() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == page(text, figures()), "python -m benchmarks.scale --write"


def test_by_hand() -> None:
    """10 million customers at 360 us: 1 core-hour; four cores, half of them busy, do 2 in an hour."""
    given = copy.deepcopy(figures())
    for name, value in {
        "recommend": 360.0,
        "score": 36.0,
        "snapshot": 1000.0,
        "import": 7.2,
        "export": 36.0,
        "spark_factor": 1.0,
    }.items():
        given["measured"][name]["value"] = value
    given["shop"] |= {"lines_per_customer": 50, "ordering_per_day": 0.1, "lines_per_order": 5, "night_hours": 0.2}
    given["assumed"] |= {
        "executor_cores": 4,
        "executor_gb": 16,
        "busy": 0.5,
        "core_hour": 0.1,
        "gb_month": 0.02,
    }
    given["assumed"]["kept_snapshots"] = 3
    found = need(10_000_000, given)
    assert (found.recommend_core_hours, found.score_core_hours) == (1.0, pytest.approx(0.1))
    assert (found.executors, found.memory_gb) == (3, 48)  # 1 / (2 x 0.2) = 2.5
    assert found.hours == pytest.approx(1 / 6)
    assert found.night_dollars == pytest.approx(1 / 6 * 12 * 0.1)
    assert (found.snapshot_gb, found.storage_dollars) == (10.0, pytest.approx(0.6))
    assert (found.first_import_hours, found.news_import_hours) == (pytest.approx(1.0), pytest.approx(0.01))
    assert found.bottleneck == "export, 0.1 h"


def test_cost_grows_with_the_shop() -> None:
    small, large = need(10_000_000, figures()), need(1_000_000_000, figures())
    assert large.recommend_core_hours == pytest.approx(100 * small.recommend_core_hours)
    assert large.executors > small.executors
    assert large.hours <= figures()["shop"]["night_hours"]


def test_every_measured_figure_names_its_command() -> None:
    for each in figures()["measured"].values():
        assert each["command"]
        assert each["value"] > 0
