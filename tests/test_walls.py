"""The walls of the house: which room may know which, and who may talk to MLflow and BentoML."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "histories": {"histories"},
    "features": {"features", "histories"},
    "models": {"models", "features", "histories"},
    "engines": {"engines", "features", "histories"},
    "training": {"training", "engines", "models", "features", "histories"},
    "service": {"service", "engines", "models", "features", "histories"},
    "simulator": {"simulator", "histories"},
    "demo": {"demo", "simulator", "histories"},
    "regulars": {
        *("regulars", "demo", "simulator", "training", "service", "engines", "models", "features", "histories")
    },
}
# Library -> room -> how many of its files may import it; a room that is not named may not at all.
GUARDED = {
    "mlflow": {"training": 1, "service": 1},
    "bentoml": {"service": 1},
    "lightgbm": {"models": 99, "training": 99},
    "pyspark": {"engines": 1},
}
PICKLES = {"pickle", "cPickle", "joblib", "cloudpickle", "dill", "shelve", "marshal"}
CLOCKS = {("time", "time"), ("datetime", "now"), ("datetime", "utcnow"), ("date", "today"), ("datetime", "today")}


def files(root: Path) -> Iterator[tuple[str, Path]]:
    """(room, file) of every module that is shipped."""
    for room in MAY_IMPORT:
        single = root / f"{room}.py"
        yield from ((room, path) for path in ([single] if single.exists() else sorted((root / room).rglob("*.py"))))


def imports(tree: ast.AST) -> Iterator[str]:
    """Dotted names of everything imported at any depth, import_module("...") included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module or ''}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and _name(node.func) in {"import_module", "__import__"}:
            yield from (str(arg.value) for arg in node.args[:1] if isinstance(arg, ast.Constant))


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def breaches(root: Path) -> list[str]:
    """One line for every hole in a wall."""
    found, guarded = [], {name: dict[str, list[str]]() for name in GUARDED}
    for room, path in files(root):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        where = path.relative_to(root).as_posix()
        known = {name.split(".")[0] for name in imports(tree)}
        found += [f"{where} imports {name}" for name in sorted(known & set(MAY_IMPORT) - MAY_IMPORT[room])]
        found += [f"{where} imports {name}" for name in sorted(known & PICKLES)]
        for name in known & set(GUARDED):
            guarded[name].setdefault(room, []).append(where)
        if room in ("features", "models"):
            found += [f"{where} reads the clock in line {line}" for line in _clock_reads(tree)]
    for name, rooms in guarded.items():
        for room, wheres in rooms.items():
            if len(wheres) > GUARDED[name].get(room, 0):
                found.append(f"{name} is imported by {', '.join(wheres)}")
    return found


def _clock_reads(tree: ast.AST) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and (_name(node.value), node.attr) in CLOCKS:
            yield node.lineno


def calls_of_pieces(root: Path) -> list[str]:
    """One line for every call of a compiled piece by a function that is not compiled: it would crash the process."""
    paths = [*(path for _, path in files(root)), *sorted((root / "tests").glob("*.py"))]
    trees = {path.relative_to(root).with_suffix(""): ast.parse(path.read_text()) for path in paths}
    functions = {path: [n for n in tree.body if isinstance(n, ast.FunctionDef)] for path, tree in trees.items()}
    pieces = {path: {f.name for f in some if _decorators(f) & {"piece", "lean"}} for path, some in functions.items()}
    found = []
    for path, tree in trees.items():
        known = pieces[path] | {
            alias.asname or alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
            if alias.name in pieces.get(Path(*(node.module or "").split(".")), ())
        }
        known -= _assigned(tree)  # tests go through tests/pieces.py
        plain = [n for n in tree.body if not _decorators(n) & {"piece", "lean", "compiled"}]
        calls = [call for node in plain for call in ast.walk(node) if isinstance(call, ast.Call)]
        found += [f"{path} calls {c.func.id}" for c in calls if isinstance(c.func, ast.Name) and c.func.id in known]
    return found


