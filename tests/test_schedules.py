"""The schedules in docs/batch.md: what cron, Airflow and Kubernetes would make of them."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.test_docs import fences, parse

BATCH = Path(__file__).parents[1] / "docs" / "batch.md"
FIELD = r"(\*|\d+(-\d+)?)(/\d+)?(,\d+)*"
WHEN = re.compile(rf"^({FIELD}\s+){{4}}{FIELD}(\s+|$)")


def lists_of(tree: ast.AST) -> list[list[str]]:
    """Lists and tuples of text."""
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.List | ast.Tuple) and node.elts]
    texts = [[element.value for element in node.elts if isinstance(element, ast.Constant)] for node in nodes]
    return [
        [str(value) for value in text] for text, node in zip(texts, nodes, strict=True) if len(text) == len(node.elts)
    ]


def test_cron_lines_are_at_a_time_and_of_a_command() -> None:
    (block,) = fences(BATCH, "cron")
    for line in block.splitlines():
        assert WHEN.match(line), line
        assert "%" not in line  # cron ends the command there
        command = re.search(r"regulars ([^>]*)", line)
        assert command
        parse(shlex.split(command[1]))


def test_the_airflow_dag_compiles_and_its_commands_make_sense() -> None:
    (block,) = fences(BATCH, "python")
    tree = ast.parse(block)
    compile(tree, "dag", "exec")
    jobs = [each for each in lists_of(tree) if each[0] in ("retrain", "score", "outcomes")]
    assert len(jobs) == 3
    for arguments in jobs:
        parse(arguments)
    (dag,) = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "DAG")
    (schedule,) = (each.value for each in dag.keywords if each.arg == "schedule")
    assert WHEN.match(ast.literal_eval(schedule))


@pytest.fixture
def cron_job() -> dict[str, Any]:
    (block,) = fences(BATCH, "yaml")
    return dict(yaml.safe_load(block))


def test_the_cron_job_fits_the_schema_of_kubernetes(cron_job: dict[str, Any]) -> None:
    kubernetes_validate.validate(cron_job, "1.31", strict=True)
    assert WHEN.match(cron_job["spec"]["schedule"])
    pod = cron_job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    for container in pod["initContainers"] + pod["containers"]:
        parse([str(argument) for argument in container["args"]])
