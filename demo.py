"""The demo: a simulated shop goes through the same commands a real one would, and is then asked about."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pyarrow.compute as pc
import pyarrow.parquet as pq
import typer

FOLDER = Path("data/demo")
SEED = 7
_SETTINGS = 'currency = "EUR"\nexclude_customers = ["sim-staff-*", "sim-test-*"]\n'
_OWN = (".demo", "regulars.toml", "shop", "data", "mlruns", "warm-up.log", "service.log")
_READY_SECONDS = 90
_LAPSING = 0.7  # chance of being lost of somebody who is on the way out, but not long gone
_ASKED = 500  # the customers with most orders, among whom the examples are looked for
UNKNOWN = "nobody-yet"


class DemoFailed(Exception):
    """A step of the demo did not do its work; the message says which and where to look."""


def run_demo(*, once: bool, customers: int, port: int, folder: Path = FOLDER) -> None:
    """Simulate, import, train, promote, serve in `folder`, print answers; then serve until interrupted, or stop."""
    started = time.monotonic()
    _fresh(folder)
    _say(f"A shop of {customers:,} simulated customers, in {folder}/ (the store of your own shop is not touched).")
    with _warming_up(folder):
        _regulars(folder, "simulate", "--customers", str(customers), "--seed", str(SEED), "--out", "shop")
        files = [f"--{name}=shop/{name}.parquet" for name in ("orders", "events", "customers", "products")]
        _regulars(folder, "import", *files)
        _regulars(folder, "train")
        _regulars(folder, "promote")
        with _service(folder, _free(port)) as (process, url):
            _show_answers(url, folder / "shop")
            _say(f"Done in {time.monotonic() - started:.0f} s.")
            if not once:
                _say(f"Still serving at {url}/v1 (its document: {url}/v1/openapi.json). Ctrl-C stops it.")
                _say(f"The training run: .venv/bin/mlflow ui --backend-store-uri sqlite:///{folder}/mlruns/mlflow.db")
                process.wait()


def _fresh(folder: Path) -> None:
    """An empty folder of the demo's own; what an earlier demo left there is removed, anything else is respected."""
    mark = folder / ".demo"
    if folder.exists() and any(folder.iterdir()) and not mark.exists():
        raise DemoFailed(f"{folder} holds files that are not the demo's; move them away")
    for name in _OWN:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    mark.touch()
    (folder / "regulars.toml").write_text(_SETTINGS)


def _environment() -> dict[str, str]:
    """Ours without the settings of the user's own shop."""
    return {
        name: value
        for name, value in os.environ.items()
        if name == "REGULARS_CACHE" or (not name.startswith("REGULARS_") and name != "MLFLOW_TRACKING_URI")
    } | {"PYTHONUNBUFFERED": "1"}


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", "regulars", *arguments]


def _regulars(folder: Path, *arguments: str) -> None:
    _say(f"$ regulars {shlex.join(arguments)}")
    started = time.monotonic()
    done = subprocess.run(_command(*arguments), cwd=folder, env=_environment(), check=False)
    if done.returncode:
        raise DemoFailed(f"regulars {arguments[0]} ended with exit code {done.returncode}")
    typer.echo(f"({time.monotonic() - started:.1f} s)")


