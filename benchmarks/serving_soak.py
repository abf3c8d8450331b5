"""Half load for a long time, with events and a swap of the release every other minute: what becomes of the memory."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import httpx

from benchmarks.load import Row, children, load, serving
from benchmarks.serving_contenders import command, customer_body, events_body
from benchmarks.serving_shop import Shop
from service.registry import bring_champion
from service.shelf import Shelf

_CONNECTIONS: Final = 8
_ROUND_SECONDS: Final = 60.0
_POSTS: Final = 20  # of events in a round
_SWAP_EVERY: Final = 2  # rounds
_WARM: Final = 0.2  # share of the time before memory counts


def soak(shop: Shop, minutes: float, port: int) -> list[Row]:
    """One row: rate and latency of the worst round, memory after warm-up and at the end, requests that failed."""
    brought = Shelf(shop.folder / "brought")
    bring_champion(shop.settings, brought)
    # Nobody answers there: the shelf is told what to serve by this process alone.
    settings = shop.settings.model_copy(update={"tracking_uri": "http://127.0.0.1:9"})
    alone = Shop(shop.folder, settings, shop.release, shop.key)
    shelf = Shelf.of(settings)
    shutil.rmtree(shelf.folder, ignore_errors=True)
    shutil.copytree(brought.folder, shelf.folder)
    environment = {"BENTOML_DO_NOT_TRACK": "True", "MLFLOW_HTTP_REQUEST_TIMEOUT": "1"} | alone.environment()
    log = shop.folder / "soak.log"
    with serving(command("regulars", "serve", "--port", "{}", port), port, log, "/readyz", environment) as process:
        rounds = list(_rounds(shop, shelf, port, process.pid, minutes))
    warm = rounds[min(int(len(rounds) * _WARM), len(rounds) - 1)]
    end = rounds[-1]
    return [
        {
            "method": "soak",
            "connections": _CONNECTIONS,
            "rps": round(sum(row["rps"] for row in rounds) / len(rounds), 1),
            "p50_ms": sorted(row["p50_ms"] for row in rounds)[len(rounds) // 2],
            "p99_ms": max(row["p99_ms"] for row in rounds),
            "max_ms": max(row["max_ms"] for row in rounds),
            "minutes": minutes,
            "swaps": end["swaps"],
            "failed": sum(row.get("refused", 0) + row.get("broken", 0) for row in rounds),
            "warm_mb": warm["memory_mb"],
            "end_mb": end["memory_mb"],
            "growth_percent": round(100 * (end["memory_mb"] / warm["memory_mb"] - 1), 2),
            "memory_mb": [row["memory_mb"] for row in rounds],
        }
    ]


def _rounds(shop: Shop, shelf: Shelf, port: int, parent: int, minutes: float) -> Iterator[Row]:
    bodies = [customer_body(number) for number in range(1, 20_000)]
    full = load(port, "/v1/predict", bodies, _CONNECTIONS, 5, key=shop.key)
    wait = round(1000 * 2 * _CONNECTIONS / full["rps"] - full["p50_ms"])
    ends, swaps, number = time.monotonic() + 60 * minutes, 0, 0
    while time.monotonic() < ends:
        if number % _SWAP_EVERY == 1:
            swaps += 1
            _swap(shelf, shop.release, f"soak-{swaps}")
        with ThreadPoolExecutor(1) as pool:
            posted = pool.submit(_post, shop, port, number)
            row = load(port, "/v1/predict", bodies, _CONNECTIONS, _ROUND_SECONDS, key=shop.key, delay_ms=wait)
            posted.result()
        number += 1
        yield row | {"memory_mb": _memory(parent), "swaps": swaps}


def _swap(shelf: Shelf, of: str, name: str) -> None:
    """A copy of the release under another id takes its place."""
    built = shelf.folder / f".built-{name}"
    shutil.copytree(shelf.path(of), built)
    card = json.loads((built / "release.json").read_text())
    (built / "release.json").write_text(json.dumps(card | {"release": name}))
    shelf.put(built, name)
    before = shelf.said()["release"]
    shelf.say(name)
    if before not in (None, of):
        shutil.rmtree(shelf.path(before), ignore_errors=True)


def _post(shop: Shop, port: int, number: int) -> None:
    headers = {"Authorization": f"Bearer {shop.key}", "Content-Type": "application/json"}
    with httpx.Client(headers=headers, timeout=30) as client:
        for post in range(_POSTS):
            body = events_body(1_000_000 + number * _POSTS + post)
            client.post(f"http://127.0.0.1:{port}/v1/events", content=body).raise_for_status()
            time.sleep(_ROUND_SECONDS / _POSTS / 2)


def _memory(parent: int) -> float:
    """Resident megabytes of the largest process below the server's: its worker."""
    return max(_resident(pid) for pid in _below(parent))


def _below(pid: int) -> list[int]:
    return [one for child in children(pid) for one in (child, *_below(child))]


def _resident(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)
