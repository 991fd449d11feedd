"""Views, partitions, FORCE, bypassing roles, functions, broken policies, and rows nobody may look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
import pytest_asyncio

from tests.application import Served, service_key
from tests.integration.policy.refusals import ANN, BOB
from tests.integration.policy.test_refusals import explained

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.integration.standing import Standing
    from tests.services import Services

pytestmark = pytest.mark.asyncio(loop_scope="module")

MORE = """
create view public.own_orders with (security_invoker = true) as select id, total from public.orders;
create role {keeper} nologin;
create table public.shelves (id int primary key, owner_id uuid);
alter table public.shelves enable row level security;
create policy "keepers" on public.shelves to {keeper} using (id < 2);
insert into public.shelves values (1, null), (2, null);
alter table public.shelves owner to {keeper};
alter table public.shelves force row level security;
create view public.shelf_list as select id from public.shelves;
comment on view public.shelf_list is '@public';
alter view public.shelf_list owner to {keeper};
grant select on public.shelf_list to authenticated;
create table public.readings (id int, at date, owner_id uuid, primary key (id, at)) partition by range (at);
create table public.readings_26 partition of public.readings for values from ('2026-01-01') to ('2027-01-01');
alter table public.readings enable row level security;
create policy "own readings" on public.readings to authenticated using (owner_id = auth.uid());
insert into public.readings values (1, '2026-05-05', '00000000-0000-4000-8000-00000000000b');
create table public.broken (id int primary key, tenant text);
alter table public.broken enable row level security;
create policy "by number" on public.broken to authenticated using (tenant::int = 1);
insert into public.broken values (1, 'x');
create function public.member(team int) returns boolean language sql stable as
    $$ select team = (auth.jwt() ->> 'team')::int $$;
create table public.plays (id int primary key, team int, body text, tags text[] default '{}');
alter table public.plays enable row level security;
create policy "team" on public.plays to authenticated using (member(team));
insert into public.plays values (1, 7, 'x', '{a}');
create function public.secret() returns int language sql as 'select 1';
revoke execute on function public.secret() from public, anon, authenticated;
create table public.tags (id int primary key, label text not null);
alter table public.tags enable row level security;
create table public.play_tags (play_id int references public.plays, tag_id int references public.tags,
    primary key (play_id, tag_id));
