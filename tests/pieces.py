"""Pieces of compiled code for tests to call: by themselves they are for other compiled code only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba as nb


def from_python(piece: Callable[..., Any]) -> Callable[..., Any]:
    @nb.njit
    def call(*arguments: Any) -> Any:
        return piece(*arguments)

    return call  # type: ignore[no-any-return]
