"""Where the time of a prediction goes: stages in this process, without HTTP, for passes of several sizes.

python -m benchmarks.serving_stages --home DIR [--customers N] [--passes 1 8] [--explain] [--json OUT]

DIR is the home of `benchmarks.serving`. Random customers, none asked twice; each stage is its mean over a round of
requests, and the round with the least sum counts. Microseconds per prediction, of which `rest` is what no stage holds:
looking into the store, into the memory of answers, and making the objects of a request. What HTTP takes on top is
`regulars_constant` there.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Final

from benchmarks.serving_contenders import customer_body, explain_body, shuffled
from benchmarks.serving_shop import TRAINED_ON, make_shop

Row = dict[str, float]
_ROUNDS: Final = 12
_REQUESTS: Final = 2_000  # in each
_READY_SECONDS: Final = 60.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--customers", type=int, default=100_000)
    parser.add_argument("--passes", type=int, nargs="+", default=[1, 8], help="predictions in each")
    parser.add_argument("--explain", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    os.environ |= {"BENTOML_DO_NOT_TRACK": "True", "OMP_NUM_THREADS": "1"}
    rows = _rows(options)
    stages = list(dict.fromkeys(stage for row in rows.values() for stage in row))
    print(f"{'predictions in a pass':24}" + "".join(f"{size:>8}" for size in rows))
    for stage in stages:
        print(f"{stage:24}" + "".join(f"{row.get(stage, 0):8.0f}" for row in rows.values()))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=2))


def _rows(options: argparse.Namespace) -> dict[int, Row]:
    """By size of the passes: microseconds per stage, and their sum."""
    from service.worker import open_backend

    shop = make_shop(options.home, options.customers, TRAINED_ON)
    backend = open_backend(shop.settings, loopback=True)
    until = time.monotonic() + _READY_SECONDS
    while not backend.ready:
        if time.monotonic() > until:
            raise SystemExit(f"no release of {options.home} became ready in {_READY_SECONDS:.0f} s")
        time.sleep(0.1)
    body = explain_body if options.explain else customer_body
    bodies = _bodies(body, options.customers)
    try:
        return {
            size: min((_round(backend, bodies, size) for _ in range(_ROUNDS)), key=lambda row: row["sum"])
            for size in options.passes
        }
    finally:
        backend.close()


def _bodies(body, customers: int) -> Iterator[bytes]:  # type: ignore[no-untyped-def]
    return (body(number).encode() for number in cycle(shuffled(customers)))


def _round(backend, bodies: Iterator[bytes], size: int) -> Row:  # type: ignore[no-untyped-def]
    """Passes of that size, one after the other."""
    spent: dict[str, float] = defaultdict(float)
    began = time.perf_counter()
    for _ in range(_REQUESTS // size):
        _add(spent, _answered(backend, list(islice(bodies, size))))
    spent["sum"] = time.perf_counter() - began
    spent["rest"] = spent["sum"] - sum(seconds for stage, seconds in spent.items() if stage != "sum")
    order = [*(stage for stage in spent if stage not in ("rest", "sum")), "rest", "sum"]
    return {stage: spent[stage] / (_REQUESTS // size * size) * 1e6 for stage in order}


def _answered(backend, bodies: Sequence[bytes]) -> list[tuple[str, float, float]]:  # type: ignore[no-untyped-def]
    """The stages (name, from, to) of one pass."""
    from service.ask import PARTS
    from service.asked import Asked
    from service.schemas import PredictRequest
    from service.wire import Call

    read = PredictRequest.__pydantic_validator__.validate_json
    asked = [Asked(read(body), PARTS, Call({"headers": []}, "/v1/predict")) for body in bodies]
    backend.answers.together(asked)
    for each in asked:
        each.told()
    assert asked[0].call is not None
    return asked[0].call.stages


def _add(spent: dict[str, float], stages: Sequence[tuple[str, float, float]]) -> None:
    for stage, begin, end in stages:
        if stage != "queue":  # nobody waits here
            spent[stage] += end - begin


if __name__ == "__main__":
    main()
