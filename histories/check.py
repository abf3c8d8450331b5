"""What can be predicted from the history in a store, and what each missing column costs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy.engine import Connection

from histories.clock import DAY, to_text
from histories.storage.store import Store

_FEW_CUSTOMERS = 200
HORIZONS = (7, 30, 60, 90, 180, 365)  # days
How = Literal["learned", "by rates", "no"]
_LEARNED: Final = "learned"
_BY_RATES: Final = "by rates"
_NO: Final = "no"


@dataclass(frozen=True, slots=True)
class Model:
    """Whether one model can be trained for a horizon, and on what: labels of earlier windows, or rates alone."""

    name: str
    how: How
    reason: str

    @property
    def possible(self) -> bool:
        return self.how != _NO


@dataclass(frozen=True, slots=True)
class Gap:
    """A column that is empty in `count` of `rows` rows, and what that costs."""

    table: str
    column: str
    count: int
    rows: int
    cost: str


@dataclass(frozen=True, slots=True)
class CheckReport:
    horizon_days: int
    customers: int
    repeat_customers: int  # with two orders or more on different days
    lines: int
    span: tuple[int, int] | None
    models: tuple[Model, ...]
    outlook: tuple[tuple[int, tuple[Model, ...]], ...]  # the same for other horizons
    gaps: tuple[Gap, ...]

    def __str__(self) -> str:
        return self.text()

    def text(self) -> str:
        """One screen."""
        return "\n".join(self._text())

    def _text(self) -> Iterator[str]:
        yield f"{self.lines:,} lines of {self.customers:,} customers, {self.repeat_customers:,} with repeat orders"
        if self.span:
            yield f"from {to_text(self.span[0])} to {to_text(self.span[1])}; horizon {self.horizon_days} days"
        for model in self.models:
            yield f"  {'yes' if model.possible else 'no':<4} {model.name:<15} {model.reason}"
        yield from self._outlook()
        for gap in self.gaps:
            where = f"{gap.table}.{gap.column}: empty in {gap.count:,} of {gap.rows:,} rows" if gap.rows else gap.table
            yield f"  {where}: {gap.cost}"

    def _outlook(self) -> Iterator[str]:
        yield f"  {'by horizon in days':<20}" + "".join(f"{days:>10}" for days, _ in self.outlook)
        for at, model in enumerate(self.models):
            yield f"       {model.name:<15}" + "".join(f"{models[at].how:>10}" for _, models in self.outlook)
        yield "       learned: from what followed on earlier days; by rates: by buy-till-you-die models alone"


# Table, column, condition of an empty cell, what it costs.
_LINE_GAPS = (
    ("order_id", "order_id IS NULL", "a day of a customer counts as one order"),
    ("product_id", "product < 0", "these lines are no ground for recommendations or product features"),
    ("unit_price or amount", "unit_price IS NULL AND amount = 0", "these lines count as purchases without spend"),
    ("channel", "channel < 0", "no channel features"),
    ("discount", "discount = 0", "no discount features where none was given or recorded"),
)
_PRODUCT_GAPS = (
    ("name", "name IS NULL", "answers show the id alone"),
    ("category", "category IS NULL", "no category features, fewer candidates for rarely bought products"),
    ("price", "price IS NULL AND paid IS NULL", "no price features for these"),
)


def check(store: Store, horizon_days: int) -> CheckReport:
    span = store.span()
    with store.snapshot() as connection:
        customers, repeat, lines = _sizes(connection)
        gaps = (
            *_gaps(connection, "lines", "orders", _LINE_GAPS),
            *_gaps(connection, "products", "products", _PRODUCT_GAPS),
        )
        gaps += _absent(connection)
    days = (span[1] - span[0]) // DAY if span else 0
    without = {gap.column: gap.count for gap in gaps if gap.table == "orders"}

    def models(horizon: int) -> tuple[Model, ...]:
        return tuple(_models(horizon, days, customers, lines, without))

    outlook = tuple((horizon, models(horizon)) for horizon in HORIZONS)
    return CheckReport(horizon_days, customers, repeat, lines, span, models(horizon_days), outlook, gaps)


def _models(horizon_days: int, days: int, customers: int, lines: int, without: dict[str, int]) -> Iterator[Model]:
    how, reason = _time_verdict(horizon_days, days, customers, lines)
    yield Model("churn", how, reason)
    priced = lines - without.get("unit_price or amount", 0)
    yield _needing("customer_value", how, reason, priced, lines, "a price or an amount")
    named = lines - without.get("product_id", 0)
    yield _needing("next_purchase", how, reason, named, lines, "a product_id")
    yield Model("segments", how, reason)


def _needing(name: str, how: How, reason: str, having: int, lines: int, what: str) -> Model:
    """A model that needs a column, of which `having` lines have a value."""
    if lines and not having:
        return Model(name, _NO, f"no line of orders has {what}: empty in {lines:,} of {lines:,} rows")
    some = f"; {lines - having:,} of {lines:,} rows of orders are without {what}" if having < lines else ""
    return Model(name, how, reason + some)


def _time_verdict(horizon_days: int, days: int, customers: int, lines: int) -> tuple[How, str]:
    if not lines:
        return _NO, "there are no order lines; import some"
    if days < horizon_days:
        return _NO, f"{days} days of history are shorter than the horizon of {horizon_days}"
    if days < 2 * horizon_days:
        need = f"label windows need {2 * horizon_days} days, there are {days}"
        return _BY_RATES, f"by buy-till-you-die models alone: {need}"
    if customers < _FEW_CUSTOMERS:
        return _LEARNED, f"{customers} customers are few: expect wide intervals"
    return _LEARNED, "enough time and customers"


def _sizes(connection: Connection) -> tuple[int, int, int]:
    repeat = (
        "SELECT COUNT(*) FROM (SELECT customer FROM lines WHERE quantity > 0 GROUP BY customer "
        f"HAVING COUNT(DISTINCT occurred_at / {DAY}) > 1) AS several"
    )
    counts = ("SELECT COUNT(*) FROM customers", repeat, "SELECT COUNT(*) FROM lines")
    customers, several, lines = (int(connection.exec_driver_sql(text).scalar_one()) for text in counts)
    return customers, several, lines


def _gaps(
    connection: Connection, table: str, called: str, columns: tuple[tuple[str, str, str], ...]
) -> tuple[Gap, ...]:
    sums = ", ".join(f"SUM(CASE WHEN {empty} THEN 1 ELSE 0 END)" for _, empty, _ in columns)
    rows, *counts = connection.exec_driver_sql(f"SELECT COUNT(*), {sums} FROM {table}").one()
    return tuple(
        Gap(called, name, int(count), rows, cost)
        for (name, _, cost), count in zip(columns, counts, strict=True)
        if count
    )


def _absent(connection: Connection) -> tuple[Gap, ...]:
    """Whole tables that hold nothing."""
    found = []
    if not connection.exec_driver_sql("SELECT EXISTS (SELECT 1 FROM events)").scalar():
        found.append(Gap("events", "*", 0, 0, "there are none: no features of views, carts or e-mails"))
    if not connection.exec_driver_sql("SELECT EXISTS (SELECT 1 FROM attributes)").scalar():
        found.append(Gap("customers", "*", 0, 0, "no attributes: newcomers get the same answer"))
    return tuple(found)
