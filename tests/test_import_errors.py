"""Every kind of unusable file: a one-line error or a reject, and the store as it was."""

from __future__ import annotations

import csv
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest

from histories.errors import BadInput
from histories.importing.importer import ImportReport, import_files
from histories.settings import Settings
from histories.storage.store import Store

HEADER = "customer_id,occurred_at,order_id,product_id,quantity,unit_price\n"
GOOD = HEADER + "c1,2024-01-05 10:00:00,o1,A,2,3.50\nc2,2024-01-06 11:00:00,o2,B,1,4.00\n"


@pytest.fixture
def store(open_store: Callable[..., Store]) -> Store:
    return open_store(timezone="Europe/London", erasure_key="k")


def bring(store: Store, path: Path | str, **given: object) -> ImportReport:
    return import_files(store, store.settings, orders=str(path), **given)  # type: ignore[arg-type]


def written(tmp_path: Path, content: str | bytes, name: str = "orders.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def rejects(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.reader(stream))[1:]


def refused(store: Store, path: Path | str, match: str, **given: object) -> None:
    """A one-line error, and the store as it was before."""
    before = store.digest(), store.version(), store.counts()
    with pytest.raises(BadInput, match=match) as caught:
        bring(store, path, **given)
    assert "\n" not in str(caught.value)
    assert (store.digest(), store.version(), store.counts()) == before


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("", "is empty"),
        ("\n\n", "no column names"),
        (HEADER, "no lines under its header"),
        ("who,when\nc1,2024-01-01\n", "no column for customer_id.*the file has who, when"),
        ("customer_id,customer_id\nc1,c1\n", "'customer_id' is there twice"),
        ("customer_id,occurred_at\nc1,13/01/2024\nc1,01/13/2024\n", "mixed date formats, day first in line 2"),
        ("customer_id,occurred_at\nc1,03/04/2024\nc1,05/06/2024\n", "cannot be told apart"),
        ("customer_id,occurred_at\nc1,soon\n", "no date could be read"),
        ("customer_id,occurred_at,quantity\nc1,2024-01-01,many\n", "none of 1 lines can be used.*not a number"),
    ],
)
def test_unusable_text(store: Store, tmp_path: Path, content: str, match: str) -> None:
    bring(store, written(tmp_path, GOOD, "good.csv"))
    refused(store, written(tmp_path, content), match)


def test_a_directory_and_a_missing_file(store: Store, tmp_path: Path) -> None:
    refused(store, written(tmp_path, GOOD, "orders.md").parent, r"holds no \.csv, ")
    refused(store, tmp_path / "none.csv", "no such file")


