"""A training in small, of which nothing is registered: it compiles what trainings need."""

from __future__ import annotations

from pathlib import Path

from histories.settings import Settings
from histories.store import Store
from training.examine import examine

HORIZON_DAYS = 90


def rehearse(store: Store, settings: Settings, folder: Path) -> None:
    """Judge the recipe on the store's last horizon; the four models of that are saved in the folder."""
    history, span = store.history(purpose="training"), store.span()
    assert span is not None
    fitted = examine(history, span[1], HORIZON_DAYS, settings, lambda stage: None).fitted
    assert fitted is not None
    fitted.save(folder, {"horizon_days": HORIZON_DAYS, "zone": store.zone})
