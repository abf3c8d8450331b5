"""Starting the service: what is checked before, and the environment that its workers read."""

from __future__ import annotations

import json
import os
import socket
from ipaddress import ip_address
from typing import Final

from histories.errors import BadInput
from histories.settings import Settings
from histories.storage.store import Store
from histories.urls import absolute
from service import keys

_SECRETS: Final = ("erasure_key", "attributes_key")
_QUIET: Final = {
    "BENTOML_DO_NOT_TRACK": "True",
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "OMP_NUM_THREADS": "1",  # a request is answered by one thread; workers share the cores
}


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
