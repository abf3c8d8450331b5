"""Scores that were written in the past, read back: Parquet and CSV files, folders, tables of a database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pandas as pd
import pyarrow.csv
import pyarrow.dataset
import sqlalchemy as sa

from histories.errors import BadInput

COLUMNS: Final = (
    "customer_id", "release", "as_of", "churn_probability", "expected_spend", "low", "high", "expected_orders",
    "segment", "products", "source", "products_source",
)  # fmt: skip


def read(places: Sequence[str]) -> dict[tuple[str, pd.Timestamp], pd.DataFrame]:
    """One frame of COLUMNS per release and as_of (UTC), oldest first; a customer scored twice counts once.

    `products` is a list, or None. Raises BadInput for a place that cannot be read or holds something else.
    """
    frames = [frame for place in places for frame in _frames(place)]
    every = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(COLUMNS))
    every = every.drop_duplicates(["release", "as_of", "customer_id"])
    groups = [part for _, part in every.groupby(["as_of", "release"], sort=True)]
    return {(str(part["release"].iloc[0]), pd.Timestamp(part["as_of"].iloc[0])): part for part in groups}


def _frames(place: str) -> Iterator[pd.DataFrame]:
    try:
        frame = _read_table(place) if "://" in place else _read_files(Path(place))
    except (OSError, ValueError, pyarrow.ArrowException, sa.exc.SQLAlchemyError, ModuleNotFoundError) as error:
        raise BadInput(f"scores {place} cannot be read: {str(error).splitlines()[0]}") from None
    missing = [name for name in COLUMNS if name not in frame]
    if missing:
        raise BadInput(f"scores {place}: the column {missing[0]} is missing; regulars score writes such files")
    frame["as_of"] = pd.to_datetime(frame["as_of"], utc=True)
    frame["products"] = [each.split(";") if isinstance(each, str) and each else each for each in frame["products"]]
    if len(frame):
        yield frame


def _read_files(path: Path) -> pd.DataFrame:
    """Folders are read whole: a partition per day."""
    if path.suffix.lower() == ".csv":
        kinds = {"customer_id": pyarrow.string(), "products": pyarrow.string()}
        options = pyarrow.csv.ConvertOptions(
            column_types=kinds, strings_can_be_null=True, quoted_strings_can_be_null=False
        )
        return pyarrow.csv.read_csv(path, convert_options=options).to_pandas()
    found = pyarrow.dataset.dataset(path, partitioning="hive" if path.is_dir() else None)
    return found.to_table(columns=[name for name in COLUMNS if name in found.schema.names]).to_pandas()


def _read_table(place: str) -> pd.DataFrame:
    url, _, name = place.partition("#")
    engine = sa.create_engine(url)
    try:
        table = sa.Table(name or "scores", sa.MetaData(), autoload_with=engine)
        with engine.connect() as connection:
            return pd.DataFrame(connection.execute(sa.select(table)).mappings().all(), columns=list(table.c.keys()))
    finally:
        engine.dispose()
