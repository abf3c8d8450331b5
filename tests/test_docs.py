"""The documents against the code: commands parse, files and links exist, examples have the documented shape.

`python -m tests.test_docs` writes the table of settings anew.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import typer
from pydantic.fields import FieldInfo

import regulars
from histories.settings import Settings

ROOT = Path(__file__).parents[1]
DOCS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
OPERATION = ROOT / "docs" / "operation.md"
_MARKS = ("<!-- settings:", "<!-- end of settings -->")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"(?:^|[\s`$])(?:\.venv/bin/)?regulars( [^`#>\n]*|$)")


def fences(path: Path, kind: str) -> Iterator[str]:
    """The blocks of code of one kind."""
    yield from (text for name, text in _FENCE.findall(path.read_text(encoding="utf-8")) if name == kind)


def commands(text: str) -> Iterator[list[str]]:
    """Arguments of every command line of ours in blocks and in `inline code`."""
    blocks = "\n".join(code for kind, code in _FENCE.findall(text) if kind in ("sh", "cron", "console", "yaml"))
    inline = "\n".join(re.findall(r"`(regulars [^`]*)`", _FENCE.sub("", text)))
    for line in (blocks + "\n" + inline).replace("\\\n", " ").splitlines():
        found = _COMMAND.search(line)
        if found and not line.lstrip().startswith("#"):
            yield shlex.split(found[1])


def parse(arguments: list[str]) -> None:
    """Raises an error of typer's when the command line makes no sense."""
    command = typer.main.get_command(regulars.app)
    rest = arguments
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        assert rest[0] in command.commands, f"there is no command {' '.join(arguments)}"
        command, rest = command.commands[rest[0]], rest[1:]
    if rest and rest != ["--help"]:
        command.make_context("regulars", list(rest))


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_every_command_makes_sense(path: Path) -> None:
    promised = "### Not yet"  # what follows this in the change log names commands that are to come
    for arguments in commands(path.read_text(encoding="utf-8").partition(promised)[0]):
        parse(arguments)


def test_a_command_that_makes_no_sense_is_seen() -> None:
    text = "run `regulars trian` or\n```sh\n.venv/bin/regulars train --horizon 90\n```\n"
    found = list(commands(text))
    assert found == [["train", "--horizon", "90"], ["trian"]]
    for arguments in found:
        with pytest.raises(Exception, match=r"no command|No such option"):
            parse(arguments)


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8")):
        assert target.startswith("http") or (path.parent / target).exists(), target


def test_the_map_of_the_readme_is_that_of_the_house() -> None:
    (listing,) = (text for text in fences(ROOT / "README.md", "text") if "histories/" in text)
    names = [line.split()[0] for line in listing.splitlines() if line.strip()]
    missing = [name for name in names if not (ROOT / name).exists()]
    assert missing == []
    rooms = {path.parent.name + "/" for path in ROOT.glob("*/__init__.py")}
    assert rooms <= set(names) | {"tests/"}


def test_the_answers_in_the_readme_have_the_documented_shape() -> None:
    from service.schemas import Prediction

    answers = list(fences(ROOT / "README.md", "json"))
    assert answers
    for text in answers:
        Prediction.model_validate(json.loads(text), strict=True)


def test_the_table_of_settings_is_that_of_the_code() -> None:
    assert _before_and_after(OPERATION.read_text(encoding="utf-8"))[1].strip() == settings_table().strip()


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 140


@pytest.mark.prove
def test_the_readme_leads_from_an_export_to_answers(tmp_path: Path) -> None:
    """The commands for one's own shop, as they stand in the README, on an export of a simulated one."""
    (block,) = (text for text in fences(ROOT / "README.md", "sh") if "regulars import" in text)
    _export(tmp_path)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("REGULARS_", "MLFLOW_"))}
    *before, serve = (shlex.split(line, comments=True) for line in block.strip().splitlines())
    for command in before:
        command[0] = str(Path(sys.executable).with_name("regulars"))
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (command, done.stderr[-2000:])
    assert (tmp_path / "scores.parquet").exists()
    serve[0] = str(Path(sys.executable).with_name("regulars"))
    with subprocess.Popen([*serve, "--port", "3987"], cwd=tmp_path, env=environment) as service:
        try:
            answer = _ask("http://127.0.0.1:3987", "sim-000001")
        finally:
            service.terminate()
    assert answer["churn"]["source"] == "model"


def _export(folder: Path) -> None:
    """orders.csv as a shop would export it."""
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet

    from simulator.shop import simulate

    shop = simulate(1500, 11, folder / "shop")
    orders: pa.Table = pyarrow.parquet.read_table(shop.file("orders"))
    pyarrow.csv.write_csv(orders.drop_columns(["id", "recorded_at"]), folder / "orders.csv")


def _ask(url: str, customer: str) -> dict[str, dict[str, object]]:
    for _ in range(300):
        try:
            answer = httpx.post(f"{url}/v1/predict", json={"customer_id": customer}, timeout=5)
        except httpx.TransportError:
            time.sleep(0.2)
            continue
        if answer.is_success:
            return dict(answer.json())
        time.sleep(0.2)
    raise AssertionError("the service did not answer within a minute")


def settings_table() -> str:
    """Every setting with its variable, default and meaning, in Markdown."""
    rows = [_setting(name, field) for name, field in Settings.model_fields.items()]
    return "\n".join(["| setting | variable | default | meaning |", "| --- | --- | --- | --- |", *rows])


def _setting(name: str, field: FieldInfo) -> str:
    variable = field.validation_alias or f"REGULARS_{name.upper()}"
    default = "" if field.default_factory or field.default in (None, "", ()) else f"`{json.dumps(field.default)}`"
    return f"| `{name}` | `{variable}` | {default} | {field.description or ''} |"


def _before_and_after(text: str) -> tuple[str, str, str]:
    """The document before the table, the table, and the rest."""
    head, _, rest = text.partition(_MARKS[0])
    mark, _, rest = rest.partition("\n")
    table, _, tail = rest.partition(_MARKS[1])
    return f"{head}{_MARKS[0]}{mark}\n", table, f"{_MARKS[1]}{tail}"


if __name__ == "__main__":
    before, _, after = _before_and_after(OPERATION.read_text(encoding="utf-8"))
    OPERATION.write_text(f"{before}\n{settings_table()}\n\n{after}", encoding="utf-8")
