"""Each of the twelve refusals is explained with the right culprit, over both ways to ask."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result
from msgspec import Struct

from modules.policy.cli import policy
from monohull.kernel.configuration import Configuration, load
from monohull.kernel.runtime import Runtime
from tests.application import JWT_SECRET, Served, service_key
from tests.integration.policy.refusals import ANN, BOB, TWELVE, Refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import asyncpg

    from monohull.kernel.home import Connections

SERVICE = {"apikey": service_key()}
ENVIRON = {"MONOHULL_ENV": "test", "MONOHULL_JWT_SECRET": JWT_SECRET, "MONOHULL_LOG_LEVEL": "error"}


class Context(Struct, frozen=True):
    """What the ``monohull`` command hands over, for one database."""

    connections: Connections

    def load(self, home: Path | None = None, project: Path | None = None) -> Configuration:
        del home
        return load(ENVIRON, project=project or Path("/"))

    def run(self, loaded: Configuration, work: Callable[[Runtime], Awaitable[Any]]) -> Any:
        async def inner() -> Any:
            runtime = Runtime(loaded.settings, loaded.modules, self.connections, process="cli")
            async with runtime.running():
                return await work(runtime)

        return asyncio.run(inner())


async def explained(served: Served, request: str, *, caller: str = f"user:{ANN}", **more: Any) -> Any:
    body = {"as": caller, "request": request, **more}
    answer = await served.client.post("/platform/v1/policy/explain", json=body, headers=SERVICE)
    assert answer.status_code == 200, answer.text
    return answer.json()


def check(found: Any, case: Refusal) -> None:
    told = json.dumps(found, indent=1)
    assert (found["outcome"]["status"], found["outcome"].get("code")) == case.outcome, told
    blamed = [(one["kind"], one.get("relation"), one.get("policy")) for one in found["culprits"]]
    assert tuple(blamed) == case.blamed, told
    first = found["culprits"][0]
    assert {name: first.get(name) for name in case.expected} == case.expected, told


@pytest.mark.asyncio(loop_scope="module")
async def test_over_the_platform_route(explaining: Served) -> None:
    for case in TWELVE:
        found = await explained(explaining, case.request, body=case.body, headers=case.headers)
        check(found, case)
        assert found["caller"] == {"kind": "user", "role": "authenticated", "subject": ANN}, case.name


def run(connections: Connections, *arguments: str) -> Result:
    return CliRunner().invoke(policy, ["explain", *arguments], obj=Context(connections))


def arguments_of(case: Refusal) -> list[str]:
    arguments = ["--as", f"user:{ANN}", case.request]
    arguments += [] if case.body is None else ["--body", json.dumps(case.body)]
    return arguments + [part for pair in case.headers.items() for part in ("--header", ": ".join(pair))]


@pytest.fixture
def there(database: asyncpg.Connection, connections: Connections) -> Connections:  # noqa: ARG001 filled first
    """Not async: each command runs a loop of its own."""
    return connections


def test_over_the_command(there: Connections) -> None:
    for case in TWELVE:
        result = run(there, *arguments_of(case), "--json")
        assert result.exit_code == 0, result.output
        check(json.loads(result.stdout[result.stdout.index("{") :]), case)
        text = run(there, *arguments_of(case)).stdout
        assert "why: " in text
        assert case.request in text


@pytest.mark.asyncio(loop_scope="module")
async def test_what_is_fine_is_said_to_be(explaining: Served) -> None:
    found = await explained(explaining, "GET /rest/v1/orders?select=id")
    assert (found["outcome"], [one["rows"] for one in found["culprits"]]) == ({"status": 200, "rows": 1}, [1])
    own = await explained(explaining, "GET /rest/v1/orders?id=eq.1")
    assert ("culprits" in own, own["summary"]) == (False, "Nothing stands in the way: 200, 1 row.")
    nothing = await explained(explaining, "GET /rest/v1/orders?id=eq.77")
    assert [one["kind"] for one in nothing["culprits"]] == ["no_rows"]


@pytest.mark.asyncio(loop_scope="module")
async def test_nothing_is_left_behind(explaining: Served, database: asyncpg.Connection) -> None:
    before = await database.fetchval("select status from public.tasks")
    await explained(explaining, "POST /rest/v1/notes", body={"body": "mine"})
    await explained(explaining, "PATCH /rest/v1/tasks?id=eq.1", body={"status": "held"})
    await explained(explaining, "DELETE /rest/v1/orders", caller="service")
    counts = await database.fetchrow(
        "select (select count(*) from public.notes), (select count(*) from public.trail),"
        " (select count(*) from public.orders), (select status from public.tasks)"
    )
    assert tuple(counts) == (0, 0, 2, before)
    assert await database.fetchval("select to_regclass('pg_temp.monohull_proposed')") is None


@pytest.mark.asyncio(loop_scope="module")
async def test_claims_and_role_may_be_given(explaining: Served) -> None:
    request = "GET /rest/v1/projects?id=eq.1"
    found = await explained(explaining, request, claims={"app_metadata": {"org_id": "acme"}})
    assert found["outcome"] == {"status": 200, "rows": 1}
    assert (await explained(explaining, request, role="service_role"))["outcome"]["rows"] == 1
    stranger = "user:00000000-0000-4000-8000-0000000000ff"
    strange = await explained(explaining, "GET /rest/v1/orders?id=eq.1", caller=stranger, claims={})
    assert strange["culprits"][0]["values"]["auth.uid()"] == stranger.removeprefix("user:")


@pytest.mark.asyncio(loop_scope="module")
async def test_bob_is_told_of_his_own(explaining: Served) -> None:
    found = await explained(explaining, "GET /rest/v1/orders?id=eq.1", caller=f"user:{BOB}")
    assert found["culprits"][0]["values"] == {"customer_id": ANN, "auth.uid()": BOB, "claim sub": BOB}
