"""Training with frames made on Spark: rows of every cut-off from the partitions, models fitted on the driver."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from engines.spark import Histories, histories, session
from features.attributes import AttributeEncoder
from features.customers import warm_up
from features.labels import Labels
from histories.errors import BadInput
from histories.history import History
from histories.sample import drawn, hashes
from histories.selection import of_customers
from histories.settings import Settings
from histories.storage.store import Store
from models.frame import Frame, Plan, Seen, assemble, plan_for, seen_at
from training.backtest import until
from training.train import SAMPLE_SEED, Training, sampled_share
from training.train import train as train_here

_LABELS: Final = (("orders", pa.float32()), ("spend", pa.float64()), ("next_day", pa.float32()))
ROWS: Final = pa.schema([("cut", pa.int64()), ("customer_id", pa.string()), ("X", pa.list_(pa.float32())), *_LABELS])


def train(
    store: Store,
    settings: Settings,
    *,
    history: str | None = None,
    horizon_days: int | None = None,
    as_of: int | None = None,
    progress: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> Training:
    """As training.train does, to the same models. `history` is a snapshot of the store as it is; BadInput otherwise."""
    warm_up()
    with session(settings.spark_master) as spark, histories(spark, store, history) as everybody:
        if everybody.shop.digest != store.digest():
            raise BadInput(f"{history} is of another state of the store: make it anew (regulars export)")
        frames = partial(training_frame, everybody, sampled_share(store))
        return train_here(store, settings, horizon_days=horizon_days, as_of=as_of, progress=progress, frames=frames)


def training_frame(
    everybody: Histories,
    share: float,
    history: History,
    as_of: int,
    horizon_days: int,
    encoder: AttributeEncoder,
    *,
    net: bool = False,
) -> Frame:
    """models.frame.training_frame of the same customers: those of `history`, drawn by that share."""
    plan = plan_for(history, as_of, horizon_days, net=net)
    rows = everybody.map(partial(_rows, share, plan, encoder), ROWS).toArrow()
    return assemble(plan, _by_cut(rows, plan, history, len(encoder.names)), history, encoder)


def _rows(share: float, plan: Plan, encoder: AttributeEncoder, history: History) -> pa.Table:
    """Runs on the executors: the rows of these customers at each cut-off."""
    hashed = hashes(history.customer_id)
    chosen = np.flatnonzero(history.consent["training"] & drawn(hashed, share, SAMPLE_SEED))
    part = until(of_customers(history, chosen), plan.as_of)
    seen = [seen_at(part, cut, plan, encoder, hashed[chosen]) for cut in plan.cuts]
    return pa.concat_tables(_table(part, cut, each) for cut, each in zip(plan.cuts, seen, strict=True))


def _table(history: History, cut: int, seen: Seen) -> pa.Table:
    size, width = seen.X.shape
    columns: dict[str, Any] = {
        "cut": pa.repeat(pa.scalar(cut, pa.int64()), size),
        "customer_id": pa.array(history.customer_id[seen.customer], pa.string()),
        "X": pa.ListArray.from_arrays(np.arange(0, size * width + 1, width, dtype=np.int32), seen.X.ravel()),
    }
    return pa.table(columns | {name: getattr(seen.labels, name) for name, _ in _LABELS}, schema=ROWS)


def _by_cut(rows: pa.Table, plan: Plan, history: History, attributes: int) -> list[Seen]:
    """One Seen per cut-off, its customers in the order of the history."""
    table = rows.combine_chunks()
    X = table["X"].combine_chunks().flatten().to_numpy().reshape(len(table), -1)
    cut = table["cut"].to_numpy()
    column = {name: table[name].to_numpy() for name, _ in _LABELS}
    customer = _positions(history, table["customer_id"].to_numpy(zero_copy_only=False))
    order = np.lexsort((customer, cut))
    seen = []
    for each in plan.cuts:
        at = order[np.searchsorted(cut[order], each) : np.searchsorted(cut[order], each, side="right")]
        seen.append(Seen(X[at], customer[at], Labels(*(column[name][at] for name, _ in _LABELS))))
    return seen


def _positions(history: History, ids: NDArray[np.object_]) -> NDArray[np.int32]:
    place = {name: position for position, name in enumerate(history.customer_id.tolist())}
    return np.array([place[name] for name in ids.tolist()], dtype=np.int32)
