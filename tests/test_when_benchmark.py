"""benchmarks.when on a small made-up file: the table, the peers, honest errors."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.when import Forecast, judge, main
from tests.odd_shops import usual


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    path = tmp_path / "orders.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["customer_id", "timestamp", "amount"])
        writer.writerows([row["customer_id"], row["occurred_at"], row["unit_price"]] for row in usual(120))
    return path


def test_the_table_beside_the_peers(orders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "when.json"
    asked = ["--orders", str(orders), "--cutoff", "2025-04-30", "--horizon-days", "60", "--draws", "5"]
    assert main([*asked, "--json", str(out)]) == 0
    result = json.loads(out.read_text())
    rows = {row["method"]: row for row in result["rows"]}
    assert list(rows) == ["regulars", "mean_gap", "bg_nbd", "bg_nbd_median", "constant"]
    assert all(0 < row["concordance"] < 1 and row["date_error_days"] > 0 for row in rows.values())
    assert rows["constant"]["concordance"] == 0.5
    assert "gain_of_regulars" in rows["mean_gap"]
    assert "gain over bg_nbd (95 %)" in capsys.readouterr().out


def test_a_cutoff_with_too_little_after_it_is_refused(orders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--orders", str(orders), "--cutoff", "2025-06-20", "--horizon-days", "60"]) == 2
    assert "the file ends less than 60 days after 2025-06-20" in capsys.readouterr().err


def test_who_has_no_date_comes_last() -> None:
    days = np.array([5.0, 20.0, np.nan])
    scores = judge(days, Forecast(np.array([4.2, np.inf, np.inf])), 30)
    assert scores["concordance"] == pytest.approx((1 + 1 + 0.5) / 3)
    assert scores["no_date"] == pytest.approx(2 / 3)
    assert scores["date_error_days"] == np.inf
