"""The benchmark's summary over several cut-offs, and its metrics of intervals."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.customer_value import biases, summary
from benchmarks.metrics_value import Forecast, Outcome, judge


def test_the_summary_of_cut_offs_by_hand() -> None:
    rows = [{"regulars": 0.1, "peer": -0.3}, {"regulars": -0.2, "peer": None}]
    results = [
        {
            "cutoff": f"2020-0{month}-01",
            "rows": [{"method": name, "spend_bias": bias} for name, bias in row.items() if bias is not None],
        }
        for month, row in enumerate(rows, start=1)
    ]
    assert biases(results) == {"regulars": [0.1, -0.2]}  # a method without a forecast at some cut-off is left out
    assert "regulars" in summary(results)
    assert "-0.050" in summary(results)
    assert "+0.150" in summary(results)


def test_coverage_by_tenths() -> None:
    spend = np.arange(100.0)
    low, high = np.zeros(100), np.where(spend < 90, 1000.0, 0.0)
    scores = judge(Outcome(np.ones(100), spend), Forecast(spend=spend, median_spend=spend, low=low, high=high))
    assert scores["interval_coverage"] == pytest.approx(0.9)
    assert [scores[f"interval_coverage_{tenth}"] for tenth in (1, 9, 10)] == [1.0, 1.0, 0.0]
