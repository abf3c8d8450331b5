"""What a worker opens before it answers."""

from __future__ import annotations

import json
import logging
import sys
from typing import Final

from histories.settings import Settings
from histories.storage.store import Store
from service import keys
from service.backend import Backend
from service.metrics import Metrics
from service.releases import Releases
from service.shelf import Shelf
from service.trial import trial

_log = logging.getLogger("regulars")
# After so long a thread that computes (a release being loaded) lets the requests have their turn; 5 ms by default.
_SWITCH_SECONDS: Final = 0.0005
_READ_SHARE: Final = 0.5  # of the deadline, that a prediction waits for a store that is locked or silent
_WRITE_SECONDS: Final = 2.0


def open_backend(settings: Settings, *, loopback: bool) -> Backend:
    """A worker's backend, following the registry. Raises BadInput when the store cannot be opened."""
    store = Store.open(settings.store, settings)
    sys.setswitchinterval(_SWITCH_SECONDS)
    read_seconds = _READ_SHARE * settings.deadline_ms / 1000
    store.be_quick(read_seconds=read_seconds, write_seconds=_WRITE_SECONDS)
    budget = settings.answer_budget_ms / 1000
    releases = Releases(Shelf.of(settings), Metrics(), trial(store, budget), budget)
    backend = Backend(settings, store, releases, loopback=loopback)
    if loopback and not keys.every(store):
        _log.warning(json.dumps({"event": "no_keys", "note": "open to this host: make a key with regulars keys add"}))
    backend.releases.start()
    return backend
