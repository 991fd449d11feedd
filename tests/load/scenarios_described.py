"""What clients of the data API, of auth and of jobs do, once; wrk, k6 and Artillery get it from here.

A request may hold ``{n:LOW:HIGH}``, a random number, and a key by its name:
``{ANON_KEY}``, ``{SERVICE_KEY}``, ``{TOKEN}`` and ``{USER_ID}`` of a signed-in
user, ``{EMAIL}`` and ``{PASSWORD}`` of one. The tools read those from the environment.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

import yaml
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

P95_MS: Final = 100.0
FAILED_SHARE: Final = 0.001
CONNECTIONS: Final = 8
"""That wrk keeps, at most."""
NUMBER: Final = re.compile(r"\{n:(\d+):(\d+)\}")
NAMED: Final = re.compile(r"\{([A-Z_]+)\}")
JSON: Final = ("Content-Type", "application/json")
ANON: Final = ("apikey", "{ANON_KEY}")
USER: Final = (ANON, ("Authorization", "Bearer {TOKEN}"))


class Scenario(Struct, frozen=True, kw_only=True):
    """One request, again and again.

    Attributes:
        area: ``data``, ``auth`` or ``jobs``.
        per_second: The rate for which the goal holds.
        status: Of an answer that counts as served.
        p95_ms: The goal.
    """

    name: str
    area: str
    per_second: int
    path: str
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = (ANON,)
    body: str = ""
    status: int = 200
    p95_ms: float = P95_MS


SCENARIOS: Final = (
    Scenario(name="row_by_key", area="data", per_second=200, path="/rest/v1/products?id=eq.{n:1:5000}"),
    Scenario(
        name="page_under_row_security",
        area="data",
        per_second=100,
        path="/rest/v1/orders?select=id,status,total,created_at&status=eq.paid&order=created_at.desc&limit=20",
        headers=USER,
    ),
    Scenario(
        name="embedded",
        area="data",
        per_second=50,
        path="/rest/v1/orders?select=id,order_items(qty,products(name))&limit=1&offset={n:0:900}",
        headers=USER,
    ),
    Scenario(
        name="insert",
        area="data",
        per_second=50,
        method="POST",
        path="/rest/v1/events",
        headers=(*USER, JSON),
        body='{"owner":"{USER_ID}","kind":"click","amount":{n:1:1000}}',
        status=201,
    ),
    Scenario(name="who_am_i", area="auth", per_second=50, path="/auth/v1/user", headers=USER),
    Scenario(
        # a password costs 50 ms of a core on purpose
        name="sign_in",
        area="auth",
        per_second=2,
        method="POST",
        path="/auth/v1/token?grant_type=password",
        headers=(ANON, JSON),
        body='{"email":"{EMAIL}","password":"{PASSWORD}"}',
        p95_ms=250.0,
    ),
    Scenario(
        name="ask_for_job",
        area="jobs",
        per_second=25,
        method="POST",
        path="/platform/v1/jobs",
        headers=(("apikey", "{SERVICE_KEY}"), JSON),
        body='{"name":"noop.asked","arguments":{"n":{n:1:1000000}}}',
        status=201,
    ),
)


def filled(
    text: str, quote: Callable[[str], str], number: Callable[[str, str], str], named: Callable[[str], str]
) -> list[str]:
    """Return the parts of ``text`` as expressions of another language, to be joined there."""
    parts, end = [], 0
    for found in re.finditer(f"{NUMBER.pattern}|{NAMED.pattern}", text):
        if found.start() > end:
            parts.append(quote(text[end : found.start()]))
        low, high, name = found.groups()
        parts.append(named(name) if name else number(low, high))
        end = found.end()
    if end < len(text) or not parts:
        parts.append(quote(text[end:]))
    return parts


def wrk_script(one: Scenario) -> str:
    """Return wrk's script. wrk has no rate of its own: requests wait until they are due."""

    def lua(text: str) -> str:
        parts = filled(
            text, json.dumps, lambda a, b: f"math.random({a}, {b})", lambda name: f'os.getenv("{name}")'
        )
        return " .. ".join(parts)

    headers = ", ".join(f"[{json.dumps(name)}] = {lua(text)}" for name, text in one.headers)
    body = lua(one.body) if one.body else "nil"
    return f"""-- {one.name}, written by tests/load/scenarios_described.py
local ffi = require("ffi")
ffi.cdef("typedef struct {{ long s; long us; }} moment; int gettimeofday(moment *, void *);")
local clock = ffi.new("moment")
local due
local failed = 0
local headers = {{ {headers} }}
local threads = {{}}
function setup(thread) table.insert(threads, thread) end
function init() math.randomseed(os.time()); missed = 0 end
-- requests are due at a steady rate, whichever connection is free; a second of arrears is made up for
function delay()
  ffi.C.gettimeofday(clock, nil)
  local now = tonumber(clock.s) * 1000 + tonumber(clock.us) / 1000
  due = math.max((due or now) + {1000 / one.per_second:.3f}, now - 1000)
  return math.max(0, math.floor(due - now + 0.5))
end
function request() return wrk.format("{one.method}", {lua(one.path)}, headers, {body}) end
function response(status) if status ~= {one.status} then missed = missed + 1 end end
function done(summary, latency)
  for _, thread in ipairs(threads) do failed = failed + thread:get("missed") end
  local errors = summary.errors
  io.stderr:write(string.format('{{"requests":%d,"per_second":%.1f,"p50_ms":%.3f,"p95_ms":%.3f,"failed":%d}}\\n',
    summary.requests, summary.requests / (summary.duration / 1e6), latency:percentile(50) / 1e3,
    latency:percentile(95) / 1e3, failed + errors.connect + errors.read + errors.write + errors.timeout))
end
"""


