"""Drawing customers by a hash of their id: the same people each time, in whatever chunks they come."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

_SHARES = 2.0**64


def hashes(ids: Iterable[str]) -> NDArray[np.uint64]:
    """(customers,) 64 even bits of each id (BLAKE2b)."""
    digests = b"".join(hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest() for name in ids)
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def drawn(hashed: NDArray[np.uint64], share: float, seed: int) -> NDArray[np.bool_]:
    """Who belongs to a sample of that share (0..1); a smaller sample of the same seed is part of a larger one."""
    if share >= 1:
        return np.ones(len(hashed), dtype=bool)
    return np.asarray(_mixed(hashed, seed) / _SHARES < share)


def _mixed(values: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """splitmix64 (Steele, Lea and Flood 2014) of values and seed: draws of two seeds have nothing in common."""
    with np.errstate(over="ignore"):
        z = values + np.uint64(seed % 2**64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(z ^ (z >> np.uint64(31)))
