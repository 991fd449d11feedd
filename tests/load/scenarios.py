"""The scenarios of `scenarios_described` with wrk, k6 and Artillery, whichever is installed.

    make load OF=scenarios
    python -m tests.load.scenarios --seconds 10 --tools wrk,k6 --out scenarios.json
    python -m tests.load.scenarios --write folder    # the scripts alone

Each scenario runs at its rate; its 95th percentile has to stay below its goal
and no request may fail. The table says how busy the machine was beside, and
what a run on record had; `--record` makes a run the record.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import httpx
import msgspec

from monohull.kernel.keys import legacy_key
from tests.load.generator import HERE
from tests.load.instance import JWT_SECRET, serving
from tests.load.refresh import OPTIONS
from tests.load.run import psql
from tests.load.scenarios_described import (
    CONNECTIONS,
    SCENARIOS,
    Scenario,
    artillery_script,
    k6_script,
    write_scripts,
    wrk_script,
)
from tests.load.scenarios_record import BASELINE, Result, judge, read_record
from tests.services import start_services

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tests.load.instance import Instance

PASSWORD: Final = "correct-horse-battery"


def environment(instance: Instance) -> dict[str, str]:
    """Return what the scripts read from the environment, having signed somebody up."""
    email = f"load-{os.getpid()}@example.com"
    answer = httpx.post(f"{instance.url}/auth/v1/signup", json={"email": email, "password": PASSWORD})
    answer.raise_for_status()
    return {
        **os.environ,
        "URL": instance.url,
        "ANON_KEY": instance.apikey,
        "SERVICE_KEY": legacy_key(JWT_SECRET, "service_role"),
        "TOKEN": answer.json()["access_token"],
        "USER_ID": answer.json()["user"]["id"],
        "EMAIL": email,
        "PASSWORD": PASSWORD,
    }


def with_wrk(one: Scenario, folder: Path, seconds: int, environ: Mapping[str, str]) -> Result:
    """Run one scenario with wrk."""
    connections = max(1, min(CONNECTIONS, one.per_second))
    script = folder / f"{one.name}.lua"
    script.write_text(wrk_script(one))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(script)]
    done = subprocess.run([*command, environ["URL"]], env=environ, check=True, capture_output=True, text=True)
    found = json.loads(done.stderr.strip().splitlines()[-1])
    return _result("wrk", one, found)


def with_k6(one: Scenario, folder: Path, seconds: int, environ: Mapping[str, str]) -> Result:
    """Run one scenario with k6, whose thresholds decide nothing here: the table does."""
    script, summary = folder / f"{one.name}.js", folder / f"{one.name}.k6.json"
    script.write_text(k6_script([one]))
    subprocess.run(
        ["k6", "run", "--quiet", "--summary-export", str(summary), str(script)],
        env={**environ, "DURATION": f"{seconds}s"},
        check=False,
        capture_output=True,
    )
    metrics = json.loads(summary.read_text())["metrics"]
    spent, requests = metrics["http_req_duration"], metrics["http_reqs"]
    found = {
        "requests": requests["count"],
        "per_second": requests["rate"],
        "p50_ms": spent["med"],
        "p95_ms": spent["p(95)"],
        "failed": metrics["checks"]["fails"],
    }
    return _result("k6", one, found)


def with_artillery(one: Scenario, folder: Path, seconds: int, environ: Mapping[str, str]) -> Result:
    """Run one scenario with Artillery, whose thresholds decide nothing here: the table does."""
    script, summary = folder / f"{one.name}.yaml", folder / f"{one.name}.artillery.json"
    script.write_text(artillery_script(one, seconds))
    subprocess.run(
        ["artillery", "run", "--output", str(summary), str(script)],
        env=environ,
        check=False,
        capture_output=True,
    )
    aggregate = json.loads(summary.read_text())["aggregate"]
    spent, counters = aggregate["summaries"]["http.response_time"], aggregate["counters"]
    requests = counters["http.requests"]
    found = {
        "requests": requests,
        "per_second": requests / seconds,
        "p50_ms": spent["p50"],
        "p95_ms": spent["p95"],
        "failed": requests - counters.get(f"http.codes.{one.status}", 0),
    }
    return _result("artillery", one, found)


TOOLS: Final[dict[str, Callable[[Scenario, Path, int, Mapping[str, str]], Result]]] = {
    "wrk": with_wrk,
    "k6": with_k6,
    "artillery": with_artillery,
}


def _result(tool: str, one: Scenario, found: Mapping[str, float]) -> Result:
    return Result(
        tool=tool,
        scenario=one.name,
        goal_per_second=one.per_second,
        per_second=round(found["per_second"], 1),
        p50_ms=round(found["p50_ms"], 1),
        p95_ms=round(found["p95_ms"], 1),
        goal_ms=one.p95_ms,
        requests=int(found["requests"]),
        failed=int(found["failed"]),
        load=round(os.getloadavg()[0], 1),
    )


def report(results: Sequence[Result], known: Mapping[tuple[str, str], Result]) -> None:
    """Print the table."""
    print("\n| tool | scenario | req/s | goal | p50 ms | p95 ms | goal | on record | failed | load | |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for one in results:
        before = known.get((one.tool, one.scenario))
        print(
            f"| {one.tool} | {one.scenario} | {one.per_second} | {one.goal_per_second} | {one.p50_ms} "
            f"| {one.p95_ms} | {one.goal_ms:.0f} | {before.p95_ms if before else '-'} | {one.failed} "
            f"| {one.load} | {'met' if one.is_met else 'missed'} |"
        )


def measure(tools: Sequence[str], seconds: int) -> list[Result]:
    """Start everything and run every scenario with every tool."""
    options = {
        **OPTIONS,
        "MONOHULL_MODULES": "tests.load.noop",
        "MONOHULL_AUTH_RATE_LIMIT_ANONYMOUS_USERS": "100000000",
        "PYTHONPATH": str(HERE.parents[1]),
    }
    with tempfile.TemporaryDirectory(prefix="monohull-load-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        services = start_services(folder)
        try:
            url = urlsplit(services.postgres_url)._replace(path="/load").geturl()
            psql(services.postgres_url, "create database load")
            with serving(url, services.redis_url, data_set=HERE / "dataset.sql", options=options) as instance:
                environ = environment(instance)
                return [TOOLS[tool](one, folder, seconds, environ) for tool in tools for one in SCENARIOS]
        finally:
            services.stop()


def main() -> int:
    """Measure, print, compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=10, help="of each scenario, 60 at most")
    parser.add_argument("--tools", default=",".join(TOOLS))
    parser.add_argument("--out", type=Path, default=Path("load.json"))
    parser.add_argument("--write", type=Path, metavar="FOLDER", help="write the scripts and run nothing")
    parser.add_argument("--record", action="store_true", help="make this run the record")
    arguments = parser.parse_args()
    seconds = min(arguments.seconds, 60)
    if arguments.write is not None:
        write_scripts(arguments.write, seconds)
        return 0
    wanted = arguments.tools.split(",")
    tools = [tool for tool in wanted if shutil.which(tool) is not None]
    for tool in sorted(set(wanted) - set(tools)):
        print(f"{tool} is not installed, so its scenarios were not run", file=sys.stderr)
    if not tools:
        return 3
    results = measure(tools, seconds)
    known = read_record()
    report(results, known)
    document = msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n"
    arguments.out.write_bytes(document)
    if arguments.record:
        BASELINE.write_bytes(document)
    complaints = judge(results, known)
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
