"""Database URLs that mean the same from any folder."""

from __future__ import annotations

import os


def absolute(url: str) -> str:
    """A SQLite URL with a relative path, as one from the root; others as they are."""
    scheme, mark, path = url.partition(":///")
    if scheme.split("+")[0] != "sqlite" or not path or path.startswith((":memory:", "file:")):
        return url
    return f"{scheme}{mark}{os.path.abspath(path)}"  # noqa: PTH100 - Path would not tidy ..


def file_of(url: str) -> str | None:
    """The file of an SQLite URL; None for other databases, and for what is in memory."""
    scheme, mark, path = url.partition(":///")
    return path if mark and scheme.split("+")[0] == "sqlite" and not path.startswith((":memory:", "file:")) else None
