"""Gates that every training passes before anything is registered; a closed gate raises Refused."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from histories.clock import DAY, local_day, local_time, to_text
from histories.errors import Refused
from histories.history import EVENT_KINDS, NEVER, PURCHASE, RETURN, Events, History, Lines
from training.metrics import auc

_MOST_GAIN = 0.5
_LEAST_GAIN = 0.05  # an attribute of less cannot lift anything by much
_MOST_LIFT = 0.1  # of AUC, by one attribute over the same model without it
_FEWEST_ROWS = 100  # a probe of fewer says nothing
_MOST_ROWS = 20_000
_SEED = 11
_PROBE = {
    "objective": "binary",
    "num_leaves": 15,
    "learning_rate": 0.1,
    "min_data_in_leaf": 20,
    "verbose": -1,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 2,
    "seed": _SEED,
}

Rows = Callable[[History, int], tuple[NDArray[np.float32], Sequence[str]]]


@dataclass(frozen=True)
class Labelled:
    """Labelled rows of a training frame: features, cut-off, and orders in the window after it."""

    X: NDArray[np.float32]
    names: Sequence[str]
    as_of: NDArray[np.int64]
    orders: NDArray[np.floating]


def nothing_from_the_future(history: History, as_of: int, rows: Rows) -> None:
    """Scrambling all that was not known at as_of must leave every feature row as it is."""
    (before, names), (after, _) = rows(history, as_of), rows(scramble(history, as_of), as_of)
    changed = (before != after) & ~(np.isnan(before) & np.isnan(after))
    if changed.any():
        column = int(changed.sum(axis=0).argmax())
        raise Refused(
            f"feature {names[column]} looks past {to_text(as_of)}: scrambling what came later "
            f"changed it for {int(changed[:, column].sum())} of {len(before)} customers"
        )


def windows_inside(as_of: NDArray[np.int64], until: int, horizon_days: int, zone: str) -> None:
    """Every label window must end by the shop-local day of `until`, the end of the data."""
    if not len(as_of):
        return
    last = int(as_of.max())
    beyond = local_day(last, zone) + horizon_days - local_day(until, zone)
    if beyond > 0:
        raise Refused(f"labels from {to_text(last)} on need {beyond} days after {to_text(until)}, the end of the data")


def no_telling_attribute(rows: Labelled, attributes: Collection[str], allowed: Collection[str]) -> list[str]:
    """An attribute must not carry the label. Returns warnings about features made of orders, which may rightly lead.

    A small model of "will order again" is fitted at each cut-off on one half of the customers. Refused is an
    attribute with more than half of its gain, or that lifts AUC on the other half by more than 0.1.
    """
    warnings: dict[str, float] = {}
    for as_of in np.unique(rows.as_of)[-4:] if attributes else np.unique(rows.as_of)[-1:]:
        for name, share in _probe(_at(rows, as_of), attributes, allowed).items():
            warnings[name] = max(share, warnings.get(name, 0.0))
    return [f"feature {name} carries {share:.0%} of the gain of a churn model" for name, share in warnings.items()]


def scramble(history: History, as_of: int) -> History:
    """The same history up to as_of by both clocks, and noise in the place of everything not known then."""
    random = np.random.default_rng(_SEED)
    lines, events = _scrambled_lines(history, as_of, random), _scrambled_events(history, as_of, random)
    return replace(history, lines=lines, events=events)


def _scrambled_lines(history: History, as_of: int, random: np.random.Generator) -> Lines:
    lines = history.lines
    occurred_at, hidden = _later(lines, as_of, random)
    n, local = int(hidden.sum()), local_time(occurred_at, history.zone)

    def noise(column: NDArray, values: NDArray) -> NDArray:
        changed = column.copy()
        changed[hidden] = values
        return changed

    return replace(
        lines,
        occurred_at=occurred_at,
        recorded_at=noise(lines.recorded_at, np.maximum(occurred_at[hidden], as_of + 1)),
        voided_at=np.where(lines.voided_at > as_of, np.where(random.random(len(hidden)) < 0.5, as_of + 1, NEVER),
                           lines.voided_at),
        local_day=(local // DAY).astype(np.int32),
        local_hour=(local % DAY // (DAY // 24)).astype(np.int8),
        kind=noise(lines.kind, random.choice([PURCHASE, RETURN], n)),
        product=noise(lines.product, random.permutation(lines.product[hidden])),
        quantity=noise(lines.quantity, random.integers(1, 1000, n)),
        amount=noise(lines.amount, random.lognormal(3, 3, n)),
        discount=noise(lines.discount, random.lognormal(3, 3, n)),
        channel=noise(lines.channel, random.permutation(lines.channel[hidden])),
    )  # fmt: skip


def _scrambled_events(history: History, as_of: int, random: np.random.Generator) -> Events:
    events = history.events
    occurred_at, hidden = _later(events, as_of, random)
    kind, recorded_at = events.kind.copy(), events.recorded_at.copy()
    kind[hidden] = random.integers(0, len(EVENT_KINDS), int(hidden.sum()))
    recorded_at[hidden] = np.maximum(occurred_at[hidden], as_of + 1)
    return replace(events, occurred_at=occurred_at, recorded_at=recorded_at, kind=kind)


def _later(
    table: Lines | Events, as_of: int, random: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """New times for what occurred later, in order within each customer, and which rows were not known at as_of."""
    late = table.occurred_at > as_of
    owner = np.repeat(np.arange(len(table.offsets) - 1), np.diff(table.offsets))[late]
    times = as_of + 1 + random.integers(0, 400 * DAY, int(late.sum()))
    occurred_at = table.occurred_at.copy()
    occurred_at[late] = times[np.lexsort((times, owner))]
    return occurred_at, late | (table.recorded_at > as_of)


def _at(rows: Labelled, as_of: int) -> Labelled:
    """The rows of one cut-off, in a seeded order, at most so many."""
    found = np.random.default_rng(_SEED).permutation(np.flatnonzero(rows.as_of == as_of))[:_MOST_ROWS]
    return Labelled(rows.X[found], rows.names, rows.as_of[found], rows.orders[found])


def _probe(rows: Labelled, attributes: Collection[str], allowed: Collection[str]) -> dict[str, float]:
    """Shares of gain above the bound of features that are not attributes; Refused for one that is."""
    label = (rows.orders > 0).astype(float)
    if len(label) < _FEWEST_ROWS or min(label.sum(), len(label) - label.sum()) < 10:
        return {}
    every = list(range(len(rows.names)))
    whole, gain = _fit(rows.X, label, every)
    share = gain / max(gain.sum(), 1e-12)
    for column in np.argsort(-share):
        name = rows.names[column]
        if name not in attributes or _source(name) in allowed or share[column] < _LEAST_GAIN:
            continue
        without, _ = _fit(rows.X, label, [c for c in every if c != column])
        if share[column] > _MOST_GAIN or whole - without > _MOST_LIFT:
            raise Refused(
                f"attribute {_source(name)} tells the outcome: {share[column]:.0%} of the gain "
                f"at {to_text(rows.as_of[0])}, AUC {whole:.3f} with it and {without:.3f} without; "
                "leave it out, or name it in the setting allowed_attributes"
            )
    leading = int(share.argmax())
    return {rows.names[leading]: float(share[leading])} if share[leading] > _MOST_GAIN else {}


def _fit(X: NDArray[np.float32], label: NDArray, columns: list[int]) -> tuple[float, NDArray[np.float64]]:
    """AUC on the second half of the rows of a model of the first half, and its gain per column."""
    half = len(label) // 2
    model = lgb.train(_PROBE, lgb.Dataset(X[:half][:, columns], label=label[:half]), 60)
    forecast = np.asarray(model.predict(X[half:][:, columns]))
    return auc(label[half:], forecast), model.feature_importance("gain")


def _source(column: str) -> str:
    """The attribute behind a column."""
    return column.removeprefix("attr_")
