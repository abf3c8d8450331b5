"""Requests of one worker, answered in the order they came, and no more waiting than can be answered."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final, Generic, Protocol, TypeVar

from service.errors import Problem


class Alike(Protocol):
    alike: Any  # the same for those who can be answered in one pass


T = TypeVar("T", bound=Alike)
# Answered in one pass: most of what a pass costs, it costs once. It holds up whoever comes meanwhile by so many
# answers, so there are few.
TOGETHER: Final = 8
# Turns of the event loop from one pass to the next: its answers are written, whoever asks again upon theirs is read,
# and queues up. With one turn, eight who ask again and again share passes of two and of six in turn.
_TURNS: Final = 4


class Queue(Generic[T]):
    """Between two passes the event loop looks at its sockets: who comes is counted, and refused, at once."""

    def __init__(self, limit: int, answer: Callable[[list[T]], None]) -> None:
        """`limit`: so many may wait. `answer` answers some, at most TOGETHER, who ask alike."""
        self._limit = limit
        self._answer = answer
        self._waiting: deque[tuple[asyncio.Future[None], T | None]] = deque()
        self._busy: asyncio.AbstractEventLoop | None = None  # that has the next pass before it; it may have ended since

    def __len__(self) -> int:
        return len(self._waiting)

    def check(self) -> None:
        """Raises Problem 503 when the queue is full."""
        if len(self._waiting) >= self._limit:
            raise Problem(503, "too many requests are waiting here", retry_after=1)

    async def turn(self) -> None:
        """Wait for one's turn; what the caller then does without awaiting is done before the next has theirs."""
        await self._wait(None)

    async def answered(self, asked: T) -> T:
        """What was asked, once it has been answered. Raises what `answer` raises."""
        await self._wait(asked)
        return asked

    def _wait(self, asked: T | None) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        self._waiting.append((waiter, asked))
        if self._busy is not loop:  # what else came in with it is read first, and answered with it
            self._busy = loop
            loop.call_soon(self._go_on)
        return waiter

    def _go_on(self) -> None:
        """The next pass, or the next turn, whose taker goes on before this is called again."""
        waiters, asked = self._next()
        if not waiters:
            self._busy = None
            return
        try:
            if asked:
                self._answer(asked)
        except Exception as error:  # noqa: BLE001 - those who wait for the answers deal with it
            for waiter in waiters:
                waiter.set_exception(error)
        else:
            for waiter in waiters:
                waiter.set_result(None)
        self._go_on_after(_TURNS)

    def _go_on_after(self, turns: int) -> None:
        later = self._go_on if turns == 1 else partial(self._go_on_after, turns - 1)
        asyncio.get_running_loop().call_soon(later)

    def _next(self) -> tuple[list[asyncio.Future[None]], list[T]]:
        """Who waits for the next pass and what they ask; or who has the next turn. Nobody, if none is waiting."""
        while self._waiting:
            waiter, asked = self._waiting.popleft()
            if waiter.done():  # given up
                continue
            if asked is None:
                return [waiter], []
            others = self._take_alike(asked)
            return [waiter, *(other for other, _ in others)], [asked, *(wanted for _, wanted in others)]
        return [], []

    def _take_alike(self, first: T) -> list[tuple[asyncio.Future[None], T]]:
        """Those who ask like the first, as many as fit into its pass; the others keep their places."""
        taken: list[tuple[asyncio.Future[None], T]] = []
        left: deque[tuple[asyncio.Future[None], T | None]] = deque()
        for waiter, asked in self._waiting:
            fits = asked is not None and asked.alike == first.alike and len(taken) + 1 < TOGETHER
            if fits and not waiter.done():
                taken.append((waiter, asked))  # type: ignore[arg-type]
            else:
                left.append((waiter, asked))
        self._waiting = left
        return taken