def _assigned(tree: ast.Module) -> set[str]:
    """Names that a module gives another meaning."""
    targets = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
    return {name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}


def _decorators(node: ast.stmt) -> set[str]:
    made = getattr(node, "decorator_list", [])
    return {_name(each.func if isinstance(each, ast.Call) else each) for each in made}


def test_the_walls_stand() -> None:
    assert breaches(ROOT) == []


def test_python_calls_no_piece_of_compiled_code() -> None:
    assert calls_of_pieces(ROOT) == []


def test_a_call_of_a_piece_is_seen(tmp_path: Path) -> None:
    for room in ("features", "models", "tests"):
        (tmp_path / room).mkdir()
    (tmp_path / "features/a.py").write_text("@piece\ndef part(): ...\n\n\n@compiled\ndef whole():\n    part()\n")
    (tmp_path / "models/b.py").write_text("from features.a import part, whole\n\ndef f():\n    whole(part())\n")
    (tmp_path / "tests/c.py").write_text("from features.a import part\n\ndef test_part():\n    part()\n")
    (tmp_path / "tests/d.py").write_text("from features.a import part\n\npart = door(part)\n\ndef f():\n    part()\n")
    assert calls_of_pieces(tmp_path) == ["models/b calls part", "tests/c calls part"]


@pytest.mark.parametrize(
    ("file", "code", "breach"),
    [
        ("histories/a.py", "from features.customers import x", "histories/a.py imports features"),
        ("features/a.py", "def f():\n    import models.churn", "features/a.py imports models"),
        ("models/a.py", "import mlflow", "mlflow is imported by models/a.py"),
        ("models/a.py", "import bentoml", "bentoml is imported by models/a.py"),
        ("service/a.py", "from pyspark.sql import SparkSession", "pyspark is imported by service/a.py"),
        ("features/a.py", "import lightgbm", "lightgbm is imported by features/a.py"),
        ("training/a.py", "from service import client", "training/a.py imports service"),
        ("service/a.py", "from training.train import train", "service/a.py imports training"),
        (
            "service/a.py",
            "import importlib\nimportlib.import_module('training.train')",
            "service/a.py imports training",
        ),
        ("models/a.py", "from joblib import load", "models/a.py imports joblib"),
        ("regulars.py", "import pickle", "regulars.py imports pickle"),
        ("demo.py", "import training", "demo.py imports training"),
        ("features/a.py", "import time\nnow = time.time()", "features/a.py reads the clock in line 2"),
        ("models/a.py", "from datetime import datetime\n\nx = datetime.now()", "models/a.py reads the clock in line 3"),
    ],
)
def test_a_hole_is_seen(tmp_path: Path, file: str, code: str, breach: str) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(code)
    assert breaches(tmp_path) == [breach]


def test_a_second_file_that_talks_to_mlflow_is_seen(tmp_path: Path) -> None:
    (tmp_path / "training").mkdir()
    (tmp_path / "training/a.py").write_text("import mlflow")
    assert breaches(tmp_path) == []
    (tmp_path / "training/b.py").write_text("from mlflow.tracking import MlflowClient")
    assert breaches(tmp_path) == ["mlflow is imported by training/a.py, training/b.py"]


def test_someone_talks_to_them() -> None:
    """The walls would stand around an empty house, too."""
    known = {(room, name.split(".")[0]) for room, path in files(ROOT) for name in imports(ast.parse(path.read_text()))}
    assert {("training", "mlflow"), ("service", "mlflow"), ("service", "bentoml")} <= known


def test_importing_does_nothing(tmp_path: Path) -> None:
    """No file, no output and no heavy start: the rooms that every command loads stay clear of MLflow."""
    code = "import regulars, histories.settings, features, models, sys; assert 'mlflow' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []
