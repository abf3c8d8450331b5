"""Releases on local disk: what the registry last said, and copies that outlive it.

<shelf>/champion.json        {"release", "waiting", "checked_at"}: what the registry says, rewritten at every look
<shelf>/unreachable.json     {"at"}: when the registry last did not answer
<shelf>/served.json          {"release"}: the last one that was served well
<shelf>/refused.json         {release: {"release", "reason", "at", "code"}}: those that failed their trial, newest last
<shelf>/<release>/           release.json and a folder for each of the four models
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from histories.compiled import digest
from histories.settings import Settings
from histories.urls import absolute

MODELS: Final = ("churn", "customer_value", "next_purchase", "segments")
_KEPT: Final = 3  # releases
_REFUSALS_KEPT: Final = 100


class Shelf:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of(cls, settings: Settings) -> Shelf:
        """One shelf for each registry: beside an SQLite store, else in the user's cache folder."""
        store = settings.store.removeprefix("sqlite:///")
        home = Path(
            os.environ.get("REGULARS_CACHE") or os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
        )
        base = Path(store).absolute().parent if store != settings.store else home / "regulars"
        registry = hashlib.sha256(absolute(settings.tracking_uri).encode()).hexdigest()[:8]
        return cls(base / "releases" / registry)

    def path(self, release: str) -> Path:
        return self.folder / release

    def holds(self, release: str) -> bool:
        return (self.path(release) / "release.json").is_file()

    def put(self, built: Path, release: str) -> None:
        """Take a complete folder in, in one step."""
        if not self.holds(release):
            shutil.rmtree(self.path(release), ignore_errors=True)
            built.replace(self.path(release))

    def say(self, release: str | None, waiting: str | None = None) -> None:
        """Note what the registry says now."""
        self._write("champion.json", {"release": release, "waiting": waiting, "checked_at": time.time()})

    def unreachable(self) -> None:
        """Note that the registry could not be asked."""
        with suppress(OSError):
            self._write("unreachable.json", {"at": time.time()})

    def unreachable_at(self) -> float:
        return float((self._read("unreachable.json") or {"at": 0.0})["at"])

    def said(self) -> dict[str, Any]:
        """The registry's last word: release, waiting (why there is none yet), checked_at."""
        return self._read("champion.json") or {"release": None, "waiting": None, "checked_at": 0.0}

    def served(self, release: str) -> None:
        """Note it; a disk that is full must not end the service of a release."""
        if self.last_served() != release:
            with suppress(OSError):
                self._write("served.json", {"release": release})

    def last_served(self) -> str | None:
        return (self._read("served.json") or {}).get("release")

    def refuse(self, release: str, refusal: dict[str, Any]) -> None:
        known = self._read("refused.json") or {}
        known.pop(release, None)
        noted = refusal | {"code": _code()}
        self._write("refused.json", dict([*known.items(), (release, noted)][-_REFUSALS_KEPT:]))

    def refused(self, release: str) -> bool:
        """Whether these very sources have refused it: another version may be able to read it."""
        return (self._read("refused.json") or {}).get(release, {}).get("code") == _code()

    def last_refusal(self) -> dict[str, Any] | None:
        known = self._read("refused.json") or {}
        return dict(list(known.values())[-1]) if known else None

    def prune(self) -> None:
        """Drop all but the newest few and those in use."""
        held = sorted(self.folder.glob("*/release.json"), key=lambda card: card.stat().st_mtime)
        in_use = {self.said()["release"], self.last_served()}
        for card in held[:-_KEPT]:
            if card.parent.name not in in_use:
                shutil.rmtree(card.parent, ignore_errors=True)

    def _write(self, name: str, content: dict[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        unfinished = self.folder / f".{name}.{os.getpid()}"
        unfinished.write_text(json.dumps(content), encoding="utf-8")
        unfinished.replace(self.folder / name)

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            return read_json(self.folder / name)
        except (OSError, ValueError):
            return None


def _code() -> str:
    return digest(Path(__file__).with_name("release.py").resolve())


def read_json(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_text(encoding="utf-8")))
