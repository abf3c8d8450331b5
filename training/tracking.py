"""Runs, artifacts and the registry: the one module of training that knows MLflow.

One run is one release. What a run holds:

    params, tags      horizon_days, as_of, data digest and span, counts, git commit, release
    metrics           <model>/<metric> ours; baseline/<model>/<metric>/<method> what stands beside it
    features.json     names of the feature columns, in order
    scores.json       the whole table; verdict.json the promotion verdict; plots/*.png
    reference.json    histograms of features and scores of the customers at as_of, for drift
    outcomes/<day>/   what `regulars outcomes` found later, with metrics outcomes/... and drift/... of that day's step
    judge/<model>/    the models fitted without the last horizon: a later run judges its challenger beside them

Four registered models (MODELS), one version each per release, all tagged release=<YYYY-MM-DD-6hex>. A version's
artifact is an MLflow model whose plain files are in <artifact>/data/<model>/: what that model's save() wrote, plus
attributes.json (attribute encoder) and shop.json (release, zone, horizon_days, as_of, features). Nothing is pickled.

Versions appear only when everything else is done, then the alias @challenger; @champion is moved by promotion alone.
Whoever serves switches only when the four champions carry the same release, so a kill in between changes nothing.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import socket
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import mlflow
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from mlflow import MlflowClient
from mlflow.entities import Run as MlflowRun
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import infer_signature

from histories.errors import BadInput
from histories.urls import absolute

MODELS = ("churn", "customer_value", "next_purchase", "segments")
EXPERIMENT = "regulars"
CHAMPION, CHALLENGER = "champion", "challenger"
LOADER = "models.mlflow_loader"
_REQUIREMENTS = ("lightgbm", "numba", "numpy", "pandas", "pyarrow", "scipy", "scikit-learn")
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "1",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_UV_AUTO_DETECT": "false",  # or a uv.lock of the working folder is packed into every model
}
# Until a server has answered once. Later calls have MLflow's own patience, of minutes: whoever has trained for an hour
# waits for a server that is started anew, but a name that nobody answers to is told at once.
_IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}


@dataclass(frozen=True)
class Release:
    """A training run whose four models are registered."""

    id: str
    run_id: str
    versions: Mapping[str, str]  # registered model -> version
    tags: Mapping[str, str] = field(default_factory=dict)  # of the run

    @property
    def data_digest(self) -> str:
        return self.tags.get("data_digest", "")


class Tracker:
    """One tracking server or database, and its registry."""

    def __init__(self, uri: str) -> None:
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
        for noisy in ("mlflow", "alembic"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
        logging.getLogger("mlflow.utils.git_utils").setLevel(logging.ERROR)  # git may be missing
        self.uri = absolute(uri)
        self.folder = _folder(self.uri)
        if self.folder:
            self.folder.mkdir(parents=True, exist_ok=True)
        mlflow.set_tracking_uri(self.uri)
        mlflow.set_registry_uri(self.uri)
        self.client = MlflowClient(self.uri, self.uri)
        self._answered = False

    def experiment_id(self) -> str:
        """Creates the experiment where it is missing. Raises BadInput where no server answers: all work begins here."""
        try:
            with _defaults({} if self._answered else _IMPATIENT):
                found = self.client.get_experiment_by_name(EXPERIMENT)
        except MlflowException as error:
            if isinstance(error.__cause__ or error.__context__, OSError):
                raise BadInput(f"the MLflow server at {urlsplit(self.uri).hostname} does not answer") from None
            raise
        self._answered = True
        if found:
            return str(found.experiment_id)
        location = (self.folder / "artifacts").as_uri() if self.folder else None
        return str(self.client.create_experiment(EXPERIMENT, artifact_location=location))

    # -- runs ---------------------------------------------------------------------------------------------------

    @contextmanager
    def run(self, name: str) -> Iterator[Run]:
        """A run that ends FINISHED, FAILED or (by Ctrl-C) KILLED; what it registered so far goes with a failure."""
        self.sweep()
        tags = {"host": socket.gethostname(), "pid": str(os.getpid())}
        with mlflow.start_run(experiment_id=self.experiment_id(), run_name=name, tags=tags) as started:
            run = Run(self, started.info.run_id)
            try:
                yield run
            except BaseException:
                run.undo()
                raise

    def sweep(self) -> None:
        """Close the runs of this host whose process is gone, and remove what they had begun to register."""
        mine = f"attributes.status = 'RUNNING' and tags.host = '{socket.gethostname()}'"
        for found in self.client.search_runs([self.experiment_id()], mine):
            if not _alive(int(found.data.tags.get("pid", "0"))):
                Run(self, found.info.run_id).undo()
                self.client.set_terminated(found.info.run_id, status="KILLED")

    # -- releases -----------------------------------------------------------------------------------------------

    def release(self, release: str) -> Release | None:
        """The release of that id, or None unless all four of its models are registered."""
        found = self._run_tagged("release", release)
        return self._complete(found) if found else None

    def newest(self) -> Release | None:
        """The release registered last."""
        runs = self.client.search_runs([self.experiment_id()], "tags.release != ''", order_by=["start_time DESC"])
        return next((release for release in map(self._complete, runs) if release), None)

    def champion(self) -> Release | None:
        """The release that all four champions share; None without one, or while they differ."""
        ids = {self._champion_id(name) for name in MODELS}
        only = ids.pop() if len(ids) == 1 else None
        return self.release(only) if only else None

    def make_champion(self, release: Release) -> None:
        """Point @champion of all four models at a release."""
        for name in MODELS:
            self.client.set_registered_model_alias(name, CHAMPION, release.versions[name])

    def tag_release(self, release: Release, tags: Mapping[str, str]) -> None:
        for key, value in tags.items():
            self.client.set_tag(release.run_id, key, value)
            for name, number in release.versions.items():
                self.client.set_model_version_tag(name, number, key, value)

    def read_json(self, release: Release, artifact: str) -> dict[str, Any]:
        text = mlflow.artifacts.load_text(f"runs:/{release.run_id}/{artifact}")
        return dict(json.loads(text))

    def download(self, release: Release, artifact: str, into: Path) -> Path:
        """Copy an artifact (file or folder) of the release's run into a folder of ours."""
        return Path(self.client.download_artifacts(release.run_id, artifact, str(into)))

    def add(
        self, release: Release, metrics: Mapping[str, float], figures: Mapping[str, Figure], folder: str, step: int
    ) -> None:
        """What was learned of a release after its run had ended: metrics of a step, and figures in a folder.

        The same again is not added again.
        """
        known = {name: float(value) for name, value in metrics.items() if np.isfinite(value)}
        digest = hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:12]
        if release.tags.get(f"added.{folder}") == digest:
            return
        for name, value in known.items():
            self.client.log_metric(release.run_id, name, value, step=step)
        for name, figure in figures.items():
            self.client.log_figure(release.run_id, figure, f"{folder}/{name}.png", save_kwargs={"dpi": 110})
        self.client.set_tag(release.run_id, f"added.{folder}", digest)

    def download_model(self, release: Release, model: str, into: Path) -> None:
        """Copy the plain files of one registered model of the release into a new folder."""
        found = self.client.get_model_version(model, release.versions[model])
        with tempfile.TemporaryDirectory(dir=into.parent) as whole:
            artifact = mlflow.artifacts.download_artifacts(artifact_uri=found.source, dst_path=whole)
            shutil.copytree(Path(artifact) / "data" / model, into)

    def versions_of(self, run_id: str) -> list[ModelVersion]:
        return list(self.client.search_model_versions(f"run_id = '{run_id}'"))

    def _run_tagged(self, key: str, value: str) -> MlflowRun | None:
        if not value.replace("-", "").isalnum():
            return None  # never an id of ours, and nothing to put into a filter
        runs = self.client.search_runs([self.experiment_id()], f"tags.{key} = '{value}'", max_results=1)
        return runs[0] if runs else None

    def _complete(self, run: MlflowRun) -> Release | None:
        versions = {found.name: str(found.version) for found in self.versions_of(run.info.run_id)}
        if set(versions) != set(MODELS) or run.info.status != "FINISHED":
            return None
        return Release(run.data.tags["release"], run.info.run_id, versions, dict(run.data.tags))

    def _champion_id(self, name: str) -> str | None:
        try:
            return str(self.client.get_model_version_by_alias(name, CHAMPION).tags.get("release"))
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):  # no such model, or alias
                return None
            raise


