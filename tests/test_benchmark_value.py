"""The benchmark's summary over several cut-offs, and its metrics of intervals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.customer_value import biases, summary
from benchmarks.metrics_value import Forecast, Outcome, calibration_error, calibration_evidence, judge
from benchmarks.orders import read_history


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


def test_what_of_a_calibration_error_is_level_and_what_is_chance() -> None:
    rng = np.random.default_rng(5)
    raw = rng.normal(-0.5, 1.5, 5000)
    event = rng.random(5000) < 1 / (1 + np.exp(-raw))
    outcome = Outcome(np.where(event, 0.0, 1.0), None)
    p = 1 / (1 + np.exp(-raw - 0.5))  # too high by a constant
    found = calibration_evidence(outcome, Forecast(churn=p), draws=50)
    assert calibration_error(event, p) > 0.05
    assert found["churn_level"] == pytest.approx(calibration_error(event, p), abs=0.01)
    assert found["churn_ece_levelled"] < found["churn_ece_levelled_perfect_95"] < 0.03
    assert 0.005 < found["churn_ece_perfect"] < found["churn_ece_perfect_95"] < 0.03


@pytest.mark.parametrize(
    "written",
    [
        ["2024-01-31", "2024-02-01 00:00:00"],
        ["2024-01-31T00:00:00Z", "2024-02-01T01:00:00+01:00"],
        ["2024-01-31 01:00:00+01:00", "2024-02-01 02:00:00+02:00"],
        ["31/01/2024 00:00", "01/02/2024 00:00"],
        ["01/31/2024", "02/01/2024"],
        ["31.01.2024", "01.02.2024"],
        [20240131, 20240201],
        [1706659200, 1706745600],
        [1706659200000, 1706745600000],
    ],
)
def test_times_as_shops_write_them(written: list[object], tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    pd.DataFrame({"customer_id": ["a", "b"], "timestamp": written}).to_csv(path, index=False)
    days = read_history(path, None).lines.local_day
    assert days.tolist() == [19753, 19754]


def test_a_time_that_is_none_is_left_out_and_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "orders.csv"
    path.write_text("customer_id,timestamp\na,2024-01-31\nb,soon\n")
    assert read_history(path, None).customer_id.tolist() == ["a"]
    assert "1 lines left out: timestamp" in capsys.readouterr().err
