"""A generator that works ahead in a thread of its own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import TypeVar

T = TypeVar("T")
_WAIT_SECONDS = 0.2  # between looks whether anybody still wants the next item


def ahead(items: Iterator[T], depth: int = 2) -> Iterator[T]:
    """The same items, up to `depth` of them made before they are asked for. Its errors are raised here."""
    made: queue.Queue[tuple[bool, object]] = queue.Queue(depth)
    left = threading.Event()

    def put(last: bool, item: object) -> bool:
        while not left.is_set():
            try:
                made.put((last, item), timeout=_WAIT_SECONDS)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for item in items:
                if not put(False, item):
                    return
            put(True, None)
        except BaseException as error:  # noqa: BLE001 - raised where the items are wanted
            put(True, error)

    worker = threading.Thread(target=work, name="ahead", daemon=True)
    worker.start()
    try:
        while not (got := made.get())[0]:
            yield got[1]  # type: ignore[misc]
        if got[1] is not None:
            raise got[1]  # type: ignore[misc]
    finally:
        left.set()
        worker.join()