class Run:
    """An open run: what training logs, and the registration that ends it."""

    def __init__(self, tracker: Tracker, run_id: str) -> None:
        self.tracker, self.client, self.run_id = tracker, tracker.client, run_id
        self._logged_models: list[str] = []

    def log(self, params: Mapping[str, object], tags: Mapping[str, str]) -> None:
        mlflow.log_params(dict(params))
        mlflow.set_tags(dict(tags))

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Names may hold letters, digits, _ - . / and space only: recall@10 becomes recall_at_10."""
        mlflow.log_metrics({k.replace("@", "_at_"): float(v) for k, v in metrics.items() if np.isfinite(v)})

    def log_text(self, artifact: str, content: str) -> None:
        mlflow.log_text(content, artifact)

    def log_json(self, artifact: str, content: object) -> None:
        mlflow.log_text(json.dumps(content, indent=1, allow_nan=False), artifact)

    def log_figures(self, figures: Mapping[str, Figure]) -> None:
        for name, figure in figures.items():
            mlflow.log_figure(figure, f"plots/{name}.png", save_kwargs={"dpi": 110})

    def log_folder(self, artifact: str, folder: Path) -> None:
        mlflow.log_artifacts(str(folder), artifact)

    def register(
        self, release: str, folders: Mapping[str, Path], examples: Mapping[str, Example], tags: Mapping[str, str]
    ) -> Release:
        """Log the four models, then register them, then alias them challenger: the last steps of a training."""
        logged = {name: self._log_model(name, folders[name], examples[name]) for name in MODELS}
        every = {**tags, "release": release}
        mlflow.set_tags(every)
        versions = {name: self._new_version(name, logged[name], every) for name in MODELS}
        self._alias_challenger(versions)
        return Release(release, self.run_id, versions, every)

    def undo(self) -> None:
        """Take back every registration of this run: the challenger is the newest whole release again."""
        for found in self.tracker.versions_of(self.run_id):
            self.client.delete_model_version(found.name, found.version)
            if not self.client.search_model_versions(f"name = '{found.name}'"):
                self.client.delete_registered_model(found.name)
        for model_id in self._logged_models:
            self.client.delete_logged_model(model_id)
        if newest := self.tracker.newest():
            self._alias_challenger(newest.versions)

    def _alias_challenger(self, versions: Mapping[str, str]) -> None:
        for name in MODELS:
            self.client.set_registered_model_alias(name, CHALLENGER, versions[name])

    def _log_model(self, name: str, folder: Path, example: Example) -> str:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="mlflow")  # asks for examples; the signature says as much
            info = mlflow.pyfunc.log_model(
                name=name,
                loader_module=LOADER,
                data_path=str(folder),
                signature=infer_signature(*example),
                pip_requirements=[f"{package}=={version(package)}" for package in _REQUIREMENTS],
            )
        self._logged_models.append(info.model_id)
        return str(info.model_id)

    def _new_version(self, name: str, model_id: str, tags: Mapping[str, str]) -> str:
        if not self.client.search_registered_models(f"name = '{name}'"):
            self.client.create_registered_model(name)
        made = self.client.create_model_version(
            name, f"models:/{model_id}", run_id=self.run_id, tags=dict(tags), model_id=model_id
        )
        return str(made.version)


Example = tuple[pd.DataFrame, pd.DataFrame]  # input and output of predict


def _folder(uri: str) -> Path | None:
    """The folder of a SQLite tracking database, where its artifacts go too; None for servers."""
    return Path(uri.removeprefix("sqlite:///")).parent if uri.startswith("sqlite:///") else None


@contextmanager
def _defaults(variables: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for a moment, but for those that the user has set."""
    new = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(new)
    try:
        yield
    finally:
        for name in new:
            del os.environ[name]


def _alive(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
