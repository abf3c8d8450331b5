"""Files as people export them: titles, packings, dates and amounts of all kinds are read as meant, or refused."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from histories.clock import to_text
from histories.errors import BadInput
from histories.importing.files import workbench
from histories.importing.importer import import_files
from histories.importing.mapping import check_file
from histories.importing.presets import ColumnMap
from histories.storage.store import Store
from tests.test_import_presets import SHOPIFY

LINES = "customer_id,occurred_at,amount\nc1,2024-01-05 10:00:00,3.50\nc2,2024-02-06 11:00:00,4.25\n"

NOONS = [datetime(2024, 1, 5, 12, tzinfo=UTC), datetime(2024, 2, 6, 12, tzinfo=UTC)]


def read(tmp_path: Path, content: str | bytes, name: str = "orders.csv", **form: str) -> list[dict[str, object]]:
    """The good lines of a file, as the store would get them."""
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return checked(path, **form)


def checked(place: Path | str, **form: str) -> list[dict[str, object]]:
    with workbench() as (bench, folder):
        check_file(bench, folder, str(place), "orders", [ColumnMap(**form)], None, "2026-01-01")  # type: ignore[arg-type]
        rows = bench.execute("SELECT * FROM orders WHERE problem IS NULL ORDER BY line")
        names = [column[0] for column in rows.description]
        return [dict(zip(names, row, strict=True)) for row in rows.fetchall()]


def dates(tmp_path: Path, *texts: str, delimiter: str = ";") -> list[str]:
    body = "".join(f"c1{delimiter}{text}\n" for text in texts)
    rows = read(tmp_path, f"customer_id{delimiter}occurred_at\n{body}")
    return [to_text(int(str(row["occurred_at"]))) for row in rows]


def amounts(tmp_path: Path, *texts: str, **form: str) -> list[object]:
    body = "".join(f"c1|2024-01-05|{text}\n" for text in texts)
    return [row["amount"] for row in read(tmp_path, f"customer_id|occurred_at|amount\n{body}", **form)]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("20240131", "2024-01-31T00:00:00Z"),
        ("20240131T101500Z", "2024-01-31T10:15:00Z"),
        ("20240131101500", "2024-01-31T10:15:00Z"),
        ("1706696100", "2024-01-31T10:15:00Z"),
        ("1706696100000", "2024-01-31T10:15:00Z"),
        ("1706696100000000", "2024-01-31T10:15:00Z"),
        ("45322", "2024-01-31T00:00:00Z"),
        ("2024.01.31", "2024-01-31T00:00:00Z"),
        ("31.01.2024, 10:15", "2024-01-31T10:15:00Z"),
        ("01/31/2024, 10:15 AM", "2024-01-31T10:15:00Z"),
        ("31 January 2024", "2024-01-31T00:00:00Z"),
        ("31-Jan-24", "2024-01-31T00:00:00Z"),
        ("2024-01-31T10:15:00+02:00", "2024-01-31T08:15:00Z"),
        ("Wed, 31 Jan 2024 10:15:00 +0200", "2024-01-31T08:15:00Z"),
        ("Wed Jan 31 2024 10:15:00 GMT+0200 (Central European Summer Time)", "2024-01-31T08:15:00Z"),
    ],
)
def test_dates(tmp_path: Path, text: str, meant: str) -> None:
    assert dates(tmp_path, text) == [meant]


@pytest.mark.parametrize(
    ("texts", "meant"),
    [
        (["€1.234,50", "€12,00"], [1234.5, 12.0]),
        (["1.234,50 €", "-3,5 €", "7 €"], [1234.5, -3.5, 7.0]),
        (["$1,234.50", "-$2.00", "(12.50)"], [1234.5, -2.0, -12.5]),
        (["USD 1,234.50", "3 USD"], [1234.5, 3.0]),
        (["1 234,50", "1\u202f234,50"], [1234.5, 1234.5]),
        (["1'234.50", "2"], [1234.5, 2.0]),
        (["1,234,567", "1.5"], [1234567.0, 1.5]),
        (["12,5", "0,250"], [12.5, 0.25]),
        (["1.250", "12"], [1.25, 12.0]),  # as programs write it
        (["1e3", "NULL", "2"], [1000.0, None, 2.0]),
        (["1e3", "$2.50"], [1000.0, 2.5]),
        (["12,50", "12.50", "1,5"], [12.5, 1.5]),  # one of them is none
        (["12abc", "0x10", "1_000", "5%", "3"], [3.0]),
    ],
)
def test_amounts(tmp_path: Path, texts: list[str], meant: list[float | None]) -> None:
    assert amounts(tmp_path, *texts) == pytest.approx(meant)


def test_amounts_that_could_be_a_thousand_times_as_much_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"'amount': decimals and thousands cannot be told apart \(line 3\); set"):
        amounts(tmp_path, "999", "1,234")
    assert amounts(tmp_path, "999", "1,234", decimal=".") == [999.0, 1234.0]
    assert amounts(tmp_path, "999", "1,234", decimal=",") == [999.0, 1.234]
    # Where another column of the file shows it, there is nothing to ask.
    rows = read(tmp_path, "customer_id;date;quantity;price\nc1;2024-01-05;1,500;2,25\nc1;2024-01-06;1.000;3,5\n")
    assert [(row["quantity"], row["unit_price"]) for row in rows] == [(1.5, 2.25), (1000.0, 3.5)]
    with pytest.raises(BadInput, match="amounts in 2 currencies"):
        amounts(tmp_path, "€3,50", "$4.25")


@pytest.mark.parametrize(
    "above",
    ["Orders of 2024\n\n", "\n\n", "# made by hand\n", "Orders,,\n,,\n", '"Orders, of 2024",,\n', "sep=,\n", "\ufeff"],
)
def test_what_stands_above_the_column_names(tmp_path: Path, above: str) -> None:
    rows = read(tmp_path, above + LINES)
    first = 2 + above.count("\n")
    assert [(row["line"], row["amount"]) for row in rows] == [(first, 3.5), (first + 1, 4.25)]


def test_lines_are_counted_from_the_top_of_the_file(tmp_path: Path) -> None:
    rows = read(tmp_path, "Orders\n\n" + LINES + "c3\nc4,2024-01-05,1\n")
    assert [row["line"] for row in rows] == [4, 5, 7]


def test_a_spreadsheet_with_a_title(tmp_path: Path) -> None:
    path = tmp_path / "orders.xlsx"
    frame = pd.DataFrame(
        {"Customer ID": [12345.0], "Order Date": [pd.Timestamp("2024-01-05")], "Total": ["1.234,50 €"]}
    )
    with pd.ExcelWriter(path) as book:
        pd.DataFrame().to_excel(book, sheet_name="Read me")
        frame.to_excel(book, sheet_name="Orders", startrow=3, index=False)
        book.sheets["Orders"]["A1"] = "Orders of 2024"
    (row,) = checked(f"{path}#Orders")
    assert (row["line"], row["customer_id"], row["amount"]) == (5, "12345", 1234.5)
    with pytest.raises(BadInput, match=r"none\.xlsx: no such file"):
        checked(f"{tmp_path}/none.xlsx#Orders")
    with pytest.raises(BadInput, match=r"orders.xlsx#Read me \(of Read me, Orders\)"):
        checked(path)


def test_packed_files_and_both_kinds_of_line_ends(tmp_path: Path) -> None:
    packed = gzip.compress(LINES.replace("c2", "Zoë").encode("cp1252"))
    assert [row["customer_id"] for row in read(tmp_path, packed, "orders.csv.gz")] == ["c1", "Zoë"]
    with pytest.raises(BadInput, match="is not a whole gzip file"):
        read(tmp_path, packed[:-12], "orders.csv.gz")
    assert len(read(tmp_path, LINES, "not packed.csv.gz")) == 2
    assert len(read(tmp_path, LINES.replace("50\n", "50\r\n"))) == 2
    assert len(read(tmp_path, LINES.encode("utf-32"))) == 2


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (LINES.replace("c2", "c\0"), r"line 3 holds a zero byte"),
        (LINES + 'c3,"2024-01-05,1\n' + LINES * 20, r"line 4: a quote is opened and not closed"),
        ('[{"customer_id": "c1"}]', "is JSON; write it as CSV or Parquet"),
        ("<html><table>", "is HTML or XML"),
        ("x" * 200_000 + ",y\n", "no column names can be read: field larger"),
        (LINES.partition("\n")[2], "its first line holds data, not the names of columns"),
        ("bob@shop.example,soon\n" * 2, "its first line holds data"),
    ],
)
def test_what_is_no_csv_says_so_and_repeats_nothing(tmp_path: Path, content: str, match: str) -> None:
    with pytest.raises(BadInput, match=match) as caught:
        read(tmp_path, content)
    assert "c1" not in str(caught.value).replace(str(tmp_path), "")
    assert "bob" not in str(caught.value).replace(str(tmp_path), "")


@pytest.mark.parametrize(
    "names",
    [
        "Customer ID,Order Date,Total",
        "customerId,orderDate,totalAmount",
        "CustomerNo.,Invoice Date,Line Total",
        "E-mail,Created At,Amount",
        "cust_id,purchase_date,revenue",
    ],
)
def test_column_names(tmp_path: Path, names: str) -> None:
    rows = read(tmp_path, names + "\n" + LINES.partition("\n")[2])
    assert [(row["customer_id"], row["amount"]) for row in rows] == [("c1", 3.5), ("c2", 4.25)]


def test_what_programs_write_where_there_is_nothing_is_nobody(tmp_path: Path) -> None:
    nobody = "".join(f"{name},2024-01-05,1\n" for name in ("NULL", "None", "\\N", "<NA>", "N/A", "nan", "\u00a0"))
    assert [row["customer_id"] for row in read(tmp_path, LINES + nobody + "NA,2024-01-05,1\n")] == ["c1", "c2", "NA"]


def orders(when: pa.Array) -> pa.Table:
    return pa.table(
        {
            "customer_id": pa.array(["c1", "c2"]).dictionary_encode(),
            "occurred_at": when,
            "amount": pa.array([Decimal("3.50"), Decimal("4.25")], pa.decimal128(12, 2)),
        }
    )


def test_types_of_parquet(tmp_path: Path) -> None:
    table = orders(pa.array(NOONS, pa.timestamp("ns", tz="Europe/Berlin")))
    pq.write_table(table, tmp_path / "orders.parquet")
    rows = checked(tmp_path / "orders.parquet")
    assert [(row["customer_id"], row["amount"]) for row in rows] == [("c1", 3.5), ("c2", 4.25)]
    assert to_text(rows[0]["occurred_at"]) == "2024-01-05T12:00:00Z"  # type: ignore[arg-type]
    pq.write_table(table.set_column(0, "customer_id", pa.array([{"id": "c1"}, {"id": "c2"}])), tmp_path / "o.parquet")
    with pytest.raises(BadInput, match=r"column 'customer_id' holds STRUCT\(id VARCHAR\), where one value is wanted"):
        checked(tmp_path / "o.parquet")


def test_a_folder_or_a_pattern_is_one_table(open_store: Callable[..., Store], tmp_path: Path) -> None:
    folder = tmp_path / "exports"
    folder.mkdir()
    (folder / "1.csv").write_text(LINES.rstrip("\n"))
    (folder / "2.csv").write_text(LINES.replace("c1", "c3").replace("\n", "\r\n") + "c4,never,1\r\n")
    store = open_store()
    report = import_files(store, store.settings, orders=str(folder), rejects=tmp_path / "rejects.csv")
    assert (report.orders.lines, store.customer_ids()) == (4, ["c1", "c2", "c3"])
    assert (tmp_path / "rejects.csv").read_text().splitlines()[1].startswith("6,occurred_at,")
    again = import_files(store, store.settings, orders=str(folder / "*.csv"))
    assert again.orders.new == 0
    (folder / "3.csv").write_text("customer_id,occurred_at,price\nc1,2024-01-05,1\n")
    with pytest.raises(BadInput, match=r"3\.csv: has other columns than .*1\.csv; import them one by one"):
        checked(folder)
    table = orders(pa.array(NOONS))
    for part in (1, 2):
        pq.write_table(table, tmp_path / f"part-{part}.parquet")
    assert [row["line"] for row in checked(tmp_path / "part-*.parquet")] == [1, 2, 3, 4]
    pq.write_table(table, folder / "4.parquet")
    with pytest.raises(BadInput, match="holds both Parquet and CSV files"):
        checked(folder)
    with pytest.raises(BadInput, match="no such file"):
        checked(tmp_path / "none*.csv")


def test_the_report_says_what_was_taken_for_what(open_store: Callable[..., Store], tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text("Customer ID,Order Date,Price (USD),Note\nc1,2024-01-05,3,x\n")
    store = open_store()
    report = import_files(store, store.settings, orders=str(path)).text()
    assert "customer_id from 'Customer ID', occurred_at from 'Order Date'\n" in report
    assert "not read: Price (USD), Note\n" in report


def test_what_is_read_of_other_tables_is_not_called_unread(open_store: Callable[..., Store], tmp_path: Path) -> None:
    files = {
        "orders": SHOPIFY.replace("Lineitem sku", "LINEITEM SKU"),
        "events": "customer_id,kind,occurred_at,Note\nc1,view,2024-01-05,x\n",
        "customers": "customer_id,region\nc1,north\n",
        "products": "product_id,price,Note\np1,2,x\n",
    }
    for table, content in files.items():
        (tmp_path / f"{table}.csv").write_text(content)
    store = open_store()
    places = {table: str(tmp_path / f"{table}.csv") for table in files}
    unread = import_files(store, store.settings, **places).unread  # type: ignore[arg-type]
    known = {"events": ["Note"], "customers": [], "products": ["Note"]}
    assert {table: list(names) for table, names in unread.items() if table != "orders"} == known
    assert "LINEITEM SKU" not in unread["orders"]


def test_exports_that_reshape_are_known_without_a_preset(open_store: Callable[..., Store], tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    path.write_text(SHOPIFY)
    store = open_store()
    report = import_files(store, store.settings, orders=str(path))
    assert (report.orders.purchases, report.orders.returns) == (4, 2)
    assert store.customer_ids() == ["ann@example.com", "bob@example.com"]
