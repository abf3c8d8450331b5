"""A leak of each kind is planted in a shop: training by the command line refuses it and leaves the registry alone."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import regulars
from features.attributes import AttributeEncoder
from histories.history import PURCHASE, History
from histories.storage.store import Store
from models import frame as frames
from tests.odd_shops import usual
from tests.test_odd_shops import HORIZON, NOW, opened, settings_in
from training import examine
from training.tracking import MODELS, Tracker

Made = tuple[np.ndarray, tuple[str, ...]]


@pytest.fixture
def shop(tmp_path: Path, tracking_uri: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to stand in: a shop in a store, and a registry without a release."""
    monkeypatch.chdir(tmp_path)
    opened(usual(220), tmp_path).close()
    for name, value in (("REGULARS_STORE", settings_in(tmp_path).store), ("REGULARS_HORIZON_DAYS", str(HORIZON))):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("REGULARS_TIMEZONE", "UTC")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri)
    return tmp_path


def refusal(shop: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What `regulars train` says on its way out with exit code 3; the registry is as it was."""
    assert regulars.run(["train"]) == regulars.REFUSED
    error = capsys.readouterr().err.strip().splitlines()[-1]
    client = Tracker(f"sqlite:///{shop}/mlruns/mlflow.db").client
    assert not [version for name in MODELS for version in client.search_model_versions(f"name = '{name}'")]
    return error


def plant(monkeypatch: pytest.MonkeyPatch, leak: Callable[[History, int], Made]) -> None:
    """Let training see rows with a leak."""

    def rows(history: History, as_of: int, encoder: AttributeEncoder, *, live: bool = False) -> Made:
        return leak(history, as_of)

    monkeypatch.setattr(frames, "rows", rows)
    monkeypatch.setattr(examine, "rows", rows)


def test_a_column_from_the_future(
    shop: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = frames.rows

    def leak(history: History, as_of: int) -> Made:
        X, names = honest(history, as_of, AttributeEncoder({}))
        owner = np.repeat(np.arange(len(history)), np.diff(history.lines.offsets))
        X[:, names.index("spend_total")] = np.bincount(owner, weights=history.lines.amount, minlength=len(history))
        return X, names

    plant(monkeypatch, leak)
    said = refusal(shop, capsys)
    assert re.match(r"regulars: feature spend_total looks past 2025-\d\d-\d\dT.* changed it for \d+ of \d+ cust", said)


def test_a_line_that_was_recorded_later(
    shop: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Features that cut by the day of the order alone know of lines that nobody had told the shop yet."""
    honest = frames.rows
    late = [
        row | {"order_id": f"late-{number}", "recorded_at": "2025-06-20T10:00:00", "unit_price": 77.0}
        for number, row in enumerate(usual(220)[:300:5])
    ]
    opened(late, shop).close()
    plant(monkeypatch, lambda history, as_of: honest(history, as_of, AttributeEncoder({}), live=True))
    said = refusal(shop, capsys)
    assert re.match(r"regulars: feature \w+ looks past 2025-\d\d-\d\dT.*: scrambling what came later changed it", said)


def test_an_attribute_that_copies_the_target(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exported today, `tier` is gold for those who ordered in the last horizon: the very thing to foresee."""
    random = np.random.default_rng(2)
    settings = settings_in(shop)
    with closing(Store.open(settings.store, settings)) as store:
        history = store.history()
        ordered = _ordered_since(history, int(history.lines.local_day.max()) - HORIZON)
        told = np.where(random.random(len(history)) < 0.97, ordered, ~ordered)
        tier = ["gold" if gold else "iron" for gold in told.tolist()]
        store.add(customers=pa.table({"customer_id": history.customer_id.tolist(), "tier": tier}), now=NOW)
    said = refusal(shop, capsys)
    assert re.match(
        r"regulars: attribute tier tells the outcome: \d+% of the gain at 2025-.*, AUC .*allowed_attr", said
    )


def _ordered_since(history: History, day: int) -> np.ndarray:
    lines = history.lines
    owner = np.repeat(np.arange(len(history)), np.diff(lines.offsets))
    return np.bincount(owner[(lines.kind == PURCHASE) & (lines.local_day > day)], minlength=len(history)) > 0
