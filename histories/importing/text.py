"""Text files as shops write them: packed or not, in any encoding, with a title above the column names."""

from __future__ import annotations

import codecs
import csv
import gzip
import re
import shutil
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Final
from uuid import uuid4

from histories.errors import BadInput

_BLOCK: Final = 1 << 20
_DELIMITERS: Final = ",;\t|"
_FIELD: Final = 100_000  # the csv module takes no longer ones
_ABOVE: Final = 20  # lines that a title and blanks above the column names may take
_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_OTHERS: Final = (
    (b"PAR1", "is no text; name it .parquet if that is what it is"),
    (b"PK\x03\x04", "is no text; name it .xlsx if that is what it is, and unpack an archive first"),
    (b"[", "is JSON; write it as CSV or Parquet"),
    (b"{", "is JSON; write it as CSV or Parquet"),
    (b"<", "is HTML or XML; save it as CSV or XLSX"),
)


@dataclass(frozen=True, slots=True)
class Head:
    """The column names of a CSV file, what parts them, and the lines above them."""

    names: list[str]
    delimiter: str
    above: int


def plain_text(path: Path, folder: Path) -> Path:
    """The file itself when it is UTF-8 with ends of lines of one kind, else a copy in `folder` that is.

    Unpacks gzip, and reads UTF-16, UTF-32 and cp1252.
    """
    unpacked = _unpacked(path, folder)
    encoding, alike = _encoding(unpacked, str(path))
    if encoding == "utf-8" and alike:
        return unpacked
    copy = _new(folder)
    try:
        with (
            unpacked.open(encoding=encoding) as source,
            copy.open("w", encoding="utf-8", newline="") as out,
        ):
            shutil.copyfileobj(source, out, _BLOCK)
    except UnicodeError:
        raise BadInput(f"{path}: is neither UTF-8, UTF-16 nor Windows-1252 text") from None
    return copy


def joined_text(texts: Sequence[tuple[Path, str]], folder: Path) -> Path:
    """One file of several UTF-8 ones with the same columns, named (file, label): names once, then all their lines."""
    first = head_of(*texts[0])
    whole = _new(folder)
    with whole.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out, delimiter=first.delimiter, lineterminator="\n").writerow(first.names)
        for text, label in texts:
            head = head_of(text, label)
            if (head.names, head.delimiter) != (first.names, first.delimiter):
                raise BadInput(f"{label}: has other columns than {texts[0][1]}; import them one by one")
            for block in _below(text, head):
                out.write(block)
    return whole


def head_of(text: Path, label: str) -> Head:
    """Raises BadInput where no line holds column names, or one is there twice."""
    with text.open(encoding="utf-8-sig", newline="") as stream:
        lines = list(islice(iter(lambda: stream.readline(_BLOCK), ""), _ABOVE))
        try:
            above, delimiter = _names_at(lines)
            names = next(csv.reader(chain(lines[above:], stream), delimiter=delimiter), [])
        except csv.Error as error:
            raise BadInput(f"{label}: no column names can be read: {error}") from None
    return Head(checked_names([name.strip() for name in names], label), delimiter, above)


def checked_names(names: Sequence[str], label: str) -> list[str]:
    """Raises BadInput where there are none, or one is there twice; an empty one is called by its place."""
    if not any(names):
        raise BadInput(f"{label}: the first line holds no column names")
    named = [name or f"column {place}" for place, name in enumerate(names, 1)]
    seen: set[str] = set()
    for name in named:
        if name.lower() in seen or name.lower() == "line_":
            raise BadInput(f"{label}: line 1: column {name!r} is there twice; rename one")
        seen.add(name.lower())
    return named


def names_at(rows: Sequence[Sequence[object]]) -> int:
    """Place of the first row of several cells, below titles and blanks; of one column, the first that is not blank."""
    filled = [sum(cell not in (None, "") and str(cell).strip() != "" for cell in row) for row in rows]
    several = (place for place, cells in enumerate(filled) if cells > 1)
    return next(several, next((place for place, cells in enumerate(filled) if cells), 0))


def _names_at(lines: Sequence[str]) -> tuple[int, str]:
    """Lines above the column names, and the delimiter: as Excel's own first line says, else what is there most."""
    said = re.fullmatch(r"sep=(.)\s*", lines[0]) if lines else None
    parts = [max(_DELIMITERS, key=line.count) for line in lines]
    starts = [line[:_FIELD] for line in lines]
    rows = [next(csv.reader([start], delimiter=part), []) for start, part in zip(starts, parts, strict=True)]
    if said:
        return 1 + names_at(rows[1:]), said[1]
    place = names_at(rows)
    return place, parts[place] if parts else ","


def _below(text: Path, head: Head) -> Iterator[str]:
    """What follows the column names, its last line whole, and all ends of lines alike: strict readers want one kind."""
    with text.open(encoding="utf-8-sig") as stream:
        for _ in range(head.above):
            stream.readline()
        next(csv.reader(iter(stream.readline, ""), delimiter=head.delimiter), [])
        last = "\n"
        while block := stream.read(_BLOCK):
            yield block
            last = block[-1]
        if last != "\n":
            yield "\n"


def _unpacked(path: Path, folder: Path) -> Path:
    with path.open("rb") as stream:
        if stream.read(2) != b"\x1f\x8b":
            return path
    copy = _new(folder)
    try:
        with gzip.open(path) as packed, copy.open("wb") as out:
            shutil.copyfileobj(packed, out, _BLOCK)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise BadInput(f"{path}: is not a whole gzip file") from None
    return copy


def _new(folder: Path) -> Path:
    return folder / f"{uuid4().hex}.csv"


def _encoding(path: Path, label: str) -> tuple[str, bool]:
    """And whether lines end alike all through the file, so that a strict reader takes it as it is."""
    with path.open("rb") as stream:
        head = stream.read(4096)
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding, False
    for start, problem in _OTHERS:
        if head.removeprefix(codecs.BOM_UTF8).lstrip().startswith(start):
            raise BadInput(f"{label}: {problem}")
    for encoding, zeros in (("utf-16-le", head[1::2]), ("utf-16-be", head[::2])):
        if zeros.count(0) > len(zeros) // 2:
            return encoding, False
    return _eight_bits(path, label)


def _eight_bits(path: Path, label: str) -> tuple[str, bool]:
    """UTF-8, or cp1252 where it is not; BadInput names the line of a zero byte, which no text holds."""
    decoder, encoding = codecs.getincrementaldecoder("utf-8")(), "utf-8"
    lines = windows = 0
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            before, zero, _ = block.partition(b"\0")
            if zero:
                line = 1 + lines + before.count(b"\n")
                raise BadInput(f"{label}: line {line} holds a zero byte: the file is damaged, or no text")
            lines += block.count(b"\n")
            windows += block.count(b"\r\n")
            encoding = _decoded(decoder, block, encoding)
    return _decoded(decoder, b"", encoding, final=True), windows in (0, lines)


def _decoded(decoder: codecs.IncrementalDecoder, block: bytes, encoding: str, *, final: bool = False) -> str:
    if encoding == "utf-8":
        try:
            decoder.decode(block, final)
        except UnicodeDecodeError:
            return "cp1252"
    return encoding
