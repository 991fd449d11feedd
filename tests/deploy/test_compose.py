"""Compose and Swarm: valid, within our rules, and with secrets that the product accepts."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from monohull.kernel.configuration import load
from monohull.kernel.hardening import refusals
from tests.deploy import compose_rules
from tests.deploy.bench import DEPLOY, Bench, on_path, output, program

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
STACK = yaml.safe_load((DEPLOY / "stack.yaml").read_text(encoding="utf-8"))
PROFILES = {
    "observability": {"prometheus", "grafana", "loki", "otel-collector"},
    "elk": {"elasticsearch", "logstash", "kibana", "filebeat"},
    "brokers": {"rabbitmq", "kafka", "nats"},
}


def test_the_files_are_what_the_specification_says(bench: Bench) -> None:
    assert bench.ask("conforms", document=COMPOSE, to="compose-spec") == []
    assert bench.ask("conforms", document=STACK, to="compose-spec") == []
    wrong = copy.deepcopy(COMPOSE)
    wrong["services"]["api"]["heathcheck"] = wrong["services"]["api"].pop("healthcheck")
    assert len(bench.ask("conforms", document=wrong, to="compose-spec")) == 1


def test_the_client_reads_the_stack() -> None:
    code, printed = output(on_path("docker", "docker.io"), "stack", "config", "-c", DEPLOY / "stack.yaml")
    assert code == 0, printed
    assert "Ignoring" not in printed  # what Swarm does not know it would leave out


def test_our_rules_are_kept() -> None:
    assert [finding for rule in compose_rules.ALL for finding in rule(COMPOSE)] == []
    assert [finding for rule in compose_rules.SWARM for finding in rule(STACK)] == []


def test_the_profiles_hold_what_they_should() -> None:
    for profile, services in PROFILES.items():
        found = {name for name, one in COMPOSE["services"].items() if profile in one.get("profiles", ())}
        assert found == services
    assert set(STACK["services"]) == {"migrate", "api", "worker", "postgres", "redis"}


def test_every_mounted_file_is_there() -> None:
    for service in COMPOSE["services"].values():
        for mount in service.get("volumes", ()):
            source = mount.partition(":")[0]
            if source.startswith("./"):
                assert (DEPLOY / source).exists(), source


def test_made_secrets_are_all_and_the_product_takes_them(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    code, printed = output(DEPLOY / "docker" / "make-secrets", folder)
    assert code == 0, printed
    made = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
    assert {one["file"].rpartition("/")[2] for one in COMPOSE["secrets"].values()} <= set(made)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in folder.iterdir())
    environ = {
        name: value.replace("/run/secrets", str(folder)) if name.endswith("_FILE") else value
        for name, value in COMPOSE["services"]["api"]["environment"].items()
    }
    environ["MONOHULL_PUBLIC_URL"] = "http://127.0.0.1:8000"
    environ["MONOHULL_OTLP_ENDPOINT"] = ""
    environ["MONOHULL_OTLP_SAMPLE_RATIO"] = "1"
    assert refusals(load(environ, project=tmp_path).settings) == []
    assert made["redis_password"].strip() in made["redis_conf"]
    # once more: what is there opens what was made with it
    assert output(DEPLOY / "docker" / "make-secrets", folder)[0] == 0
    assert {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()} == made


@pytest.mark.parametrize("file", ["docker/make-secrets", "../.ci/run"])
def test_scripts_are_sound(file: str) -> None:
    code, printed = output(program("shellcheck"), DEPLOY / file)
    assert code == 0, printed


def test_shellcheck_finds_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "script").write_text("#!/bin/sh\nrm -rf $1/*\n", encoding="utf-8")
    assert output(program("shellcheck"), tmp_path / "script")[0] == 1


def test_prometheus_reads_its_configuration() -> None:
    promtool = on_path("promtool", "prometheus")
    code, printed = output(promtool, "check", "config", DEPLOY / "observability/prometheus.yaml")
    assert code == 0, printed


def test_the_yaml_is_tidy() -> None:
    files = [DEPLOY / "compose.yaml", DEPLOY / "observability", DEPLOY / "helm" / "values"]
    rules = {
        **dict.fromkeys(("line-length", "document-start", "braces"), "disable"),
        "comments": {"min-spaces-from-content": 1},
    }
    configuration = yaml.safe_dump({"extends": "default", "rules": rules})
    code, printed = output(program("yamllint"), "--strict", "-d", configuration, *files)
    assert code == 0, printed


MISTAKES: list[tuple[str, Callable[[Any], object], str]] = [
    ("latest", lambda s: s["redis"].update(image="valkey/valkey:latest"), "pinned"),
    ("no tag", lambda s: s["api"].update(image="monohull"), "pinned"),
    ("no memory limit", lambda s: s["api"]["deploy"]["resources"]["limits"].pop("memory"), "limited"),
    ("no limits", lambda s: s["nats"].pop("deploy"), "limited"),
    ("writable", lambda s: s["worker"].pop("read_only"), "confined"),
    ("as root", lambda s: s["api"].update(user="root"), "confined"),
    ("privileged", lambda s: s["grafana"].update(privileged=True), "confined"),
    ("capabilities", lambda s: s["kafka"].pop("cap_drop"), "confined"),
    ("secret", lambda s: s["api"]["environment"].update(MONOHULL_JWT_SECRET="x"), "secrets_in_files"),
    ("password", lambda s: s["postgres"]["environment"].update(POSTGRES_PASSWORD="x"), "secrets_in_files"),
    ("url", lambda s: s["api"]["environment"].update(PROXY="http://a:b@c"), "secrets_in_files"),
    ("not given", lambda s: s["api"]["secrets"].remove("jwt_secret"), "secrets_in_files"),
    ("unknown", lambda s: s["api"]["secrets"].append("other"), "secrets_in_files"),
    ("no order", lambda s: s["api"]["depends_on"].pop("migrate"), "ordered"),
    ("no health", lambda s: s["redis"].pop("healthcheck"), "ordered"),
    ("killed", lambda s: s["worker"].update(stop_grace_period="25s"), "drains"),
    ("default grace", lambda s: s["api"].pop("stop_grace_period"), "drains"),
    ("other port", lambda s: s["api"].update(ports=["80:8080"]), "ports"),
    ("published", lambda s: s["postgres"].update(ports=["5432:5432"]), "ports"),
]


@pytest.mark.parametrize(("plant", "rule"), [pytest.param(m[1], m[2], id=m[0]) for m in MISTAKES])
def test_a_planted_mistake_is_found(plant: Callable[[Any], object], rule: str) -> None:
    compose = copy.deepcopy(COMPOSE)
    check = getattr(compose_rules, rule)
    plant(compose["services"])
    assert list(check(compose)) != []
