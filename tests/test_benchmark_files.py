"""What the benchmarks are given: odd files end in one line that says what is wrong, or in what can be used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.baskets import read_split
from benchmarks.customer_value import main
from benchmarks.orders import read_history

USERS = {"u1": [[1, 2], [], [2]], "u2": [["1"], [3, 3]], "u3": [[1]], "u4": []}


def put(folder: Path, name: str, content: object) -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def test_orders_are_read_as_an_import_reads_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = 'Customer ID,Timestamp,Amount\n00017,31/12/2023,"1.234,50 €"\n00017,30/12/2023,soon\n18,1/12/2023,"2,5"\n'
    history = read_history(put(tmp_path, "orders.csv", lines), None)
    assert list(history.customer_id) == ["00017", "18"]
    assert history.lines.amount.tolist() == [1234.5, 2.5]
    assert "orders.csv: 1 lines left out: Amount is not a number" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "cutoff", "said"),
    [
        ("who,timestamp\nc1,2024-01-01\n", "2024-01-01", "no column for customer_id; the file has who, timestamp"),
        ("customer_id,timestamp\n", "2024-01-01", "has no lines under its header"),
        ("customer_id,timestamp\nc1,2024-01-01\nc1,2024-03-01\n", "2024-03-01", "leaves nothing before or after it"),
        ("customer_id,timestamp,quantity\nc1,2024-01-01,-1\nc1,2024-03-01,-1\n", "2024-02-01", "no purchase in the"),
    ],
)
def test_orders_that_cannot_be_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, cutoff: str, said: str
) -> None:
    path = put(tmp_path, "orders.csv", content)
    assert main(["--orders", str(path), "--cutoff", cutoff, "--horizon-days", "30"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_baskets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = put(tmp_path, "baskets.json", USERS)
    split = read_split(path, None)
    assert (len(split.histories), len(split.scored), split.items) == (3, 2, 4)  # 1 and "1" are two items
    users = put(tmp_path, "users.json", {"test": ["u1", "nobody"]})
    assert len(read_split(path, users).scored) == 1
    assert "1 of 2 test users have no baskets" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("baskets", "users", "said"),
    [
        ("{", None, "not JSON"),
        ([1], None, "expected an object of users"),
        ({"u1": [1, 2]}, None, "entry 1 is no list of baskets"),
        ({"u1": [[1], [1.5]]}, None, "entry 1 is no list of baskets"),
        ({"u1": None}, None, "entry 1 is no list of baskets"),
        ({"u1": [[1, 2]]}, None, "no user with two baskets to score"),
        (USERS, {"train": ["u1"]}, 'has no list "test"'),
        (USERS, {"test": ["nobody", "u3"]}, "no user with two baskets to score"),
    ],
)
def test_baskets_that_cannot_be_scored(tmp_path: Path, baskets: object, users: object, said: str) -> None:
    path = put(tmp_path, "baskets.json", baskets)
    with pytest.raises(ValueError, match=said):
        read_split(path, put(tmp_path, "users.json", users) if users else None)