def _free(port: int) -> int:
    """The port wanted, or any free one, saying so, if somebody else has it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            probe.bind(("127.0.0.1", 0))
            _say(f"Port {port} is taken; using {probe.getsockname()[1]}.")
        return int(probe.getsockname()[1])


@contextmanager
def _warming_up(folder: Path) -> Iterator[None]:
    """`regulars warm-up` beside the other commands, on a core that they leave idle; they do not depend on it.

    In our session: the kernel weighs priorities within one only.
    """
    with (folder / "warm-up.log").open("wb") as log:
        process = subprocess.Popen(_command("warm-up"), cwd=folder, env=_environment(), stdout=log, stderr=log)
    try:
        yield
    finally:
        _stop(process)


@contextmanager
def _service(folder: Path, port: int) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """`regulars serve`, ready to answer; stopped at the end."""
    arguments = ("serve", "--port", str(port))
    _say(f"$ regulars {shlex.join(arguments)}    (log: {folder}/service.log)")
    with (folder / "service.log").open("wb") as log:
        process = subprocess.Popen(
            _command(*arguments), cwd=folder, env=_environment(), stdout=log, stderr=log, start_new_session=True
        )
    try:
        _wait_until_ready(process, f"http://127.0.0.1:{port}", folder / "service.log")
        yield process, f"http://127.0.0.1:{port}"
    finally:
        _stop(process)


def _wait_until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    started = time.monotonic()
    while time.monotonic() - started < _READY_SECONDS:
        if process.poll() is not None:
            raise DemoFailed(f"regulars serve stopped by itself; the end of {log}:\n{log.read_text()[-1500:]}")
        try:
            if httpx.get(f"{url}/readyz", timeout=2).is_success:
                typer.echo(f"({time.monotonic() - started:.1f} s until ready)")
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    raise DemoFailed(f"regulars serve was not ready after {_READY_SECONDS} s; see {log}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _show_answers(url: str, shop: Path) -> None:
    loyal, lapsing = _examples(url, shop)
    _say("What the service answers (numbers rounded here):")
    for title, customer in (("A loyal customer", loyal), ("A lapsing one", lapsing), ("Nobody we know", UNKNOWN)):
        asked = {"customer_id": customer, "k": 3}
        _say(f"{title}:\n$ {curl(url, asked)}")
        typer.echo(readable(_post(url, "predict", asked)))


def _examples(url: str, shop: Path) -> tuple[str, str]:
    """From the customers with most orders: the one most sure to return, and one who is likely not to."""
    orders = pq.read_table(shop / "orders.parquet", columns=["customer_id", "order_id"])
    orders = orders.filter(pc.invert(pc.match_substring_regex(orders["customer_id"], "staff|test")))
    counts = orders.group_by("customer_id").aggregate([("order_id", "count_distinct")])
    most = counts.sort_by([("order_id_count_distinct", "descending"), ("customer_id", "ascending")])
    ids = most["customer_id"].slice(0, _ASKED).to_pylist()
    answers = _post(url, "predict_many", {"customer_ids": ids, "k": 1})["predictions"]
    lost = {each["customer_id"]: each["churn"]["probability"] for each in answers if each["churn"]["source"] == "model"}
    if not lost:
        raise DemoFailed("the service answered from a fallback for everybody; a larger shop has enough history")
    return min(lost, key=lost.__getitem__), min(lost, key=lambda customer: abs(lost[customer] - _LAPSING))


def _post(url: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    answer = httpx.post(f"{url}/v1/{path}", json=dict(body), timeout=60)
    if not answer.is_success:
        raise DemoFailed(f"POST /v1/{path} answered {answer.status_code}: {answer.text[:300]}")
    return dict(answer.json())


def curl(url: str, body: Mapping[str, Any]) -> str:
    """The same request as a line for the shell."""
    data = shlex.quote(json.dumps(body))
    return f"curl -s {url}/v1/predict -H 'Content-Type: application/json' -d {data}"


def readable(answer: Mapping[str, Any]) -> str:
    """JSON with a line for each part and for each product, numbers rounded to four decimals."""
    rounded = json.loads(json.dumps(answer), parse_float=lambda text: round(float(text), 4))
    parts = [f"  {json.dumps(name)}: {_part(value)}" for name, value in rounded.items()]
    return "{\n" + ",\n".join(parts) + "\n}"


def _part(value: Any) -> str:
    if not (isinstance(value, dict) and value.get("products")):
        return json.dumps(value)
    rest = json.dumps({name: each for name, each in value.items() if name != "products"})
    products = ",\n".join(f"      {json.dumps(product)}" for product in value["products"])
    return f'{rest[:-1]}, "products": [\n{products}]}}'


def _say(text: str) -> None:
    typer.echo(f"\n{text}")
