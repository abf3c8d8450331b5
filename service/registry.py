"""What MLflow's registry says, brought to the shelf: the one module of service that knows MLflow.

Runs as a process of its own beside the workers (`python -m service.registry`), one per shelf: importing MLflow costs
seconds and 200 MB, and a registry that is slow or down must not be felt by a request.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from histories.settings import Settings
from service.shelf import MODELS, Shelf, read_json

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

_log = logging.getLogger("regulars")


def bring_champion(settings: Settings, shelf: Shelf) -> str | None:
    """Copy the champion release to the shelf unless it is there; its id, or None while there is none.

    Raises whatever MLflow raises when the registry cannot be asked.
    """
    versions = _champions(settings)
    releases = {version.tags.get("release") for version in versions.values()}
    if set(versions) != set(MODELS) or len(releases) != 1 or None in releases:
        shelf.say(None, "no release has been promoted" if not versions else "the four champions are not of one release")
        return None
    release = str(releases.pop())
    if not shelf.holds(release):
        _bring(settings, shelf, release, versions)
    shelf.say(release)
    return release


def _champions(settings: Settings) -> dict[str, ModelVersion]:
    """The version of each model that carries the alias champion."""
    if _missing_database(settings.tracking_uri):
        return {}
    from mlflow.exceptions import MlflowException

    found = {}
    for name in MODELS:
        try:
            found[name] = _client(settings).get_model_version_by_alias(name, "champion")
        except MlflowException as error:
            if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise
    return found


def _missing_database(uri: str) -> bool:
    """MLflow would make a new database at a wrong path, and migrate it for seconds."""
    return uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).is_file()


def _client(settings: Settings) -> Any:
    """Sets the process's registry as well: MLflow resolves models:/ there, whatever it is passed."""
    import mlflow
    from mlflow import MlflowClient

    mlflow.set_tracking_uri(settings.tracking_uri)
    mlflow.set_registry_uri(settings.tracking_uri)
    return MlflowClient(settings.tracking_uri, settings.tracking_uri)


def _bring(settings: Settings, shelf: Shelf, release: str, versions: dict[str, ModelVersion]) -> None:
    shelf.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=shelf.folder, prefix=".coming-") as coming:
        built = Path(coming) / release
        built.mkdir()
        for name, version in versions.items():
            _download(settings, version, Path(coming) / f"{name}.mlflow").rename(built / name)
        card = {
            "release": release,
            "versions": {name: str(version.version) for name, version in versions.items()},
            "grades": _grades(settings, versions["churn"]),
        }
        (built / "release.json").write_text(json.dumps(card), encoding="utf-8")
        shelf.put(built, release)
    shelf.prune()


def _download(settings: Settings, version: ModelVersion, into: Path) -> Path:
    """The folder of plain files inside a version's MLflow model."""
    import mlflow

    into.mkdir()
    uri = f"models:/{version.name}/{version.version}"
    model = mlflow.artifacts.download_artifacts(
        artifact_uri=uri, dst_path=str(into), tracking_uri=settings.tracking_uri, registry_uri=settings.tracking_uri
    )
    return Path(model) / "data" / version.name


def _grades(settings: Settings, version: ModelVersion) -> dict[str, Any]:
    """The release's table of metrics beside baselines, as its run kept it; empty when it kept none."""
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        with tempfile.TemporaryDirectory() as folder:
            run = f"runs:/{version.run_id}/scores.json"
            return read_json(
                Path(
                    mlflow.artifacts.download_artifacts(
                        artifact_uri=run, dst_path=folder, tracking_uri=settings.tracking_uri
                    )
                )
            )
    except (MlflowException, OSError, ValueError):
        return {}


def watch(settings: Settings, shelf: Shelf, every: float) -> None:
    """Keep the shelf up to date until the process ends. One at a time per shelf: others wait their turn."""
    shelf.folder.mkdir(parents=True, exist_ok=True)
    with _turn(shelf.folder / ".watch"):
        reached = True
        while True:
            try:
                bring_champion(settings, shelf)
                reached = True
            except Exception as error:  # noqa: BLE001 - whatever the registry does, the last release stays served
                shelf.unreachable()
                if reached:
                    _log.warning(json.dumps({"event": "registry_unreachable", "error": type(error).__name__}))
                reached = False
            time.sleep(every)


@contextmanager
def _turn(file: Path) -> Iterator[None]:
    with file.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _end_with_parent() -> None:
    """Standard input is a pipe that the worker holds: at its end, the worker is gone, however it went."""
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    """Settings come from the environment, as for the workers."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    threading.Thread(target=_end_with_parent, daemon=True).start()
    settings = Settings.model_validate({})
    watch(settings, Shelf.of(settings), settings.registry_poll_seconds)


if __name__ == "__main__":
    main()
