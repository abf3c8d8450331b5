"""The command line: the commands and options of the contract, exit codes, one-line errors, a quick start."""

from __future__ import annotations

import math
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

import progress
import regulars
from histories.errors import Refused

COMMANDS = {
    "demo": {"--once", "--customers", "--port"},
    "simulate": {"--customers", "--seed", "--out"},
    "import": {"--orders", "--preset", "--columns", "--events", "--customers", "--products", "--rejects", "--store"},
    "check": {"--store"},
    "train": {"--horizon-days", "--as-of", "--engine", "--store"},
    "promote": {"--release", "--force", "--store"},
    "retrain": {"--store"},
    "serve": {"--port", "--workers", "--clock", "--store"},
    "score": {"--out", "--as-of", "--since", "--engine", "--store"},
    "export": {"--out", "--store"},
    "features": {"--out", "--as-of", "--engine", "--history", "--store"},
    "outcomes": {"--scores", "--plots", "--store"},
    "retain": {"--days", "--store"},
    "erase": {"--store"},
    "warm-up": set(),
    "keys add": {"--store"},
    "keys list": {"--store"},
    "keys revoke": {"--store"},
}


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, and no settings from the environment."""
    monkeypatch.chdir(tmp_path)
    for name in ("REGULARS_STORE", "REGULARS_TIMEZONE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def promoting(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Have `regulars promote` meet an error."""

    def meet(error: BaseException) -> None:
        def promote(*_: object, **__: object) -> None:
            raise error

        room = types.ModuleType("training.promote")
        room.promote = promote  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "training.promote", room)

    return meet


def _options(name: str) -> set[str]:
    command = typer.main.get_command(regulars.app)
    for word in name.split():
        command = command.commands[word]  # type: ignore[attr-defined]
    return {option for parameter in command.params for option in parameter.opts}


def test_commands_and_options_are_those_of_the_contract() -> None:
    top = typer.main.get_command(regulars.app)
    assert set(top.commands) == {name.split()[0] for name in COMMANDS}  # type: ignore[attr-defined]
    for name, options in COMMANDS.items():
        assert options <= _options(name), name


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["bogus"], "No such command 'bogus'"),
        (["simulate", "--out", "x"], "Missing option '--customers'"),
        (["train", "--horizon-days", "many"], "Invalid value for '--horizon-days'"),
        (["import", "--orders", "no-such-file.csv"], "no-such-file.csv"),
        (["train", "--as-of", "yesterday"], "as_of must be a date"),
        (["train", "--history", "snapshot"], "--history is what --engine spark reads"),
        (["score", "--out", "x.parquet", "--history", "snapshot"], "--history is what --engine spark reads"),
        (["score", "--out", "x.parquet", "--engine", "spark"], "--engine spark writes folders of Parquet files"),
        (["score", "--out", "x/", "--engine", "flink"], "Invalid value for '--engine'"),
        (["features", "--out", "x.csv", "--as-of", "2024-01-01"], "x.csv: name a FILE.parquet"),
        (["simulate", "--customers", "1", "--out", "x", "--until", "soon"], "soon"),
    ],
)
@pytest.mark.usefixtures("elsewhere")
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "_MOMENT_SECONDS", math.inf)  # a busy machine would show that work goes on
    assert regulars.run(arguments) == regulars.BAD_INPUT
    error = capsys.readouterr().err
    assert error.startswith("regulars: ")
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.usefixtures("elsewhere")
def test_a_bad_setting_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("REGULARS_TIMEZONE", "Atlantis")
    assert regulars.run(["promote"]) == regulars.BAD_INPUT
    assert "timezone" in capsys.readouterr().err


