"""Who a line is: ids as the shop means them, and a number that is the same whenever the same line comes again."""

from __future__ import annotations

import hashlib
import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

# Cut from both ends of every id, by Python here and by SQL in clean.py.
BLANKS = " \t\r\n\u00a0\ufeff"
_WHOLE = re.compile(r"([0-9]+)\.0+")
_GIVEN = np.uint64((1 << 63) - 1)
_DERIVED = np.uint64(1 << 63)
_CENTS = 10_000  # numbers are compared to four decimals


def normal_id(text: str) -> str:
    """Trimmed; whole numbers lose `.0`; leading zeros stay."""
    text = text.strip(BLANKS)
    whole = _WHOLE.fullmatch(text)
    return whole[1] if whole else text


def normal_ids(ids: pa.ChunkedArray | pa.Array) -> pa.Array:
    """normal_id of a text column; blank becomes null. Work is done once per distinct id."""
    encoded = _encoded(ids)
    normal = [normal_id(text) or None for text in encoded.dictionary.to_pylist()]
    return pa.array(normal, type=pa.string()).take(encoded.indices)


def line_ids(
    customer: NDArray[np.int64],
    occurred_at: NDArray[np.int64],
    texts: tuple[pa.Array, ...],
    numbers: tuple[NDArray[np.float64], ...],
    given: pa.Array,
) -> NDArray[np.int64]:
    """A positive hash of `given` where there is one; else a negative digest of the line and its ordinal.

    The ordinal counts equal lines of one customer, but for those that were given an id, in the order they come, so a
    call must hold all lines of each customer of a file. The customer itself is no part of the digest: it is the first
    column of the store's key, and merging two ids of one person must not change what their lines are.
    """
    if not given.null_count:
        return (text_hashes(given) & _GIVEN).view(np.int64)
    digest = _mix(occurred_at.view(np.uint64))
    for text in texts:
        digest = _mix(digest ^ text_hashes(text))
    for number in numbers:
        digest = _mix(digest ^ _number_hashes(number))
    named = given.is_valid().to_numpy(zero_copy_only=False)
    ordinal = np.zeros(len(digest), dtype=np.uint64)
    ordinal[~named] = ordinals(customer[~named], digest[~named])
    digest = _mix(digest + ordinal) | _DERIVED
    if named.any():
        digest = np.where(named, text_hashes(given) & _GIVEN, digest)
    return digest.view(np.int64)


def ordinals(group: NDArray[np.int64], digest: Hashes) -> NDArray[np.int64]:
    """0, 1, ... among rows equal in group and digest, in the order they come."""
    by = np.lexsort((digest, group))
    new = np.ones(len(by), dtype=bool)
    new[1:] = (digest[by][1:] != digest[by][:-1]) | (group[by][1:] != group[by][:-1])
    place = np.arange(len(by))
    ordinal = np.empty(len(by), dtype=np.int64)
    ordinal[by] = place - np.maximum.accumulate(np.where(new, place, 0))
    return ordinal


def text_hashes(texts: pa.ChunkedArray | pa.Array) -> Hashes:
    """64 bits of BLAKE2b of each text, 0 for null; the same on every machine and in every version."""
    encoded = _encoded(texts)
    unique = b"".join(_text_hash(text) for text in encoded.dictionary.to_pylist())
    hashes = np.concatenate([np.frombuffer(unique, dtype="<u8"), np.zeros(1, dtype="<u8")]).astype(np.uint64)
    return hashes[encoded.indices.fill_null(len(hashes) - 1).to_numpy(zero_copy_only=False)]


def text_codes(texts: pa.Array) -> NDArray[np.int64]:
    """The same number for the same text of this array, -1 for null."""
    return _encoded(texts).indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)


def _text_hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _encoded(texts: pa.ChunkedArray | pa.Array) -> pa.DictionaryArray:
    array = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    if isinstance(array, pa.ChunkedArray):
        array = pa.chunked_array(array.chunks or [pa.array([], type=array.type)]).combine_chunks()
    return array if isinstance(array, pa.DictionaryArray) else pc.dictionary_encode(array)


def _number_hashes(numbers: NDArray[np.float64]) -> Hashes:
    scaled = np.rint(np.nan_to_num(numbers, nan=0.0) * _CENTS).astype(np.int64).view(np.uint64)
    return _mix(scaled + np.isnan(numbers).astype(np.uint64) * _DERIVED)


def _mix(x: Hashes) -> Hashes:
    """The finaliser of splitmix64 (Steele, Lea, Flood 2014)."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
