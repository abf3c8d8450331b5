"""The shop that the serving benchmark asks about: simulated, imported, with a release and an API key."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from histories.importing.importer import import_files
from histories.settings import Settings
from histories.storage.store import Store

SEED: Final = 1
TRAINED_ON: Final = 20_000  # customers, unless said otherwise
_FILES: Final = ("orders", "events", "customers", "products")


@dataclass(frozen=True)
class Shop:
    """`settings` names its store and registry; `key` may predict and ingest."""

    folder: Path
    settings: Settings
    release: str
    key: str

    @property
    def orders(self) -> Path:
        """The simulated order lines, as Parquet."""
        return self.folder / "shop" / "orders.parquet"

    def environment(self) -> dict[str, str]:
        from service.start import environment

        return environment(self.settings)


def make_shop(folder: Path, customers: int, trained_on: int) -> Shop:
    """In `folder`, unless it is there from an earlier run.

    The release is trained on the first `trained_on` customers: another twenty thousand change neither the size of
    trees nor the number of candidates, which is what a request's time depends on.
    """
    urls = {"store": f"sqlite:///{folder}/regulars.db", "tracking_uri": f"sqlite:///{folder}/mlruns/mlflow.db"}
    settings = Settings.model_validate(urls)
    note = folder / "shop.json"
    if not note.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _fill(settings, folder / "shop", customers)
        sample = settings.model_copy(update={"store": f"sqlite:///{folder}/sample.db"})
        _fill(sample, folder / "sample", min(trained_on, customers))
        note.write_text(json.dumps({"release": _train(sample), "key": _key(settings), "customers": customers}))
    known = json.loads(note.read_text())
    if known["customers"] != customers:
        raise SystemExit(f"{folder} holds a shop of {known['customers']} customers; name another folder")
    return Shop(folder, settings, known["release"], known["key"])


def _fill(settings: Settings, files: Path, customers: int) -> None:
    from datetime import UTC, datetime, timedelta

    from simulator.shop import simulate

    yesterday = datetime.now(UTC).date() - timedelta(days=1)  # so that the live clock sees no gap
    shop = simulate(customers, SEED, files, ends=yesterday)
    with closing(Store.open(settings.store, settings)) as store:
        import_files(store, settings, **{name: str(shop.file(name)) for name in _FILES})  # type: ignore[arg-type]


def _train(settings: Settings) -> str:
    from training.promote import promote
    from training.train import train

    Path(settings.tracking_uri.removeprefix("sqlite:///")).parent.mkdir(exist_ok=True)
    with closing(Store.open(settings.store, settings)) as store:
        made = train(store, settings)
    promote(settings, made.id, force=True)
    return made.id


def _key(settings: Settings) -> str:
    from service import keys

    with closing(Store.open(settings.store, settings)) as store:
        return keys.add(store, ("predict", "ingest"), "benchmark")
