"""What lies in deploy/: of the right schema, and naming nothing that does not exist."""

from __future__ import annotations

import re
import tomllib
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import kubernetes_validate
import pytest
import yaml
from compose_spec import ComposeSpecification

from histories.settings import Settings
from tests.test_docs import parse

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
MANIFESTS = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
SCHEMA = "1.31.0"  # of Kubernetes
OTHERS = {"POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD"}  # of the image postgres


def settings() -> set[str]:
    """The environment variables that we read."""
    named = {str(field.validation_alias or f"REGULARS_{name.upper()}") for name, field in Settings.model_fields.items()}
    return named | {"REGULARS_CACHE"}


def mlflow_server() -> click.Command:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of its own models
        from mlflow.cli import cli

    return cli.commands["server"]


def makes_sense(entrypoint: str, arguments: list[str], environment: set[str]) -> None:
    """The command line parses; every variable is one that the program reads."""
    assert all(isinstance(each, str) for each in arguments), arguments
    if entrypoint == "mlflow":
        server, (verb, *rest) = mlflow_server(), arguments
        assert verb == "server"
        server.make_context("server", list(rest))
        assert environment <= {str(option.envvar) for option in server.params if isinstance(option, click.Option)}
    else:
        parse(arguments)
        assert environment <= settings(), environment - settings()


def documents(path: Path) -> Iterator[dict[str, Any]]:
    yield from yaml.safe_load_all(path.read_text(encoding="utf-8"))