def k6_script(scenarios: Sequence[Scenario]) -> str:
    """Return one script for k6 with every scenario at its rate, all at once, and the goals as thresholds."""

    def js(text: str) -> str:
        parts = filled(text, json.dumps, lambda a, b: f"between({a}, {b})", lambda name: f"__ENV.{name}")
        return " + ".join(parts)

    executors = {
        one.name: {
            "executor": "constant-arrival-rate",
            "exec": one.name,
            "rate": one.per_second,
            "timeUnit": "1s",
            "preAllocatedVUs": max(2, one.per_second // 5),
            "maxVUs": max(20, one.per_second),
        }
        for one in scenarios
    }
    thresholds: dict[str, list[str]] = {}
    for one in scenarios:
        thresholds[f"http_req_duration{{scenario:{one.name}}}"] = [f"p(95)<{one.p95_ms:.0f}"]
        thresholds[f"checks{{scenario:{one.name}}}"] = [f"rate>={1 - FAILED_SHARE}"]
    functions = []
    for one in scenarios:
        headers = ", ".join(f"{json.dumps(name)}: {js(text)}" for name, text in one.headers)
        body = js(one.body) if one.body else "null"
        functions.append(
            f"export function {one.name}() {{\n"
            f"  const answer = http.request({json.dumps(one.method)}, __ENV.URL + {js(one.path)}, {body},\n"
            f"    {{ headers: {{ {headers} }}, tags: {{ name: {json.dumps(one.name)} }} }});\n"
            f"  check(answer, {{ served: (found) => found.status === {one.status} }});\n}}\n"
        )
    options = json.dumps({"scenarios": executors, "thresholds": thresholds}, indent=2)
    return (
        "// Written by tests/load/scenarios_described.py\n"
        'import http from "k6/http";\nimport { check } from "k6";\n\n'
        f"export const options = {options};\n"
        "for (const one of Object.values(options.scenarios)) one.duration = __ENV.DURATION || '30s';\n\n"
        "const between = (low, high) => low + Math.floor(Math.random() * (high - low + 1));\n\n"
        + "\n".join(functions)
    )


def artillery_script(one: Scenario, seconds: int) -> str:
    """Return Artillery's description of one scenario; its thresholds hold for a whole run."""

    def template(text: str) -> str:
        parts = filled(
            text,
            str,
            lambda a, b: f"{{{{ $randomNumber({a},{b}) }}}}",
            lambda name: f"{{{{ $processEnvironment.{name} }}}}",
        )
        return "".join(parts)

    request: dict[str, Any] = {
        "url": template(one.path),
        "headers": {name: template(text) for name, text in one.headers},
        "expect": [{"statusCode": one.status}],
    }
    if one.body:
        request["body"] = template(one.body)
    document = {
        "config": {
            "target": "{{ $processEnvironment.URL }}",
            "phases": [{"duration": seconds, "arrivalRate": one.per_second, "name": one.name}],
            "plugins": {"ensure": {}, "expect": {"outputFormat": "silent"}},
            "ensure": {
                "thresholds": [{"http.response_time.p95": one.p95_ms}],
                "conditions": [{"expression": "vusers.failed == 0"}],
            },
        },
        "scenarios": [{"name": one.name, "flow": [{one.method.lower(): request}]}],
    }
    return f"# Written by tests/load/scenarios_described.py\n{yaml.safe_dump(document, sort_keys=False)}"


def write_scripts(folder: Path, seconds: int) -> None:
    """Write the scripts of all tools, for machines where this program does not run."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "k6.js").write_text(k6_script(SCENARIOS))
    for one in SCENARIOS:
        (folder / f"{one.name}.lua").write_text(wrk_script(one))
        (folder / f"{one.name}.yaml").write_text(artillery_script(one, seconds))
