"""Evidence to and from one npz file without pickles."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.baskets.candidates import Evidence
from models.baskets.follow_links import Follow
from models.baskets.item_links import Links
from models.baskets.neighbours import Pool


def save_evidence(evidence: Evidence, path: Path) -> None:
    arrays = {"table": evidence.table, "popular": evidence.popular}
    for name in ("pool", "together", "after", "follow"):
        part = getattr(evidence, name)
        arrays |= {f"{name}.{field}": getattr(part, field) for field in part._fields}
    np.savez_compressed(path, allow_pickle=False, **arrays)


def load_evidence(path: Path) -> Evidence:
    with np.load(path, allow_pickle=False) as stored:

        def part(kind: type, name: str) -> tuple:
            return kind(*(stored[f"{name}.{field}"] for field in kind._fields))  # type: ignore[attr-defined]

        return Evidence(
            table=stored["table"],
            pool=part(Pool, "pool"),  # type: ignore[arg-type]
            together=part(Links, "together"),  # type: ignore[arg-type]
            after=part(Links, "after"),  # type: ignore[arg-type]
            follow=part(Follow, "follow"),  # type: ignore[arg-type]
            popular=stored["popular"],
        )
