"""What we ship passes ``monohull config check --env production``, with its secrets in files."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml

from tests.deploy import policies
from tests.deploy.bench import DEPLOY, VALUES, Bench, name_of, of_kind, output

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SECRETS = {
    "MONOHULL_JWT_SECRET": "kD8v2Lq0sXw7Zr4Tn9Yb1Hc6Jm3Pf5Ga",
    "MONOHULL_DATABASE_URL": "postgresql://owner:0f1e2d3c4b5a69788796@database:5432/app",
    "MONOHULL_REDIS_URL": "redis+sentinel://:0f1e2d3c4b5a69788796@a:26379,b:26379/mymaster/0",
    "MONOHULL_AUTH_SMTP_PASS": "0f1e2d3c4b5a69788796",
    "MONOHULL_OTLP_HEADERS": "authorization=Bearer%20d4c3b2a1f0e9d8c7",
}
DEFAULT: Final = re.compile(r"\$\{\w+:-([^}]*)\}")
"""What Compose puts in for a variable that is not set."""


def config_check(folder: Path, environ: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
    """Run the command in the environment of a container; return its code and its report."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MONOHULL_")}
    ran = subprocess.run(
        [sys.executable, "-m", "monohull", "config", "check", "--env", "production", "--json"],
        cwd=folder,
        env=plain | dict(environ),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return ran.returncode, json.loads(ran.stdout)


def refused(report: Mapping[str, Any]) -> list[str]:
    return [one["variable"] for one in report["findings"] if one["severity"] == "refused"]


def of_container(bench: Bench, name: str, folder: Path) -> dict[str, str]:
    """Return what the API's container is given, its mounted secrets written below ``folder``."""
    (api,) = [one for one in of_kind(bench.rendered(name), "Deployment") if name_of(one).endswith("-api")]
    given = policies.environment(api["spec"]["template"]["spec"]["containers"][0])
    for variable in [variable for variable in given if variable.endswith("_FILE")]:
        file = folder / variable.lower()
        file.write_text(SECRETS[variable.removesuffix("_FILE")], encoding="utf-8")
        given[variable] = str(file)
    return given


@pytest.mark.parametrize("name", VALUES)
def test_each_value_set_of_the_chart_passes(bench: Bench, name: str, tmp_path: Path) -> None:
    given = of_container(bench, name, tmp_path)
    assert given["MONOHULL_ENV"] == "production"
    code, report = config_check(tmp_path, given)
    assert (code, refused(report)) == (0, [])


def test_the_values_for_production_need_no_advice_but_one(bench: Bench, tmp_path: Path) -> None:
    _, report = config_check(tmp_path, of_container(bench, "production", tmp_path))
    # the address of the database is in the Secret, and is what this test made up
    assert [one["variable"] for one in report["findings"]] == ["MONOHULL_DATABASE_URL"]


@pytest.mark.parametrize("file", ["compose.yaml", "stack.yaml"])
def test_compose_and_swarm_pass_with_the_secrets_that_are_made(tmp_path: Path, file: str) -> None:
    folder = tmp_path / "secrets"
    code, printed = output(DEPLOY / "docker" / "make-secrets", folder)
    assert code == 0, printed
    services = yaml.safe_load((DEPLOY / file).read_text(encoding="utf-8"))["services"]
    for service in ("api", "worker"):
        given = {
            name: DEFAULT.sub(r"\1", str(value)).replace("/run/secrets", str(folder))
            for name, value in services[service]["environment"].items()
        }
        given |= {"MONOHULL_PUBLIC_URL": "https://api.example.com", "MONOHULL_OTLP_ENDPOINT": ""}
        code, report = config_check(tmp_path, given)
        assert (code, refused(report)) == (0, []), service


def test_a_password_left_as_the_values_have_it_is_refused(bench: Bench, tmp_path: Path) -> None:
    values = yaml.safe_load(VALUES["small"].read_text(encoding="utf-8"))
    given = of_container(bench, "small", tmp_path)
    for variable, key in (("MONOHULL_DATABASE_URL", "database"), ("MONOHULL_REDIS_URL", "redis")):
        (tmp_path / f"{variable.lower()}_file").write_text(values[key]["external"]["url"], encoding="utf-8")
    code, report = config_check(tmp_path, given)
    assert code == 2
    assert refused(report) == ["MONOHULL_DATABASE_URL", "MONOHULL_REDIS_URL"]