@pytest.mark.usefixtures("elsewhere")
def test_a_misspelt_setting_in_the_file_is_named(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (elsewhere / "regulars.toml").write_text('time_zone = "Europe/London"\n')
    assert regulars.run(["promote"]) == regulars.BAD_INPUT
    assert "time_zone" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (ValueError("no release of\nthat id"), regulars.BAD_INPUT, "regulars: no release of that id\n"),
        (Refused("churn is worse"), regulars.REFUSED, "regulars: churn is worse\n"),
        (KeyError("x"), regulars.UNEXPECTED, "regulars: unexpected KeyError: 'x' (--debug shows where)\n"),
        (KeyboardInterrupt(), regulars.INTERRUPTED, "regulars: interrupted\n"),
    ],
)
@pytest.mark.usefixtures("elsewhere")
def test_exit_codes(
    error: BaseException,
    code: int,
    said: str,
    promoting: Callable[[BaseException], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    promoting(error)
    assert regulars.run(["promote"]) == code
    assert capsys.readouterr().err == said


@pytest.mark.usefixtures("elsewhere")
def test_debug_shows_where(promoting: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]) -> None:
    promoting(KeyError("x"))
    assert regulars.run(["promote", "--debug"]) == regulars.UNEXPECTED
    assert "Traceback" in capsys.readouterr().err


def test_settings_come_from_the_command_line_then_the_environment_then_the_file(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ('store = "sqlite:///file.db"', 'tracking_uri = "sqlite:///runs.db"', "horizon_days = 30")
    (elsewhere / "regulars.toml").write_text("\n".join(lines))
    assert regulars._settings(None).tracking_uri == f"sqlite:///{elsewhere}/runs.db"
    assert regulars._settings(None).store.endswith("/file.db")
    monkeypatch.setenv("REGULARS_STORE", "sqlite:///environment.db")
    assert regulars._settings(None).store.endswith("/environment.db")
    assert regulars._settings("sqlite:///option.db").store.endswith("/option.db")
    assert regulars._settings(None).horizon_days == 30
    assert regulars._settings(None, horizon_days=60).horizon_days == 60


@pytest.mark.usefixtures("elsewhere")
def test_a_simulated_shop_is_imported_once(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGULARS_ERASURE_KEY", "a key of these tests")
    assert regulars.run(["simulate", "--customers", "60", "--seed", "3", "--out", "shop"]) == regulars.DONE
    files = [f"--{name}=shop/{name}.parquet" for name in ("orders", "events", "customers", "products")]
    assert regulars.run(["import", *files]) == regulars.DONE
    assert Path("data/regulars.db").exists()
    first = capsys.readouterr().out
    assert regulars.run(["import", *files]) == regulars.DONE
    assert capsys.readouterr().out != first
    assert regulars.run(["check"]) == regulars.DONE
    assert regulars.run(["erase", "sim-000001"]) == regulars.DONE
    assert regulars.run(["erase", "sim-000001"]) == regulars.BAD_INPUT


@pytest.mark.usefixtures("elsewhere")
def test_a_key_is_seen_once_and_revoked(capsys: pytest.CaptureFixture[str]) -> None:
    assert regulars.run(["keys", "add", "--scope", "predict", "--name", "storefront"]) == regulars.DONE
    secret = capsys.readouterr().out.strip()
    assert regulars.run(["keys", "list"]) == regulars.DONE
    listed = capsys.readouterr().out
    assert "predict  storefront" in listed
    assert secret not in listed
    assert regulars.run(["keys", "revoke", listed.split()[0]]) == regulars.DONE
    assert regulars.run(["keys", "revoke", listed.split()[0]]) == regulars.BAD_INPUT


def test_help_does_not_wait_for_libraries() -> None:
    heavy = "{'mlflow', 'bentoml', 'numpy', 'pandas', 'lightgbm', 'sqlalchemy', 'pyarrow'}"
    code = f"import regulars, sys; c = regulars.run(['--help']); assert not {heavy} & set(sys.modules); sys.exit(c)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "simulate" in done.stdout


def test_progress_is_plain_lines_where_there_is_no_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = [(0.1, "reading", 0), (5.0, "reading", 10), (9.0, "reading", 20), (16.0, "reading", 1500)]
    seen += [(16.5, "sorting", 0), (18.0, "sorting", 7)]
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    with progress.showing() as tell:
        for clock[0], stage, done in seen:
            tell(stage, done, 3000)
    expected = [
        "reading 10 of 3,000, 2 a second, 0:24:25 left",
        "reading 1,500 of 3,000, 94 a second, 0:00:16 left",
        "sorting 7 of 3,000, 5 a second, 0:10:41 left",
    ]
    assert capsys.readouterr().err.splitlines() == expected
