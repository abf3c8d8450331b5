"""Load on a real server from kept connections: every answer, with the time it took."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Answer:
    began: float  # time.monotonic()
    seconds: float
    status: int
    headers: bytes
    body: bytes

    def json(self) -> dict[str, Any]:
        return dict(json.loads(self.body))


def questions(customers: Sequence[str], **more: object) -> Iterator[dict[str, object]]:
    """Without end, about each customer in turn; no two are alike, so that none is answered from memory."""
    for number, customer in enumerate(itertools.cycle(customers)):
        yield {"customer_id": customer, "exclude": [f"no product {number}"], **more}


def load(
    port: int,
    bodies: Iterator[Mapping[str, object]],
    connections: int,
    enough: Callable[[], bool],
    *,
    path: str = "/v1/predict",
    per_second: float | None = None,
) -> list[Answer]:
    """Posts the bodies until it is enough: as quickly as they are answered, or so many a second."""
    sent = (_request(path, body) for body in bodies)
    return asyncio.run(_load(port, sent, connections, enough, per_second))


def lasting(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() >= end


def percentile(answers: Iterable[Answer], percent: float) -> float:
    """Of the seconds that the answers took."""
    return float(np.percentile([answer.seconds for answer in answers], percent))


async def _load(
    port: int, sent: Iterator[bytes], connections: int, enough: Callable[[], bool], per_second: float | None
) -> list[Answer]:
    answers: list[Answer] = []
    began, turn = time.monotonic(), itertools.count()

    async def ask() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while not enough():
            if per_second:  # whoever is free takes the next place in the schedule, and waits for it
                await asyncio.sleep(began + next(turn) / per_second - time.monotonic())
            answers.append(await _answer(reader, writer, next(sent)))
        writer.close()

    await asyncio.gather(*(ask() for _ in range(connections)))
    return answers


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> Answer:
    began = time.monotonic()
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
    body = await reader.readexactly(length)
    return Answer(began, time.monotonic() - began, int(head.split(b" ", 2)[1]), head, body)


def _request(path: str, body: Mapping[str, object]) -> bytes:
    content = json.dumps(body).encode()
    return b"POST %s HTTP/1.1\r\nHost: shop\r\nContent-Length: %d\r\n\r\n%s" % (path.encode(), len(content), content)
