"""Column rules and rate rules in explanations."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from click.testing import CliRunner

from modules.policy.cli import policy
from tests.application import Served, running_app
from tests.integration.auth.people import People
from tests.integration.policy.test_refusals import SERVICE, Context, explained
from tests.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from monohull.kernel.home import Connections
    from tests.integration.auth.people import Person
    from tests.integration.standing import Standing

TABLE = """
create table public.people (id int primary key, name text, iban text);
insert into public.people values (1, 'Ida', 'DE1');
alter table public.people enable row level security;
create policy everybody on public.people using (iban is not null) with check (true);
create function public.all_people() returns setof public.people language sql stable
    as $$ select * from public.people $$;
"""
THROUGH_A_PROXY = {"Via": "1.1 proxy"}
"""Whoever asks from this machine itself is counted and never refused."""


@pytest.fixture(scope="module")
def tables() -> tuple[str, ...]:
    return (TABLE,)


@pytest_asyncio.fixture(loop_scope="module")
async def limiting(connections: Connections, standing: Standing) -> Served:  # noqa: ARG001 a fresh one first
    return await standing.serve(rest_rate_limit="1")


async def call(served: Served, method: str, path: str, body: Any) -> Any:
    answer = await served.client.request(method, f"/platform/v1{path}", json=body, headers=SERVICE)
    assert answer.status_code in (200, 201), answer.text
    return answer.json()


async def limited(served: Served, *permissions: str) -> Person:
    """Return somebody whose role leaves id and name of people, and whose row is there by now."""
    await call(served, "POST", "/roles", {"name": "support", "permissions": permissions})
    rule = {"read": ["id", "name"], "write": ["name"]}
    await call(served, "PUT", "/roles/support/columns/public/people", rule)
    person = await People(served).sign_up()
    await call(served, "POST", "/role-assignments", {"role": "support", "user_id": str(person.id)})
    return person


def blamed(found: Mapping[str, Any]) -> list[tuple[str, str | None, tuple[str, ...]]]:
    return [
        (one["kind"], one.get("relation"), tuple(one.get("columns", ()))) for one in found.get("culprits", ())
    ]


@pytest.mark.asyncio(loop_scope="module")
async def test_column_rules(limiting: Served) -> None:
    person = await limited(limiting)
    caller = f"user:{person.id}"
    rule = ("column_rule", "public.people", ("iban",))
    read = await explained(limiting, "GET /rest/v1/people?select=iban", caller=caller)
    assert blamed(read) == [rule]
    assert (read["outcome"]["status"], read["outcome"]["code"]) == (400, "42703")
    assert read["culprits"][0]["message"] == (
        "The column rules of support leave id, name of public.people to be read, and not iban."
    )
    for request in ("GET /rest/v1/people?iban=eq.1", "GET /rest/v1/rpc/all_people?order=iban"):
        assert blamed(await explained(limiting, request, caller=caller)) == [rule], request
    body = {"id": 2, "iban": "x"}
    written = await explained(limiting, "PATCH /rest/v1/people?id=eq.1", caller=caller, body={"iban": "x"})
    assert blamed(written) == [rule]
    assert (written["outcome"]["status"], written["outcome"]["code"]) == (403, "MH104")
    assert blamed(await explained(limiting, "POST /rest/v1/people", caller=caller, body=body)) == [
        ("column_rule", "public.people", ("id",))
    ]
    fine = await explained(limiting, "GET /rest/v1/people", caller=caller)
    assert (fine["outcome"], blamed(fine)) == ({"status": 200, "rows": 1}, [])
    titles = [step["title"] for step in fine["steps"]]
    assert "roles limit the caller to columns of public.people" in titles
    leaves = "the column rules of support leave id, name of public.people to be read, name to be written"
    assert leaves in titles
    free = await explained(limiting, "GET /rest/v1/people?select=iban", caller="service")
    assert "no role limits the caller to columns" in [step["title"] for step in free["steps"]]


@pytest.mark.asyncio(loop_scope="module")
async def test_in_the_answer_to_those_who_may_know(limiting: Served) -> None:
    person = await limited(limiting)
    headers = {**person.bearer, "Prefer": "explain-denial"}
    answer = await limiting.client.get("/rest/v1/people?select=iban", headers=headers)
    assert (answer.status_code, "explain-denial" in answer.headers) == (400, False)
    change = {"permissions": ["policy.explanations:read"]}
    await call(limiting, "PATCH", "/roles/support", change)
    answer = await limiting.client.get("/rest/v1/people?select=iban", headers=headers)
    assert blamed(json.loads(answer.headers["explain-denial"])) == [
        ("column_rule", "public.people", ("iban",))
    ]


@pytest.mark.asyncio(loop_scope="module")
async def test_rates_say_whether_a_request_would_be_refused_now(limiting: Served) -> None:
    person = await People(limiting).sign_up()
    request, caller = "GET /rest/v1/people", f"user:{person.id}"
    before = await explained(limiting, request, caller=caller)
    assert (blamed(before), before["outcome"]["rows"]) == ([], 1)
    assert "rule rest lets a request pass now" in [step["title"] for step in before["steps"]]
    statuses = [
        (
            await limiting.client.get("/rest/v1/people", headers={**person.bearer, **THROUGH_A_PROXY})
        ).status_code
        for _ in range(2)
    ]
    assert statuses == [200, 429]
    after = await explained(limiting, request, caller=caller)
    assert blamed(after) == [("rate", None, ())]
    assert after["outcome"] == {"status": 200, "rows": 1}, "it is said, and what else there is to say"
    assert after["summary"].startswith("A request would be 429 now: the rule rest counts")
    again = await explained(limiting, request, caller=caller)
    assert blamed(again) == blamed(after), "to look counts nothing"


@pytest.mark.asyncio(loop_scope="module")
async def test_rate_and_quota_of_a_key(limiting: Served) -> None:
    wanted = {"name": "k", "permissions": ["data.people:read"], "rate_per_minute": 1}
    wanted["quota"] = {"limit": 1, "period": "day"}
    key = await call(limiting, "POST", "/api-keys", wanted)
    caller = f"key:{key['id']}"
    before = await explained(limiting, "GET /rest/v1/people", caller=caller)
    titles = [step["title"] for step in before["steps"]]
    assert "rule api-key lets a request pass now" in titles
    assert "rule quota lets a request pass now" in titles
    answer = await limiting.client.get("/rest/v1/people", headers={"apikey": key["key"]})
    assert answer.status_code == 200
    await told(limiting, caller)


async def told(served: Served, caller: str) -> None:
    """Wait until the processes agreed on what was counted, which they do once a second."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            found = await explained(served, "GET /rest/v1/people", caller=caller)
            if blamed(found) == [("rate", None, ()), ("rate", None, ())]:
                return
            await asyncio.sleep(0.05)


def test_the_command_knows_roles_too(connections: Connections) -> None:
    async def prepare() -> str:
        async with running_app(connections) as served:
            return str((await limited(served)).id)

    caller = asyncio.run(prepare())
    arguments = ["explain", "GET /rest/v1/people?select=iban", "--as", f"user:{caller}", "--json"]
    result = CliRunner().invoke(policy, arguments, obj=Context(connections))
    assert result.exit_code == 0, result.output
    found = json.loads(result.output[result.output.index("{") :])
    assert blamed(found) == [("column_rule", "public.people", ("iban",))]
