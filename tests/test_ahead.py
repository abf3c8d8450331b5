"""Working ahead in a thread: the same items, their errors, and an end when nobody wants more."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from histories.importing.ahead import ahead


def test_the_same_items_and_their_error() -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        raise KeyError("six")

    assert list(ahead(iter(range(5)))) == [0, 1, 2, 3, 4]
    with pytest.raises(KeyError, match="six"):
        list(ahead(items()))


def test_it_ends_when_nobody_wants_more() -> None:
    before = threading.active_count()
    wanting = ahead(iter(range(1000)))
    assert next(wanting) == 0
    wanting.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
