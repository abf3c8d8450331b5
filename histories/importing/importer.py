"""Files of a shop into its store: checked in a scratch database, then written in one transaction."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from duckdb import DuckDBPyConnection
from sqlalchemy.engine import Connection

from histories.clock import to_text
from histories.columns import REQUIRED
from histories.errors import BadInput
from histories.importing import bulk
from histories.importing.bulk import Tally, Tell
from histories.importing.files import workbench
from histories.importing.mapping import Checked, check_file, rejected
from histories.importing.presets import column_maps
from histories.settings import Settings
from histories.storage import writing
from histories.storage.incoming import Gate, Rates
from histories.storage.persons import add_customers
from histories.storage.store import Store

_ROWS = 10_000
_LISTED = 12  # columns


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import read, kept and left out."""

    read: Mapping[str, int]  # lines by table
    orders: Tally
    events: Tally
    rejected: Mapping[str, Sequence[tuple[str, str, int]]]  # by table: column, reason, lines
    excluded: int  # lines of accounts left out by settings.exclude_customers, or of erased persons
    rejects_file: Path | None
    seconds: float
    renamed: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # by table: column: what the file calls it
    unread: Mapping[str, Sequence[str]] = field(default_factory=dict)  # by table: columns of the file not made use of
    people: int = 0
    products: int = 0

    @property
    def duplicates(self) -> int:
        return self.orders.lines - self.orders.new + self.events.lines - self.events.new

    @property
    def future(self) -> int:
        return self.orders.future + self.events.future

    def __str__(self) -> str:
        return self.text()

    def text(self) -> str:
        """One screen."""
        return "\n".join(self._text())

    def _text(self) -> Iterator[str]:
        for table, lines in self.read.items():
            yield f"{lines:>12,}  lines of {table} read in {self.seconds:.1f} s together"
            if renamed := self.renamed.get(table):
                yield f"{'':>12}  {', '.join(f'{name} from {label!r}' for name, label in renamed.items())}"
            if unread := self.unread.get(table):
                yield f"{'':>12}  not read: {', '.join(unread[:_LISTED])}{', ...' * (len(unread) > _LISTED)}"
        if "orders" in self.read:
            found = self.orders
            yield f"{found.purchases:>12,}  purchase lines, in {found.orders:,} orders of {found.customers:,} customers"
            yield f"{found.sales:>12,.2f}  sales"
            yield f"{found.returns:>12,}  return lines"
        yield f"{self.orders.new + self.events.new:>12,}  rows new to the store, {self.duplicates:,} already there"
        if self.future:
            yield f"{self.future:>12,}  rows dated in the future: stored, ignored until due"
        if self.excluded:
            yield f"{self.excluded:>12,}  lines of excluded accounts left out"
        for table, reasons in self.rejected.items():
            for column, reason, lines in reasons:
                yield f"{lines:>12,}  {table} rejected: {column or 'line'} {reason}"
        if any(self.rejected.values()):
            yield f"{'':>12}  see {self.rejects_file}" if self.rejects_file else f"{'':>12}  --rejects FILE lists them"


def import_files(
    store: Store,
    settings: Settings,
    *,
    orders: str | None = None,
    events: str | None = None,
    customers: str | None = None,
    products: str | None = None,
    preset: str | None = None,
    columns: str | None = None,
    rejects: str | Path | None = None,
    progress: Tell | None = None,
) -> ImportReport:
    """Brings files into the store, all of them or none. Raises BadInput; the store is then as it was before."""
    places = {"orders": orders, "events": events, "customers": customers, "products": products}
    given = {table: str(place) for table, place in places.items() if place}
    if not given:
        raise BadInput(f"nothing to import; name a file of {', '.join(REQUIRED)}")
    maps = column_maps(preset, columns)
    tell = progress or (lambda stage, done, total: None)
    start, now = time.monotonic(), time.time_ns() // 1000
    with workbench() as (bench, folder):
        checked = {}
        for place, (table, file) in enumerate(given.items()):
            tell(f"reading {table}", place, len(given))
            rates = _rates(store, settings, maps[0].currency)
            codes = [rates.currency, *rates.rates] if rates.currency else None
            checked[table] = check_file(bench, folder, file, table, maps, codes, to_text(now))
        pending = _write_rejects(bench, checked, Path(rejects)) if rejects else None
        report = _store(bench, store, settings, checked, now, tell)
        if pending:
            pending.replace(Path(str(rejects)))
    return ImportReport(**report, rejects_file=Path(rejects) if rejects else None, seconds=time.monotonic() - start)


