"""Requests of one worker, answered one at a time in the order they came, and no more waiting than can be answered."""

from __future__ import annotations

import asyncio
from collections import deque

from service.errors import Problem


class Queue:
    """Between two answers the event loop looks at its sockets: who comes is counted, and refused, at once."""

    def __init__(self, limit: int) -> None:
        """`limit`: so many may wait."""
        self._limit = limit
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._taken = False

    def __len__(self) -> int:
        return len(self._waiting)

    def check(self) -> None:
        """Raises Problem 503 when the queue is full."""
        if len(self._waiting) >= self._limit:
            raise Problem(503, "too many requests are waiting here", retry_after=1)

    async def turn(self) -> None:
        """Wait for one's turn; what the caller then does without awaiting is done before the next has theirs."""
        loop = asyncio.get_running_loop()
        if self._taken:
            waiter = loop.create_future()
            self._waiting.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if not waiter.cancelled():  # its turn had come already
                    self._pass_on()
                raise
        self._taken = True
        loop.call_soon(self._pass_on)

    def _pass_on(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._taken = False
