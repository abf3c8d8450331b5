"""Opening what a worker needs, and starting the workers."""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
from ipaddress import ip_address
from typing import Final

from histories.errors import BadInput
from histories.settings import Settings
from histories.store import Store
from histories.urls import absolute
from service import keys
from service.backend import Backend
from service.metrics import Metrics
from service.releases import Releases
from service.shelf import Shelf
from service.trial import trial

_log = logging.getLogger("regulars")
_SECRETS: Final = ("erasure_key", "attributes_key")
_QUIET: Final = {
    "BENTOML_DO_NOT_TRACK": "True",
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "OMP_NUM_THREADS": "1",  # a request is answered by one thread; workers share the cores
}

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


def serve(settings: Settings, *, host: str = "127.0.0.1", port: int = 3000, workers: int = 1) -> None:
    """Serve until stopped by a signal; SIGTERM lets requests under way end.

    Raises BadInput when the store cannot be opened, the port is taken, or anybody could call without a key.
    """
    host = "127.0.0.1" if host == "localhost" else host  # BentoML wants an address
    _check_address(host, port)
    store = Store.open(settings.store, settings)
    if not _is_loopback(host) and not keys.every(store):
        raise BadInput(f"{host} can be reached from elsewhere: make a key first, with regulars keys add")
    os.environ.update(_QUIET | environment(settings))
    from service.service import run

    run(host=host, port=port, workers=workers)


def environment(settings: Settings) -> dict[str, str]:
    """The environment from which a worker, in whatever folder, reads these same settings."""
    variables = {"REGULARS_STORE": absolute(settings.store), "MLFLOW_TRACKING_URI": absolute(settings.tracking_uri)}
    chosen = settings.model_fields_set - {"store", "tracking_uri", *_SECRETS}
    for name, value in settings.model_dump(mode="json", include=chosen).items():
        variables[f"REGULARS_{name.upper()}"] = value if isinstance(value, str) else json.dumps(value)
    secrets = {name: getattr(settings, name) for name in _SECRETS}
    return variables | {f"REGULARS_{name.upper()}": key.get_secret_value() for name, key in secrets.items() if key}


def _check_address(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as trying:
        trying.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trying.bind((host, port))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or "no such address or port"
            raise BadInput(f"cannot listen on {host} port {port}: {reason}") from None


def _is_loopback(host: str) -> bool:
    return ip_address(host).is_loopback
