"""The load scripts of wrk, k6 and Artillery are written from one description, and hold what it says."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.load.scenarios_described import (
    SCENARIOS,
    Scenario,
    artillery_script,
    k6_script,
    write_scripts,
    wrk_script,
)
from tests.load.scenarios_record import Result, judge, read_record

if TYPE_CHECKING:
    from pathlib import Path


def result(**changes: float) -> Result:
    given = {"per_second": 10.0, "p50_ms": 5.0, "p95_ms": 20.0, "requests": 1000, "failed": 0, "load": 1.0}
    return Result(tool="wrk", scenario="row", goal_per_second=10, goal_ms=100.0, **(given | changes))  # type: ignore[arg-type]


def test_every_area_is_there() -> None:
    assert {one.area for one in SCENARIOS} == {"data", "auth", "jobs"}
    assert len({one.name for one in SCENARIOS}) == len(SCENARIOS)


def test_node_can_read_what_k6_runs(tmp_path: Path) -> None:
    if (node := shutil.which("node")) is None:
        pytest.skip("node is not installed")
    script = tmp_path / "k6.mjs"
    script.write_text(k6_script(SCENARIOS))
    subprocess.run([node, "--check", str(script)], check=True)
    # and run, with k6's own modules stood in for: options and requests are what was described
    (tmp_path / "http.mjs").write_text(
        "export default {request: (...all) => (console.log(JSON.stringify(all)), {})}"
    )
    (tmp_path / "k6-checks.mjs").write_text("export const check = () => true;")
    text = script.read_text().replace('"k6/http"', '"./http.mjs"').replace('"k6"', '"./k6-checks.mjs"')
    env = 'globalThis.__ENV = {URL: "http://x", ANON_KEY: "anon", SERVICE_KEY: "service", TOKEN: "token"};\n'
    (tmp_path / "env.mjs").write_text(env)
    (tmp_path / "run.mjs").write_text(
        'import "./env.mjs";\nconst all = await import("./replaced.mjs");\nall.row_by_key();\nall.insert();\n'
        "console.log(JSON.stringify(all.options));\n"
    )
    (tmp_path / "replaced.mjs").write_text(text)
    ran = subprocess.run([node, str(tmp_path / "run.mjs")], check=True, capture_output=True, text=True)
    read, insert, options = (json.loads(line) for line in ran.stdout.splitlines())
    assert read[0] == "GET"
    number = int(read[1].removeprefix("http://x/rest/v1/products?id=eq."))
    assert 1 <= number <= 5000
    assert read[3]["headers"] == {"apikey": "anon"}
    assert insert[3]["headers"]["Authorization"] == "Bearer token"
    assert json.loads(insert[2])["kind"] == "click"
    for one in SCENARIOS:
        assert options["scenarios"][one.name]["rate"] == one.per_second
        assert options["scenarios"][one.name]["duration"] == "30s"
        assert options["thresholds"][f"http_req_duration{{scenario:{one.name}}}"] == [
            f"p(95)<{one.p95_ms:.0f}"
        ]


@pytest.mark.parametrize("one", SCENARIOS, ids=lambda one: one.name)
def test_what_artillery_and_wrk_get(one: Scenario) -> None:
    document = yaml.safe_load(artillery_script(one, 7))
    assert document["config"]["phases"] == [{"duration": 7, "arrivalRate": one.per_second, "name": one.name}]
    assert document["config"]["ensure"]["thresholds"] == [{"http.response_time.p95": one.p95_ms}]
    [step] = document["scenarios"][0]["flow"]
    assert set(step) == {one.method.lower()}
    assert step[one.method.lower()]["expect"] == [{"statusCode": one.status}]
    assert "{n:" not in str(document) + wrk_script(one)
    assert f"status ~= {one.status} " in wrk_script(one)


def test_scripts_are_written(tmp_path: Path) -> None:
    write_scripts(tmp_path, 10)
    assert len(list(tmp_path.iterdir())) == 1 + 2 * len(SCENARIOS)


def test_what_is_complained_of() -> None:
    known = {("wrk", "row"): result()}
    assert judge([result(p95_ms=39.0)], known) == []
    assert judge([result(p95_ms=41.0)], known) == ["row (wrk): p95 41.0 ms, on record 20.0"]
    assert judge([result(p95_ms=41.0, load=9.0)], known) == []
    assert judge([result(p95_ms=100.0)], {}) == ["row (wrk): p95 100.0 ms of 100, 0 failed"]
    assert judge([result(failed=2)], {}) == ["row (wrk): p95 20.0 ms of 100, 2 failed"]


def test_the_record_is_of_these_scenarios() -> None:
    assert {name for _, name in read_record()} == {one.name for one in SCENARIOS}
