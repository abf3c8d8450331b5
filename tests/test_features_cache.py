"""The compile cache: reused between processes, and never yesterday's code."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numba as nb
import pytest

from histories.compiled import compiled, sources

ROOT = Path(__file__).parents[1]

TOY = """
from histories.compiled import compiled
from toy.constants import FACTOR

@compiled
def scaled(value):
    return value * FACTOR
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A project with this compile cache, one compiled function, and a constant in another file."""
    (tmp_path / "toy").mkdir()
    (tmp_path / "histories").mkdir()
    for package in ("toy", "histories"):
        (tmp_path / package / "__init__.py").touch()
    shutil.copy(ROOT / "histories" / "compiled.py", tmp_path / "histories")
    (tmp_path / "toy" / "constants.py").write_text("FACTOR = 2\n")
    (tmp_path / "toy" / "function.py").write_text(TOY)
    return tmp_path


def scaled(tree: Path, cache: Path) -> int:
    code = "from toy.function import scaled; import sys; sys.stdout.write(str(scaled(21)))"
    run = subprocess.run([sys.executable, "-c", code], cwd=tree, env=environment(cache), capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return int(run.stdout)


def environment(cache: Path) -> dict[str, str]:
    return os.environ | {"REGULARS_CACHE": str(cache)}


def test_an_edit_of_another_file_is_seen_and_unchanged_code_is_reused(tree):
    cache = tree / "cache"
    assert scaled(tree, cache) == 42
    kept = sorted(cache.rglob("*.nbc"))
    assert len(kept) == 1
    stamp = kept[0].stat().st_mtime_ns
    assert scaled(tree, cache) == 42
    assert kept[0].stat().st_mtime_ns == stamp
    (tree / "toy" / "constants.py").write_text("FACTOR = 3\n")
    assert scaled(tree, cache) == 63
    assert len(list(cache.rglob("*.nbc"))) == 2


def test_a_damaged_file_costs_only_time(tree):
    cache = tree / "cache"
    assert scaled(tree, cache) == 42
    for file in cache.rglob("*.nbc"):
        file.write_bytes(b"")
    assert scaled(tree, cache) == 42


def test_without_a_usable_folder_it_compiles_each_time(tree):
    nowhere = tree / "file"
    nowhere.touch()
    assert scaled(tree, nowhere) == 42


def test_threads_that_come_at_once_compile_a_function_of_one_signature_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("histories.compiled._writable", lambda folder: False)
    doubled = compiled(lambda value: value * 2, signature=lambda: (nb.int64,))
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(doubled, range(4))) == [0, 2, 4, 6]
    with pytest.raises(TypeError):
        doubled("text")


def test_every_block_is_among_the_sources_of_the_kernel():
    found = sources(ROOT / "features" / "customers.py", ROOT)
    blocks = set((ROOT / "features" / "blocks").glob("*.py")) - {ROOT / "features" / "blocks" / "__init__.py"}
    assert blocks <= set(found)
    assert {ROOT / "features" / "past.py", ROOT / "histories" / "history.py"} <= set(found)


@pytest.mark.prove
def test_an_edited_block_gives_the_new_value(tmp_path):
    """The whole kernel in a copied tree: half a minute of compiling, twice."""
    for package in ("features", "histories"):
        shutil.copytree(ROOT / package, tmp_path / package)
    code = (
        "from features.customers import NAMES, customer_features; from features.nobody import nobody; import sys;"
        "sys.stdout.write(str(customer_features(nobody(), 0)[0, NAMES.index('as_of_weekday')]))"
    )

    def weekday() -> str:
        run = [sys.executable, "-c", code]
        return subprocess.run(run, cwd=tmp_path, env=environment(tmp_path / "c"), capture_output=True, text=True).stdout

    assert weekday() == "3.0"
    block = tmp_path / "features" / "blocks" / "season.py"
    block.write_text(block.read_text().replace("(past.as_of_day + 3) % 7", "(past.as_of_day + 4) % 7"))
    assert weekday() == "4.0"
