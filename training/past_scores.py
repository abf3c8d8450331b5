"""Scores that were written in the past, read back: Parquet and CSV files, folders, tables of a database.

A folder may hold a year of nights: what lies where is looked up first, and one run of scoring is read at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.dataset
import sqlalchemy as sa

from histories.errors import BadInput
from histories.sample import drawn, hashes

COLUMNS: Final = (
    "customer_id", "release", "as_of", "churn_probability", "expected_spend", "low", "high", "expected_orders",
    "segment", "products", "source", "products_source",
)  # fmt: skip
_RUN: Final = ("release", "as_of")


class Run(NamedTuple):
    release: str
    as_of: pd.Timestamp  # UTC


def runs(places: Sequence[str]) -> dict[Run, list[str]]:
    """The runs of scoring, oldest first, and the places that hold rows of each.

    Raises BadInput for a place that cannot be read or holds something else.
    """
    found: dict[Run, list[str]] = {}
    for place in places:
        with _reading(place) as source:
            for run in source.runs():
                found.setdefault(run, []).append(place)
    return {run: found[run] for run in sorted(found, key=lambda run: (run.as_of, run.release))}


def read(places: Sequence[str], run: Run, share: float = 1.0, seed: int = 0) -> pd.DataFrame:
    """COLUMNS of a run's customers, or of a share of them (histories.sample); one scored twice counts once.

    `products` is a list, or None.
    """
    frames = []
    for place in places:
        with _reading(place) as source:
            frame = source.rows(run, share, seed)
        frame["products"] = [each.split(";") if isinstance(each, str) and each else each for each in frame["products"]]
        frames.append(frame)
    return pd.concat(frames, ignore_index=True).drop_duplicates("customer_id", ignore_index=True)


@contextmanager
def _reading(place: str) -> Iterator[_Files | _Table]:
    try:
        source = _Table.of(place) if "://" in place else _Files.of(Path(place))
        try:
            if missing := [name for name in COLUMNS if name not in source.names()]:
                raise BadInput(f"scores {place}: the column {missing[0]} is missing; regulars score writes such files")
            yield source
        finally:
            source.close()
    except BadInput:
        raise
    except (OSError, ValueError, pa.ArrowException, sa.exc.SQLAlchemyError, ModuleNotFoundError) as error:
        raise BadInput(f"scores {place} cannot be read: {str(error).splitlines()[0]}") from None


@dataclass(frozen=True)
class _Files:
    """A file, or a folder with a partition per day."""

    data: Any  # a dataset of pyarrow's

    @classmethod
    def of(cls, path: Path) -> _Files:
        if path.suffix.lower() == ".csv":
            return cls(pyarrow.dataset.dataset(_csv(path)))
        found = pyarrow.dataset.dataset(path, partitioning="hive" if path.is_dir() else None)
        return cls(found if not path.is_dir() or found.files else pyarrow.dataset.dataset(_NOTHING))

    def names(self) -> list[str]:
        return list(self.data.schema.names)

    def runs(self) -> set[Run]:
        found: set[Run] = set()
        for batch in self.data.to_batches(columns=list(_RUN)):
            each = pa.table(batch).group_by(list(_RUN)).aggregate([])
            found |= {_run(*row) for row in zip(*(each[name].to_pylist() for name in _RUN), strict=True)}
        return found

    def rows(self, run: Run, share: float, seed: int) -> pd.DataFrame:
        at = pa.scalar(run.as_of.to_pydatetime(), self.data.schema.field("as_of").type)
        which = (pc.field("release") == run.release) & (pc.field("as_of") == at)
        table = self.data.to_table(columns=list(COLUMNS), filter=which)
        kept = drawn(hashes(table["customer_id"].to_pylist()), share, seed)
        frame: pd.DataFrame = table.filter(pa.array(kept)).to_pandas()
        return frame

    def close(self) -> None:
        pass


_NOTHING: Final = pa.table({name: pa.array([], pa.timestamp("us", "UTC") if name == "as_of" else pa.string())
                            for name in COLUMNS})  # fmt: skip


def _csv(path: Path) -> pa.Table:
    kinds = {"customer_id": pa.string(), "products": pa.string(), "as_of": pa.timestamp("us", "UTC")}
    options = pyarrow.csv.ConvertOptions(column_types=kinds, strings_can_be_null=True, quoted_strings_can_be_null=False)
    return pyarrow.csv.read_csv(path, convert_options=options)


@dataclass(frozen=True)
class _Table:
    """A table of a database."""

    engine: sa.Engine
    table: sa.Table

    @classmethod
    def of(cls, place: str) -> _Table:
        url, _, name = place.partition("#")
        engine = sa.create_engine(url)
        return cls(engine, sa.Table(name or "scores", sa.MetaData(), autoload_with=engine))

    def names(self) -> list[str]:
        return list(self.table.c.keys())

    def runs(self) -> set[Run]:
        columns = [self.table.c[name] for name in _RUN]
        with self.engine.connect() as connection:
            return {_run(*row) for row in connection.execute(sa.select(*columns).distinct())}

    def rows(self, run: Run, share: float, seed: int) -> pd.DataFrame:
        columns = [self.table.c[name] for name in COLUMNS]
        which = (self.table.c.release == run.release, self.table.c.as_of == run.as_of.to_pydatetime())
        with self.engine.connect() as connection:
            frame = pd.DataFrame(
                connection.execute(sa.select(*columns).where(*which)).mappings().all(), columns=list(COLUMNS)
            )
        return frame[drawn(hashes(frame["customer_id"]), share, seed)]

    def close(self) -> None:
        self.engine.dispose()


def _run(release: str, as_of: Any) -> Run:
    return Run(release, pd.to_datetime(as_of, utc=True))