def _rates(store: Store, settings: Settings, preset: str | None) -> Rates:
    currency = store.currency or preset or ""
    return Rates(currency.upper(), {code.upper(): rate for code, rate in settings.rates.items()})


def _store(
    bench: DuckDBPyConnection, store: Store, settings: Settings, checked: Mapping[str, Checked], now: int, tell: Tell
) -> dict:
    """All writes, in one transaction."""
    orders, events, excluded, people, products = Tally(), Tally(), 0, 0, 0
    with store.writing() as connection:
        _fix_zone(store, settings, connection, checked)
        zone = writing.meta(connection, "timezone") or settings.timezone
        gate = Gate.of(connection, settings)
        if "products" in checked:
            products = sum(writing.update_products(connection, rows) for rows in _rows(bench, checked["products"]))
        if "customers" in checked:
            rows = _rows(bench, checked["customers"])
            people = sum(add_customers(connection, part, gate, settings) for part in rows)
        if "orders" in checked:
            excluded += bulk.excluded_lines(bench, connection, checked["orders"], gate)
            rates = _rates(store, settings, checked["orders"].map.currency)
            orders = bulk.add_lines(bench, connection, checked["orders"], rates, zone, now, tell)
        if "events" in checked:
            excluded += bulk.excluded_lines(bench, connection, checked["events"], gate)
            events = bulk.add_events(bench, connection, checked["events"], zone, now, tell)
    return {
        "read": {table: _read(bench, one) for table, one in checked.items()},
        "orders": orders,
        "events": events,
        "rejected": {table: rejected(bench, one) for table, one in checked.items()},
        "excluded": excluded,
        "renamed": {table: one.renamed for table, one in checked.items()},
        "unread": {table: one.unread for table, one in checked.items()},
        "people": people,
        "products": products,
    }


def _fix_zone(store: Store, settings: Settings, connection: Connection, checked: Mapping[str, Checked]) -> None:
    """The settings decide; the preset or map where they are silent."""
    preset = next((one.map for table, one in checked.items() if table == "orders"), None)
    zone = settings.timezone if "timezone" in settings.model_fields_set or not preset else preset.timezone
    currency = settings.currency or (preset.currency if preset else None)
    store.fix_zone(connection, zone, currency)


def _rows(bench: DuckDBPyConnection, checked: Checked) -> Iterator[list[dict]]:
    """Good lines of a small table as plain rows, a slice at a time."""
    names = ", ".join('"' + name + '"' for name in checked.columns)
    query = f"SELECT {names} FROM {checked.name} WHERE problem IS NULL ORDER BY line"
    for batch in bench.sql(query).to_arrow_reader(_ROWS):
        yield batch.to_pylist()


def _read(bench: DuckDBPyConnection, checked: Checked) -> int:
    """Lines of the file; a preset that reshapes may make several of one."""
    lines = "DISTINCT line" if checked.map.reshape else "*"
    return bench.execute(f"SELECT count({lines}) FROM {checked.name}").fetchall()[0][0] + len(checked.skipped)


def _write_rejects(bench: DuckDBPyConnection, checked: Mapping[str, Checked], path: Path) -> Path:
    """A file beside `path` with every rejected line, to be renamed when the store is written."""
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("w", encoding="utf-8", newline="") as stream:
            out = csv.writer(stream)
            out.writerow(["line", "column", "reason", "table"])
            for table, one in checked.items():
                out.writerows((*row, table) for row in _rejects(bench, one))
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        part.unlink(missing_ok=True)
        raise BadInput(f"rejects file {path}: {error.strerror}") from None
    return part


def _rejects(bench: DuckDBPyConnection, checked: Checked) -> Iterator[tuple[int, str, str]]:
    yield from checked.skipped
    query = f"SELECT line, problem FROM {checked.name} WHERE problem IS NOT NULL ORDER BY line"
    for batch in bench.sql(query).to_arrow_reader(_ROWS):
        for line, problem in zip(batch["line"].to_pylist(), batch["problem"].to_pylist(), strict=True):
            yield line, checked.checks[problem].column, checked.checks[problem].reason
