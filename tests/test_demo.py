"""The demo: answers are shown as they are, and the whole of it works, twice."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import demo


def test_a_readable_answer_is_still_the_answer() -> None:
    answer = {
        "customer_id": "a/b",
        "churn": {"probability": 0.25, "reasons": []},
        "next_purchase": {"expected_at": None, "products": [{"product_id": "1"}, {"product_id": "2"}]},
        "segment": {"name": "it's"},
    }
    assert json.loads(demo.readable(answer)) == answer
    assert json.loads(demo.readable({"next_purchase": {"products": []}})) == {"next_purchase": {"products": []}}


def test_the_curl_line_survives_the_shell() -> None:
    line = demo.curl("http://127.0.0.1:3000", {"customer_id": "it's"})
    shown = subprocess.run(
        ["sh", "-c", line.replace("curl", "printf '%s\\n'")], capture_output=True, text=True, check=True
    )
    assert json.loads(shown.stdout.splitlines()[-1]) == {"customer_id": "it's"}


def test_a_port_that_is_taken_is_not_insisted_on(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert demo._free(port) != port
    assert "is taken" in capsys.readouterr().out


def test_files_of_others_are_respected(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(demo.DemoFailed, match="not the demo's"):
        demo._fresh(tmp_path)
    assert (tmp_path / "thesis.tex").exists()


def test_an_earlier_demo_is_cleared_away(tmp_path: Path) -> None:
    demo._fresh(tmp_path / "demo")
    (tmp_path / "demo" / "data").mkdir()
    (tmp_path / "demo" / "data" / "regulars.db").touch()
    demo._fresh(tmp_path / "demo")
    assert not (tmp_path / "demo" / "data").exists()


def test_the_demo_shares_compiled_code_and_no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REGULARS_CACHE", "REGULARS_STORE", "MLFLOW_TRACKING_URI"):
        monkeypatch.setenv(name, "mine")
    kept = demo._environment()
    assert kept["REGULARS_CACHE"] == "mine"
    assert not {"REGULARS_STORE", "MLFLOW_TRACKING_URI"} & set(kept)


@pytest.mark.parametrize("code", ["raise SystemExit(1)", "import time\nwhile True:\n    time.sleep(1)"])
def test_the_demo_waits_for_no_warm_up(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither for one that fails nor for one that goes on and on, of which nothing stays."""
    seen, popen = list[subprocess.Popen[bytes]](), subprocess.Popen

    def start(_: object, **options: Any) -> subprocess.Popen[bytes]:
        seen.append(popen([sys.executable, "-c", code], **options))
        return seen[0]

    monkeypatch.setattr(subprocess, "Popen", start)
    with demo._warming_up(tmp_path):
        pass
    assert seen[0].poll() is not None


@pytest.mark.prove
def test_a_warm_up_leaves_nothing_to_compile(tmp_path: Path) -> None:
    """And nothing else: no file where it was started, none among the temporary ones."""
    for name in ("cache", "here", "temporary"):
        (tmp_path / name).mkdir()
    environment = os.environ | {"REGULARS_CACHE": str(tmp_path / "cache"), "TMPDIR": str(tmp_path / "temporary")}
    environment["REGULARS_CURRENCY"] = "XTS"  # a shop of which the warm-up must know nothing
    regulars = str(Path(sys.executable).with_name("regulars"))

    def compiled_by(*arguments: str) -> set[str]:
        done = subprocess.run(
            [regulars, *arguments], cwd=tmp_path / "here", env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return {path.name for path in (tmp_path / "cache").rglob("*.nbc")}

    ahead = compiled_by("warm-up")
    assert not [*(tmp_path / "here").iterdir(), *(tmp_path / "temporary").iterdir()]
    assert compiled_by("demo", "--once", "--customers", "400", "--port", "3987") == ahead


@pytest.mark.prove
def test_the_whole_demo(tmp_path: Path) -> None:
    """Twice, since a second demo must not stumble over the first, and without a trace outside its folder."""
    regulars = str(Path(sys.executable).with_name("regulars"))
    arguments = [regulars, "demo", "--once", "--port", "3986"]
    for extra in ([], ["--customers", "400"]):
        done = subprocess.run(
            [*arguments, *extra], cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
        answers = [json.loads(text) for text in re.findall(r"^\{$.*?^\}$", done.stdout, re.MULTILINE | re.DOTALL)]
        loyal, lapsing, unknown = answers
        assert loyal["churn"]["probability"] < 0.3 < lapsing["churn"]["probability"]
        assert loyal["customer_value"]["expected_spend"] > lapsing["customer_value"]["expected_spend"]
        assert unknown["churn"]["source"] == "fallback"
        assert len(re.findall(r"^\$ curl ", done.stdout, re.MULTILINE)) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["demo"]