def objects() -> list[dict[str, Any]]:
    return [each for path in MANIFESTS for each in documents(path)]


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and pod of everything that runs."""
    for each in objects():
        spec = each.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec:
            yield each["metadata"]["name"], spec["template"]["spec"]


def containers() -> Iterator[dict[str, Any]]:
    for _, pod in pods():
        yield from [*pod.get("initContainers", []), *pod["containers"]]


def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_manifests_are_of_the_schema(path: Path) -> None:
    for document in documents(path):
        kubernetes_validate.validate(document, SCHEMA, strict=True)


def test_a_wrong_manifest_is_seen() -> None:
    (deployment, *_) = documents(DEPLOY / "kubernetes" / "service.yaml")
    deployment["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="livenesProbe"):
        kubernetes_validate.validate(deployment, SCHEMA, strict=True)


def test_the_manifests_are_those_of_a_shop() -> None:
    kinds = [each["kind"] for each in objects()]
    assert {"Deployment", "Service", "CronJob", "PersistentVolumeClaim", "PodDisruptionBudget", "ConfigMap"} == set(
        kinds
    )
    assert "Secret" not in kinds  # its values have no place in a repository


def test_containers_run_what_exists() -> None:
    config = {name for each in objects() if each["kind"] == "ConfigMap" for name in each["data"]}
    for each in containers():
        variables = {variable["name"] for variable in each["env"]} | (config if each.get("envFrom") else set())
        makes_sense(each.get("command", ["regulars"])[0], each["args"], variables)


def test_pods_refer_to_what_is_there() -> None:
    claims = {each["metadata"]["name"] for each in objects() if each["kind"] == "PersistentVolumeClaim"}
    for _, pod in pods():
        volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
        mounted = {
            mount["name"] for each in [*pod.get("initContainers", []), *pod["containers"]]
            for mount in each.get("volumeMounts", [])
        }  # fmt: skip
        assert mounted == set(volumes)
        asked = {volume["persistentVolumeClaim"]["claimName"] for volume in volumes.values()
                 if "persistentVolumeClaim" in volume}  # fmt: skip
        assert asked <= claims | {"shop-exports"}  # which is the shop's own


def test_secrets_come_from_the_environment() -> None:
    """Nothing that looks like a password stands in a file, and all that is secret is referred to."""
    for path in [*MANIFESTS, DEPLOY / "compose.yaml"]:
        assert not re.search(r"://[^\s$:@]+:[^\s$@{]+@", path.read_text(encoding="utf-8")), path.name
    for each in containers():
        for variable in each["env"]:
            secret = variable["name"] in ("REGULARS_STORE", "REGULARS_ERASURE_KEY", "MLFLOW_BACKEND_STORE_URI")
            assert ("secretKeyRef" in variable.get("valueFrom", {})) == secret, variable["name"]


def test_the_ports_and_paths_of_the_probes_are_the_programs() -> None:
    for each in containers():
        named = {port["name"]: port["containerPort"] for port in each.get("ports", [])}
        if named:
            assert str(named["http"]) == each["args"][each["args"].index("--port") + 1]
        probes = [each[name]["httpGet"] for name in ("startupProbe", "readinessProbe", "livenessProbe") if name in each]
        assert {probe["path"] for probe in probes} <= {"/livez", "/readyz", "/health"}
        assert {probe["port"] for probe in probes} <= set(named)


def test_compose_is_of_the_schema() -> None:
    """Every key is known to the specification: what the models do not know, they drop."""
    written = {name: value for name, value in compose().items() if not name.startswith("x-")}
    kept = ComposeSpecification.model_validate(written).model_dump(exclude_unset=True, by_alias=True, mode="json")
    assert _keys(kept) == _keys(written)


def test_a_wrong_compose_file_is_seen() -> None:
    wrong = compose()
    wrong["services"]["service"]["helthcheck"] = wrong["services"]["service"].pop("healthcheck")
    kept = ComposeSpecification.model_validate(wrong).model_dump(exclude_unset=True, by_alias=True, mode="json")
    assert "helthcheck" not in kept["services"]["service"]


def _keys(value: Any) -> Any:
    """The shape of nested mappings."""
    return {name: _keys(each) for name, each in value.items()} if isinstance(value, Mapping) else None


def test_compose_runs_what_exists() -> None:
    services = compose()["services"]
    assert {"postgres", "mlflow", "service", "retrain", "score"} == set(services)
    for name, service in services.items():
        if name == "postgres":
            assert set(service["environment"]) <= OTHERS
        else:
            entrypoint = service.get("entrypoint", ["regulars"])[0]
            makes_sense(entrypoint, service["command"], set(service["environment"]))


def test_compose_refers_to_what_is_there() -> None:
    whole = compose()
    for service in whole["services"].values():
        for name, condition in service.get("depends_on", {}).items():
            assert condition["condition"] != "service_healthy" or "healthcheck" in whole["services"][name]
        for volume in service.get("volumes", []):
            source = volume.rsplit(":", 2)[0] if volume.endswith(":ro") else volume.rsplit(":", 1)[0]
            known = source in whole["volumes"] or source.startswith("${") or (DEPLOY / source).exists()
            assert known, volume
        if "build" in service:
            assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
    for name in ("postgres", "mlflow", "service"):
        assert whole["services"][name]["healthcheck"]["test"][0] == "CMD"


def test_the_example_names_every_variable_of_compose() -> None:
    asked = set(re.findall(r"\$\{(\w+)", (DEPLOY / "compose.yaml").read_text(encoding="utf-8")))
    example = (DEPLOY / "example.env").read_text(encoding="utf-8")
    assert asked == set(re.findall(r"^(\w+)=", example, re.MULTILINE))


def test_the_image_holds_every_room() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    copied = {word for line in re.findall(r"^COPY (.*) \S+$", dockerfile, re.MULTILINE) for word in line.split()}
    assert all((ROOT / name).exists() for name in copied), copied
    installed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    rooms = {name.split(".")[0] for name in installed["packages"]}
    assert rooms | {f"{name}.py" for name in installed["py-modules"]} <= copied


def test_every_room_of_a_room_is_installed() -> None:
    installed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    there = {path.parent.relative_to(ROOT) for room in installed for path in (ROOT / room.split(".")[0]).rglob("*.py")}
    assert {".".join(folder.parts) for folder in there} == set(installed)
