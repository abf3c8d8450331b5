"""Who waits for an answer: in order, together, bounded; and what happens to the others when something goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from service.errors import Problem
from service.queue import TOGETHER, Queue

Passes = list[list[int]]


class Number(int):
    """Those below 100 ask alike, and those of each hundred above."""

    @property
    def alike(self) -> int:
        return self // 100


def run(work: Callable[[Queue[Number], Passes], Awaitable[None]], limit: int = 100) -> Passes:
    """The passes that a piece of work made of a queue; number 13 cannot be answered."""
    passes: Passes = []

    def answer(asked: list[Number]) -> None:
        passes.append(list(map(int, asked)))
        if 13 in asked:
            raise ArithmeticError

    async def started() -> None:
        await work(Queue(limit, answer), passes)

    asyncio.run(started())
    return passes


def test_those_who_wait_are_answered_together_in_order_and_a_few_at_a_time() -> None:
    async def work(queue: Queue[Number], passes: Passes) -> None:
        answered = await asyncio.gather(*(queue.answered(Number(number)) for number in range(TOGETHER + 2)))
        assert answered == list(range(TOGETHER + 2))
        assert await queue.answered(Number(50)) == 50
        assert len(queue) == 0

    assert run(work) == [list(range(TOGETHER)), [TOGETHER, TOGETHER + 1], [50]]


def test_those_who_ask_again_upon_their_answers_come_to_share_one_pass() -> None:
    """Two and six who begin apart; what travels between answer and question takes turns of the loop."""

    async def work(queue: Queue[Number], passes: Passes) -> None:
        async def client(number: int, delay: int) -> None:
            for again in range(6):
                for _ in range(delay if again == 0 else 2):
                    await asyncio.sleep(0)
                await queue.answered(Number(number))

        await asyncio.gather(*(client(number, 0 if number < 2 else 3) for number in range(TOGETHER)))

    sizes = list(map(len, run(work)))
    assert sizes[0] == 2
    assert sizes.count(TOGETHER) >= 5


def test_only_those_who_ask_alike_share_a_pass_and_the_first_is_never_passed_over() -> None:
    async def work(queue: Queue[Number], passes: Passes) -> None:
        await asyncio.gather(*map(queue.answered, map(Number, (1, 101, 2, 201, 102, 3))))

    assert run(work) == [[1, 2, 3], [101, 102], [201]]


def test_a_turn_ends_before_the_next_pass() -> None:
    async def work(queue: Queue[Number], passes: Passes) -> None:
        async def taker() -> None:
            await queue.turn()
            passes.append([])

        await asyncio.gather(
            *map(queue.answered, map(Number, (1, 2))), taker(), *map(queue.answered, map(Number, (101, 3)))
        )

    assert run(work) == [[1, 2, 3], [], [101]]


def test_a_full_queue_says_so() -> None:
    async def work(queue: Queue[Number], passes: Passes) -> None:
        waiting = [asyncio.ensure_future(queue.answered(Number(number))) for number in range(2)]
        queue.check()
        await asyncio.sleep(0)
        with pytest.raises(Problem, match="too many"):
            queue.check()
        await asyncio.gather(*waiting)
        queue.check()

    assert run(work, limit=2) == [[0, 1]]


def test_a_pass_that_fails_is_told_to_its_own_and_the_next_is_made() -> None:
    async def work(queue: Queue[Number], passes: Passes) -> None:
        numbers = [13, *range(TOGETHER)]
        answered = await asyncio.gather(*map(queue.answered, map(Number, numbers)), return_exceptions=True)
        assert [isinstance(answer, ArithmeticError) for answer in answered] == [True] * TOGETHER + [False]

    assert run(work) == [[13, *range(TOGETHER - 1)], [TOGETHER - 1]]


def test_who_gave_up_is_not_answered() -> None:
    async def work(queue: Queue[Number], passes: Passes) -> None:
        waiting = [asyncio.ensure_future(queue.answered(Number(number))) for number in range(3)]
        turn = asyncio.ensure_future(queue.turn())
        await asyncio.sleep(0)
        waiting[1].cancel()
        turn.cancel()
        assert await asyncio.gather(*waiting[::2]) == [0, 2]
        assert await queue.answered(Number(4)) == 4

    assert run(work) == [[0, 2], [4]]