alter table public.play_tags enable row level security;
create policy "all tags" on public.tags using (true);
insert into public.tags values (1, 'new');
insert into public.play_tags values (1, 1);
"""
TEAM = {"team": "7"}


@pytest.fixture(scope="module")
def keeper(worker_number: int) -> str:
    """A role of this worker: roles belong to the whole server."""
    return f"keeper_{worker_number}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tables(
    tables: tuple[str, ...], services: Services, standing: Standing, keeper: str
) -> AsyncIterator[tuple[str, ...]]:
    yield (*tables, f"drop role if exists {keeper}", MORE.replace("{keeper}", keeper))
    await standing.drop()
    admin = await asyncpg.connect(services.postgres_url)
    await admin.execute(f"drop role if exists {keeper}")
    await admin.close()


@pytest.fixture
def broad(explaining: Served) -> Served:
    return explaining


def blamed(found: Any) -> list[tuple[str, str | None, str | None]]:
    return [(one["kind"], one.get("relation"), one.get("policy")) for one in found.get("culprits", [])]


def titles(steps: list[Any]) -> list[str]:
    return [title for step in steps for title in (step["title"], *titles(step.get("steps", [])))]


async def test_a_view_that_reads_as_its_caller(broad: Served, database: asyncpg.Connection) -> None:
    found = await explained(broad, "GET /rest/v1/own_orders?id=eq.2")
    if await database.fetchval("select current_setting('server_version_num')::int < 150000"):
        assert blamed(found)[0][0] == "exposure"
        return
    assert blamed(found) == [("policy", "public.orders", "own orders")]
    assert (await explained(broad, "GET /rest/v1/own_orders?id=eq.1"))["outcome"]["rows"] == 1


async def test_a_view_that_reads_as_its_owner(broad: Served, keeper: str) -> None:
    found = await explained(broad, "GET /rest/v1/shelf_list?id=eq.2")
    assert blamed(found) == [("view_owner", "public.shelves", None)]
    assert f"public.shelf_list is a view and reads its tables as {keeper}, its owner" in titles(
        found["steps"]
    )


async def test_a_partitioned_table(broad: Served) -> None:
    found = await explained(broad, "GET /rest/v1/readings?id=eq.1")
    assert blamed(found) == [("policy", "public.readings", "own readings")]
    assert found["culprits"][0]["values"]["owner_id"] == BOB


async def test_a_policy_that_fails(broad: Served) -> None:
    found = await explained(broad, "GET /rest/v1/broken")
    assert (found["outcome"]["status"], found["outcome"]["code"]) == (400, "22P02")
    assert blamed(found) == [("policy_error", "public.broken", "by number")]


async def test_claims_that_a_function_reads(broad: Served) -> None:
    found = await explained(broad, "GET /rest/v1/plays?id=eq.1")
    [culprit] = found["culprits"]
    assert (culprit["missing_claims"], culprit["values"]["team"]) == (["team"], "7")
    assert (await explained(broad, "GET /rest/v1/plays?id=eq.1", claims=TEAM))["outcome"]["rows"] == 1


async def test_arrays_and_lists_reach_the_database_as_texts(broad: Served) -> None:
    for filters in ("id=in.(1,2)", "tags=cs.{a}", "team=gt.1&id=not.in.(3)", "or=(id.eq.1,body.like.y*)"):
        found = await explained(broad, f"GET /rest/v1/plays?{filters}", claims=TEAM)
        assert found["outcome"] == {"status": 200, "rows": 1}, filters
        assert blamed(found) == []


async def test_a_junction_without_a_policy(broad: Served) -> None:
    request = "GET /rest/v1/plays?select=id,tags!inner(label)"
    found = await explained(broad, request, claims=TEAM)
    assert found["outcome"]["rows"] == 0
    assert blamed(found) == [("no_policy", "public.play_tags", None)]


async def test_functions(broad: Served) -> None:
    refused = await explained(broad, "POST /rest/v1/rpc/secret", body={})
    assert blamed(refused) == [("function_privilege", None, None)]
    assert refused["outcome"]["code"] == "42501"
    fine = await explained(broad, "GET /rest/v1/rpc/member?team=7", claims=TEAM)
    assert "culprits" not in fine


async def test_roles_above_row_security(broad: Served) -> None:
    found = await explained(broad, "GET /rest/v1/orders?id=eq.2", caller="service")
    assert found["outcome"]["rows"] == 1
    assert "row security of public.orders does not apply: service_role bypasses it" in titles(found["steps"])


async def test_deleting(broad: Served) -> None:
    found = await explained(broad, "DELETE /rest/v1/orders?id=eq.1")
    assert blamed(found) == [("policy", "public.orders", "no one deletes")]
    assert found["culprits"][0]["clause"] == "USING for DELETE"


async def test_a_constraint_is_not_a_policy(broad: Served) -> None:
    body = {"user_id": ANN, "nickname": "again"}
    found = await explained(broad, "POST /rest/v1/profiles", body=body)
    assert (found["outcome"]["status"], found["outcome"]["code"]) == (409, "23505")
    assert [one[0] for one in blamed(found)] == ["database"]


async def test_an_upsert_of_a_new_row(broad: Served) -> None:
    found = await explained(
        broad,
        "POST /rest/v1/profiles",
        caller=f"user:{BOB}",
        body={"user_id": BOB, "nickname": "B"},
        headers={"Prefer": "resolution=merge-duplicates"},
    )
    assert found["outcome"]["code"] == "42501"
    assert [(one["kind"], one["clause"]) for one in found["culprits"]] == [("no_policy", "USING for SELECT")]
    assert any("policies for UPDATE" in note and "none for this role" in note for note in found["notes"])


async def test_what_is_written_comes_back(broad: Served) -> None:
    """RETURNING asks the policies for SELECT about the new row."""
    headers = {"Prefer": "return=representation"}
    body = {"user_id": BOB, "nickname": "B"}
    found = await explained(broad, "POST /rest/v1/profiles", caller=f"user:{BOB}", body=body, headers=headers)
    assert found["outcome"]["code"] == "42501"
    assert [one["clause"] for one in found["culprits"]] == ["USING for SELECT"]
    without = await explained(broad, "POST /rest/v1/profiles", caller=f"user:{BOB}", body=body)
    assert without["outcome"]["status"] == 201


async def test_names_that_nobody_knows(broad: Served) -> None:
    for request, code in (
        ("GET /rest/v1/nothing", "PGRST205"),
        ("GET /rest/v1/orders?select=nothing(id)", "PGRST200"),
        ("POST /rest/v1/rpc/nothing", "PGRST202"),
    ):
        found = await explained(broad, request)
        assert (found["outcome"]["code"], blamed(found)[0][0]) == (code, "request"), request
    unknown = await explained(broad, "GET /rest/v1/orders?nothing=eq.1")
    assert (unknown["outcome"]["code"], blamed(unknown)[0][0]) == ("42703", "database")


async def test_a_key_with_scopes(broad: Served) -> None:
    body = {"name": "reports", "permissions": ["data.orders:read"]}
    made = await broad.client.post("/platform/v1/api-keys", json=body, headers={"apikey": service_key()})
    caller = f"key:{made.json()['id']}"
    within = await explained(broad, "GET /rest/v1/orders", caller=caller)
    assert within["outcome"]["status"] == 200
    assert all(one[0] != "scope" for one in blamed(within))
    found = await explained(broad, "GET /rest/v1/invoices", caller=caller)
    assert (found["outcome"]["status"], found["outcome"]["code"], blamed(found)[0][0]) == (
        403,
        "MH103",
        "scope",
    )
    assert "data.invoices:read" in found["summary"] + found["culprits"][0].get("hint", "")
    assert "limited to data.orders:read" in titles(found["steps"])


async def test_a_role_that_cannot_be_taken(broad: Served) -> None:
    found = await explained(broad, "GET /rest/v1/orders", role="nobody_at_all")
    assert found["outcome"]["status"] >= 400
    assert blamed(found)[0][0] == "database"


async def test_only_so_many_rows(broad: Served, database: asyncpg.Connection) -> None:
    await database.execute("insert into public.orders select n, $1, 1 from generate_series(10, 30) n", BOB)
    found = await explained(broad, "GET /rest/v1/orders", rows=3)
    assert sum(step["kind"] == "row" for step in found["steps"]) == 3
    assert "More rows match; the first 3 were examined." in found["notes"]
