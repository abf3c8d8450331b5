"""How a body is read: at once, in parts, late, or not at all."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from service import wire
from service.errors import Problem

Part = tuple[bytes, bool, bool]  # what comes, whether it is the last, whether it has to be waited for


async def read(*parts: Part) -> bytes:
    """A request's body; after the parts given nothing comes any more."""
    left = iter(parts)

    async def receive() -> dict[str, Any]:
        part = next(left, None)
        if part is None:
            await asyncio.Event().wait()
        body, last, is_late = part or (b"", True, True)
        if is_late:
            await asyncio.sleep(0.001)
        return {"type": "http.request", "body": body, "more_body": not last}

    call = wire.Call({"headers": []}, "/v1/predict")
    return await wire.read(call, receive)  # type: ignore[arg-type]


def test_a_body_is_read_whole_however_it_comes() -> None:
    for parts in (
        [(b"abc", True, False)],
        [(b"abc", True, True)],
        [(b"a", False, False), (b"b", False, True), (b"c", True, False)],
        [(b"a", False, True), (b"b", False, True), (b"c", True, True)],
    ):
        assert asyncio.run(read(*parts)) == b"abc"


@pytest.mark.parametrize("parts", [[], [(b"a", False, False)], [(b"a", False, True)]])
def test_one_that_does_not_come_is_given_up(parts: list[Part], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "BODY_SECONDS", 0.05)
    with pytest.raises(Problem, match="did not come in time"):
        asyncio.run(read(*parts))


@pytest.mark.parametrize("is_late", [False, True])
def test_one_that_is_too_large_is_refused(is_late: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "BODY_LIMIT", 5)
    with pytest.raises(Problem, match="at most 5 bytes"):
        asyncio.run(read((b"abc", False, is_late), (b"def", True, is_late)))


def test_a_reader_that_is_cancelled_ends() -> None:
    async def cancelled() -> None:
        reader = asyncio.ensure_future(read((b"a", False, False)))
        await asyncio.sleep(0)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader

    asyncio.run(cancelled())
