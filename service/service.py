"""The BentoML service: the one module that knows BentoML.

/v1 is the public API, a FastAPI app in front of BentoML's; `predict` and `predict_many` are the same calls for
BentoML's own clients.
BentoML's metrics, access log and traces are off: they label and log by path, and paths hold customer ids.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any

import bentoml
from bentoml import Service
from bentoml._internal.configuration.containers import BentoMLContainer
from pydantic import ValidationError
from starlette.types import ASGIApp

from histories.settings import Settings
from service import schemas as s
from service.app import create_app
from service.ask import PARTS
from service.backend import Backend
from service.errors import Problem, invalid
from service.front import Front
from service.worker import open_backend

_MOST_SECONDS = 30  # for any answer; none should take a tenth of it

api = create_app()


class _Fronted(Service[Any]):
    """A service whose app has the public API in front of it."""

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        return Front(api, super().to_asgi(is_main))


@bentoml.service(
    name="regulars",
    service_class=_Fronted,
    envs=[{"name": "REGULARS_STORE"}, {"name": "MLFLOW_TRACKING_URI"}],
    traffic={"timeout": _MOST_SECONDS},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    tracing={"sample_rate": 0.0, "excluded_urls": ".*"},
)
class Regulars:
    """Which customers will come back, what they are worth and what they will buy next."""

    def __init__(self) -> None:
        logging.getLogger("regulars").setLevel(logging.INFO)
        logging.getLogger("bentoml._internal.server.http_app").addFilter(_without_values)
        self.backend: Backend = open_backend(Settings.model_validate({}), loopback=_loopback())
        api.state.backend = self.backend
        _end_with_parent()

    @bentoml.on_shutdown
    def close(self) -> None:
        self.backend.close()

    def __is_ready__(self) -> bool:
        return self.backend.ready

    @bentoml.api(input_spec=s.PredictRequest)
    async def predict(self, ctx: bentoml.Context, **body: Any) -> s.Prediction:
        """All four answers on one customer."""
        with _Told(ctx) as backend:
            return s.Prediction.model_validate_json(await backend.predict(s.PredictRequest(**body), PARTS))

    @bentoml.api(input_spec=s.PredictManyRequest)
    async def predict_many(self, ctx: bentoml.Context, **body: Any) -> s.Predictions:
        """All four answers on up to 1,000 customers, in their order."""
        with _Told(ctx) as backend:
            return s.Predictions.model_validate_json(await backend.predict_many(s.PredictManyRequest(**body)))


def run(*, host: str, port: int, workers: int) -> None:
    """Serve until stopped by a signal. Metrics have a folder of their own: BentoML has one for all of a user's."""
    service: Any = Regulars  # what the decorator makes of the class
    service.config["workers"] = workers
    with tempfile.TemporaryDirectory(prefix="regulars-metrics-") as folder:
        BentoMLContainer.prometheus_multiproc_dir.set(folder)
        service.serve_http(host=host, port=port)


def _end_with_parent() -> None:
    """Workers whose parent was killed would hold its port, and nobody could stop them by it."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)

    if parent > 1:
        threading.Thread(target=watch, name="parent", daemon=True).start()


class _Told:
    """Checks the key of a native call, and tells its problems in BentoML's own way."""

    def __init__(self, context: bentoml.Context) -> None:
        self._authorization = context.request.headers.get("authorization")

    def __enter__(self) -> Backend:
        backend: Backend = api.state.backend
        try:
            backend.keys.check(self._authorization, "predict")
        except Problem as problem:
            raise _native(problem) from None
        return backend

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ValidationError):
            error = invalid(error)
        if isinstance(error, Problem):
            raise _native(error) from None


def _native(problem: Problem) -> bentoml.exceptions.BentoMLException:
    words = f"{problem.field}: {problem.message}" if problem.field else problem.message
    return bentoml.exceptions.BentoMLException(words, error_code=HTTPStatus(problem.status))


def _without_values(record: logging.LogRecord) -> bool:
    """BentoML logs every refused request with its input; of that, only the fact is kept."""
    record.exc_info = None
    return True


def _loopback() -> bool:
    """Whether the socket that BentoML handed to this worker is bound to this host alone."""
    if "--fd" not in sys.argv:
        return False
    with socket.socket(fileno=socket.dup(int(sys.argv[sys.argv.index("--fd") + 1]))) as bound:
        return ip_address(bound.getsockname()[0]).is_loopback
