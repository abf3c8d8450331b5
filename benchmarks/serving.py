"""Speed of the service on a simulated shop, beside its floors and what peers do of the work, under load from wrk.

python -m benchmarks.serving [--customers N] [--seconds S] [--home DIR] [--only NAME ...] [--json OUT]
python -m benchmarks.serving --soak MINUTES

One worker each; requests are for random customers, none asked twice, keys and metrics on. Rows:

regulars_predict    POST /v1/predict: all four parts
regulars_unlike     the same, each with another k, products to leave out, cart
regulars_churn      POST /v1/churn
regulars_explain    POST /v1/predict with explain
regulars_events     POST /v1/events, a hundred order lines each, durable
regulars_constant   the same service answering a constant
bentoml_textbook    churn alone: pandas features from memory, LightGBM's scikit-learn wrapper, BentoML's defaults
mlflow_serve        churn alone: `mlflow models serve`, given the features
starlette           a constant from Starlette on uvicorn, no access log

cpu_us is what the server's processes had of the processors per request: what a busy machine leaves unchanged.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.load import Row, cpu_seconds, load, serving, wrk
from benchmarks.serving_contenders import Contender, contenders, shuffled
from benchmarks.serving_shop import TRAINED_ON, Shop, make_shop

CONNECTIONS: Final = (1, 8, 32)
_WARM_SECONDS: Final = 3.0
_LONG_BODIES: Final = 2_000  # prepared for one run, where a body is long
_COLUMNS: Final = ("connections", "rps", "p50_ms", "p99_ms", "max_ms", "cpu_us")


def main() -> None:
    options = _options()
    wrk()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        home = options.home or Path(scratch)
        shop = make_shop(home, options.customers, options.trained_on)
        if options.soak:
            from benchmarks.serving_soak import soak

            rows = soak(shop, options.soak, _free_port())
        else:
            rows = [
                row for contender in contenders(shop, home, options.only) for row in _measured(contender, shop, options)
            ]
    _report(rows, options, time.monotonic() - began)


def _measured(contender: Contender, shop: Shop, options: argparse.Namespace) -> list[Row]:
    """One row per number of connections; a contender that fails is a row with its error."""
    port, log = _free_port(), Path(tempfile.mkdtemp()) / f"{contender.method}.log"
    try:
        with serving(contender.command(port), port, log, contender.ready, contender.environment) as process:
            return list(_loads(contender, shop, port, process.pid, options))
    except Exception as error:  # noqa: BLE001
        return [{"method": contender.method, "error": f"{type(error).__name__}: {str(error)[-600:]}"}]


def _loads(contender: Contender, shop: Shop, port: int, pid: int, options: argparse.Namespace) -> Iterator[Row]:
    for path, method, body in contender.calls:
        bodies = _Bodies(body, options.customers, _LONG_BODIES if contender.lines else options.customers)
        bodies.used(load(port, path, bodies.next(), 8, _WARM_SECONDS, key=shop.key))
        for connections in CONNECTIONS:
            before = cpu_seconds(pid)
            row = load(port, path, bodies.next(), connections, options.seconds, key=shop.key)
            row["cpu_us"] = round((cpu_seconds(pid) - before) / max(row["requests"], 1) * 1e6)
            bodies.used(row)
            if contender.lines:
                row["lines_per_second"] = round(row["rps"] * contender.lines)
            yield {"method": method, **row}


class _Bodies:
    """Bodies for all customers in random order, going on where the last run stopped."""

    def __init__(self, body: Callable[[int], str], customers: int, most: int) -> None:
        """At most so many at a time."""
        self._numbers, self._body, self._most, self._at = shuffled(customers), body, most, 0

    def next(self) -> list[str]:
        return [self._body(number) for number in (self._numbers[self._at :] + self._numbers[: self._at])[: self._most]]

    def used(self, row: Row) -> None:
        self._at = (self._at + row["requests"]) % len(self._numbers)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=100_000)
    parser.add_argument("--trained-on", type=int, default=TRAINED_ON, help="customers that the release is trained on")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    parser.add_argument("--home", type=Path, help="keeps the shop and its release for the next run")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these rows' servers: see above")
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="half load, swaps and events: memory over time")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def _report(rows: Sequence[dict[str, Any]], options: argparse.Namespace, seconds: float) -> None:
    print(f"{options.customers:,} customers, {options.seconds:.0f} s each; load {_load():.1f} before the first")
    print(f"{'method':20}" + "".join(f"{name:>13}" for name in _COLUMNS))
    for row in rows:
        if "error" in row:
            print(f"{row['method']:20} {row['error']}")
            continue
        more = {name: value for name, value in row.items() if name not in ("method", "requests", *_COLUMNS)}
        told = "".join(f"{row.get(name, ''):>13}" for name in _COLUMNS)
        print(f"{row['method']:20}{told}  {' '.join(f'{name}={value}' for name, value in more.items())}")
    if options.json:
        machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count(),
                   "python": platform.python_version()}  # fmt: skip
        report = {"rows": rows, "customers": options.customers, "seconds": seconds, "machine": machine}
        options.json.write_text(json.dumps(report, indent=2))


def _load() -> float:
    return os.getloadavg()[0]


if __name__ == "__main__":
    main()