def test_a_truncated_parquet_and_one_that_is_none(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "orders.parquet"
    pd.DataFrame({"customer_id": ["c1"] * 1000, "occurred_at": pd.Timestamp("2024-01-01")}).to_parquet(path)
    path.write_bytes(path.read_bytes()[:-200])
    refused(store, path, "not a whole Parquet file")
    refused(store, written(tmp_path, GOOD, "text.parquet"), "not a whole Parquet file")
    refused(store, written(tmp_path, b"PK\x03\x04 etc", "sheet.csv"), "is no text")
    refused(store, written(tmp_path, GOOD, "text.xlsx"), "not a whole spreadsheet")


def test_unknown_preset_and_map(store: Store, tmp_path: Path) -> None:
    good = written(tmp_path, GOOD)
    refused(store, good, "preset 'magento' is unknown; there are online-retail", preset="magento")
    refused(store, good, "column 'InvoiceDate'.*is missing; the file has customer_id", preset="online-retail")
    refused(store, good, "no such file", columns=str(tmp_path / "none.toml"))
    refused(store, good, "one is unknown", columns=str(written(tmp_path, "[orders]\none = 'two'", "map.toml")))
    refused(store, good, "not both", preset="shopify", columns="x.toml")


def test_bad_lines_are_rejected_by_line_column_and_reason_without_their_value(store: Store, tmp_path: Path) -> None:
    lines = (
        "c1,2024-01-05,o1,A,2,3.5\n,2024-01-05,o1,A,1,1\nc2,2024-01-05,o2,A,secret,1\nc2,secret,o2,A,1,1\n"
        "c3,2024-01-05,o3,A,1,0\nc3,2024-01-05,o3\nc3,2024-01-05,o3,A,0,2\nc3,2024-01-05,o3,A,1,-2\n"
        "c4,2024-01-05,o4,A,nan,inf\nc4,1924-01-05,o4,A,1,1\n"
    )
    out = tmp_path / "rejects.csv"
    report = bring(store, written(tmp_path, HEADER + lines), rejects=out)
    assert report.orders.purchases == 1
    found = sorted(rejects(out), key=lambda row: int(row[0]))
    assert [row[:2] for row in found] == [
        ["3", "customer_id"],
        ["4", "quantity"],
        ["5", "occurred_at"],
        ["6", "unit_price"],
        ["7", "product_id"],
        ["8", "quantity"],
        ["9", "unit_price"],
        ["10", "unit_price"],
        ["11", "occurred_at"],
    ]
    assert found[0][2:] == ["is missing", "orders"]
    assert found[4][2] == "too few fields"
    assert "secret" not in out.read_text() + str(report)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_encodings(store: Store, tmp_path: Path, encoding: str) -> None:
    content = "customer_id,occurred_at,product_name,product_id\nc1,2024-01-05,Müller café,A\n"
    bring(store, written(tmp_path, content.encode(encoding)))
    assert store.catalog().name.tolist() == ["Müller café"]


def test_a_rejects_file_that_cannot_be_written(store: Store, tmp_path: Path) -> None:
    refused(store, written(tmp_path, GOOD), "rejects file", rejects=tmp_path / "no folder" / "r.csv")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_under_the_rejects_file(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "with_name", lambda self, name: Path("/dev/full"))
    monkeypatch.setattr(Path, "unlink", lambda self, missing_ok: None)
    refused(store, written(tmp_path, GOOD), "No space left", rejects=tmp_path / "r.csv")


def test_a_full_disk_under_the_store(store: Store, tmp_path: Path) -> None:
    if store.engine.dialect.name != "sqlite":
        pytest.skip("the size of a PostgreSQL database cannot be capped by the test")
    bring(store, written(tmp_path, GOOD, "good.csv"))
    rows = "".join(f"c{i},2024-01-05,o{i},P{i},1,1\n" for i in range(5_000))
    with store.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    store.close()

    def cap(raw, _record) -> None:  # type: ignore[no-untyped-def]
        raw.execute(f"PRAGMA max_page_count = {pages + 2}")

    import sqlalchemy as sa

    sa.event.listen(store.engine, "connect", cap)
    refused(store, written(tmp_path, HEADER + rows), "full")


def test_an_import_that_dies_leaves_the_store_as_it_was(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring(store, written(tmp_path, GOOD, "good.csv"))
    before = store.digest(), store.counts()
    monkeypatch.setattr("histories.importing.bulk._describe_products", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        bring(store, written(tmp_path, HEADER + "c9,2024-02-01,o9,Z,1,1\n"))
    assert (store.digest(), store.counts()) == before


def test_a_store_that_cannot_be_opened(tmp_path: Path) -> None:
    for url in (f"sqlite:///{tmp_path}", "sqlite://", "nonsense", "mongodb://x/y"):
        with pytest.raises(BadInput, match="store"):
            Store.open(url, Settings())
    with pytest.raises(BadInput, match="not a database"):
        Store.open(f"sqlite:///{written(tmp_path, 'not a database at all' * 100, 'x.db')}", Settings())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small disk, and not everywhere")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.prove
@pytest.mark.parametrize("what", ["store", "temporary files"])
def test_a_disk_that_is_full(small_disk: Path, tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = small_disk if what == "store" else tmp_path
    if what == "temporary files":
        monkeypatch.setattr(tempfile, "tempdir", str(small_disk))
    rows = "".join(f"customer {i},2024-01-05,order {i},product {i},1,1\n" for i in range(60_000))
    with closing(Store.open(f"sqlite:///{folder}/shop.db", Settings())) as store:
        if what == "store":
            bring(store, written(tmp_path, GOOD, "good.csv"))
        refused(store, written(tmp_path, HEADER + rows), "full" if what == "store" else "no space left on the disk")
