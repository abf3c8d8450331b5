"""Who is measured by benchmarks.serving: how each is started, and what it is asked."""

from __future__ import annotations

import json
import math
import os
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks.serving_shop import Shop

LINES: Final = 100  # in one post of events
_FITTED_ON: Final = 3_000  # customers, for the textbook's model
_BIN: Final = Path(sys.executable).parent
Body = Callable[[int], str]  # of a customer's number


@dataclass(frozen=True)
class Contender:
    method: str
    command: Callable[[int], Sequence[str]]  # of the port
    calls: Sequence[tuple[str, str, Body]]  # path, name of the row, body
    ready: str = "/readyz"
    environment: Mapping[str, str] = field(default_factory=dict)
    lines: int = 0  # in each request


def contenders(shop: Shop, home: Path, only: Sequence[str] | None) -> Iterator[Contender]:
    """All, or those named."""
    every = [
        *_ours(shop),
        *(() if only and not {"bentoml_textbook", "mlflow_serve"} & set(only) else _textbook(shop, home)),
    ]
    yield from (contender for contender in every if not only or contender.method in only)


def _ours(shop: Shop) -> Iterator[Contender]:
    ours = _quiet() | shop.environment()
    serve = partial(command, "regulars", "serve", "--port", "{}")
    predict: Sequence[tuple[str, str, Body]] = [("/v1/predict", "regulars_predict", customer_body)]
    churn: Sequence[tuple[str, str, Body]] = [("/v1/churn", "regulars_churn", customer_body)]
    explain: Sequence[tuple[str, str, Body]] = [("/v1/predict", "regulars_explain", explain_body)]
    unlike: Sequence[tuple[str, str, Body]] = [("/v1/predict", "regulars_unlike", unlike_body)]
    yield Contender("regulars_predict", serve, predict, environment=ours)
    yield Contender("regulars_unlike", serve, unlike, environment=ours)
    yield Contender("regulars_churn", serve, churn, environment=ours)
    yield Contender("regulars_explain", serve, explain, environment=ours)
    constant = partial(command, "bentoml", "serve", "benchmarks.serving_constant:Regulars", "--port", "{}")
    yield Contender(
        "regulars_constant", constant, [("/v1/predict", "regulars_constant", customer_body)], environment=ours
    )
    bare = partial(command, "uvicorn", "benchmarks.serving_constant:bare", "--no-access-log", "--port", "{}")
    yield Contender("starlette", bare, [("/v1/predict", "starlette", customer_body)], "/", ours)
    yield Contender(
        "regulars_events", serve, [("/v1/events", "regulars_events", events_body)], environment=ours, lines=LINES
    )


def _quiet() -> dict[str, str]:
    return {"BENTOML_DO_NOT_TRACK": "True", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path.cwd()),
            "PATH": f"{_BIN}:{os.environ['PATH']}"}  # fmt: skip


def _textbook(shop: Shop, home: Path) -> Iterator[Contender]:
    """The same model twice: in a BentoML service that makes its features, and behind MLflow's server, given them."""
    import joblib
    import mlflow

    from benchmarks.peers_serving import COLUMNS, features, fit_churn, read_lines

    folder = home / "textbook"
    lines = read_lines(shop.orders, _FITTED_ON)
    if not (folder / "mlflow" / "MLmodel").exists():
        folder.mkdir(exist_ok=True)
        model = fit_churn(lines)
        joblib.dump(model, folder / "churn.joblib")
        mlflow.lightgbm.save_model(model, folder / "mlflow", pip_requirements=["lightgbm", "scikit-learn"])
    now = lines["occurred_at"].max()
    made = [features(lines.loc[[customer]], now) for customer in lines.index.unique()[:1000]]
    rows = [row for row in made if not math.isnan(row["mean_gap"])]  # JSON has no NaN, and MLflow's schema no null

    def row(number: int) -> str:
        values = [float(rows[number % len(rows)][name]) for name in COLUMNS]
        return json.dumps({"dataframe_split": {"columns": COLUMNS, "data": [values]}})

    buyers = read_lines(shop.orders).index.unique()

    def buyer(number: int) -> str:
        return json.dumps({"customer_id": buyers[number % len(buyers)]})

    bento = partial(command, "bentoml", "serve", "benchmarks.peers_serving:Churn", "--port", "{}")
    environment = _quiet() | {"TEXTBOOK_FOLDER": str(folder), "TEXTBOOK_ORDERS": str(shop.orders)}
    yield Contender("bentoml_textbook", bento, [("/predict", "bentoml_textbook", buyer)], environment=environment)
    server = partial(
        command, "mlflow", "models", "serve", "-m", str(folder / "mlflow"), "--env-manager", "local", "-w", "1",
        "-p", "{}",
    )  # fmt: skip
    yield Contender("mlflow_serve", server, [("/invocations", "mlflow_serve", row)], "/ping", _quiet())


def command(name: str, *arguments: Any) -> list[str]:
    *words, port = arguments
    return [str(_BIN / name), *(str(word).format(port) for word in words)]


def shuffled(customers: int) -> list[int]:
    """The numbers of all customers, in an order that is the same in every run."""
    numbers = list(range(1, customers + 1))
    random.Random(7).shuffle(numbers)
    return numbers


def customer_body(number: int) -> str:
    return json.dumps({"customer_id": f"sim-{number:06d}"})


def explain_body(number: int) -> str:
    return json.dumps({"customer_id": f"sim-{number:06d}", "explain": True})


def unlike_body(number: int) -> str:
    """As pages of products and carts ask: each leaves out another product, each fourth has another in the cart."""
    more = {"k": 4 + number % 9, "exclude": [f"SIM-{number % 600:04d}"]}
    cart = {"basket": [f"SIM-{number * 7 % 600:04d}"]} if number % 4 == 0 else {}
    return json.dumps({"customer_id": f"sim-{number:06d}"} | more | cart)


def events_body(number: int) -> str:
    """LINES lines of as many customers, which no other number gives."""
    at = datetime.now(UTC) - timedelta(minutes=number % 1000)
    lines = [
        {"customer_id": f"sim-{(number * 17 + line) % 90_000:06d}", "occurred_at": at.isoformat(), "unit_price": 9.5,
         "quantity": 1, "product_id": f"SIM-{line:04d}", "order_id": f"bench-{os.getpid()}-{number}-{line}"}
        for line in range(LINES)
    ]  # fmt: skip
    return json.dumps({"orders": lines})
