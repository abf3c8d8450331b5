"""URLs that mean the same from any folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from histories.urls import absolute


def test_relative_sqlite_paths_become_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute("sqlite:///data/a.db") == f"sqlite:///{tmp_path}/data/a.db"
    assert absolute("sqlite:///data/../a.db") == f"sqlite:///{tmp_path}/a.db"
    assert absolute("sqlite+pysqlite:///a.db") == f"sqlite+pysqlite:///{tmp_path}/a.db"


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:////data/a.db",
        "sqlite:///:memory:",
        "sqlite:///file:a.db?uri=true",
        "sqlite://",
        "postgresql://host/shop",
        "http://host:5000",
    ],
)
def test_all_others_stay(url: str) -> None:
    assert absolute(url) == url
