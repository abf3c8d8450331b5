"""A training in small, of which nothing is registered: it compiles what trainings need."""

from __future__ import annotations

from pathlib import Path

from histories.settings import Settings
from histories.storage.store import Store
from models.next_purchase import NextPurchase
from training.examine import examine

HORIZON_DAYS = 90


def rehearse(store: Store, settings: Settings, folder: Path) -> None:
    """Judge the recipe on the store's last horizon; the four models of that are saved in the folder."""
    history, span = store.history(purpose="training"), store.span()
    assert span is not None
    # First what takes longest to compile: a training that runs beside comes to it last.
    NextPurchase.fit(history, span[1]).recommend(history, span[1])
    fitted = examine(history, span[1], HORIZON_DAYS, settings, lambda stage: None).fitted
    assert fitted is not None
    fitted.save(folder, {"horizon_days": HORIZON_DAYS, "zone": store.zone})
