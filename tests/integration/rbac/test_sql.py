"""``monohull.has_permission()``, ``has_role()`` and ``teams()``: who asks is read from the claims."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import asyncpg
import pytest

from modules.rbac.permissions import including
from monohull.kernel.authentication import Credentials

if TYPE_CHECKING:
    from uuid import UUID

    from tests.integration.rbac.staff import Staff

ORDERS = """
create table public.orders (id int primary key, team_id uuid);
insert into public.orders select n, null from generate_series(1, 5000) as n;
alter table public.orders enable row level security;
grant select on public.orders to authenticated, anon;
create policy staff on public.orders for select using ((select monohull.has_permission('orders:read')));
"""


async def asked(
    staff: Staff, sql: str, user: UUID | str | None, role: str = "authenticated", *, before: str = ""
) -> list[Any]:
    """Run ``sql`` as a data request of ``user`` would, and return its first column."""
    claims: dict[str, Any] = {"role": role} | ({} if user is None else {"sub": str(user)})
    async with staff.served.runtime.database.connection() as connection, connection.transaction():
        await connection.execute(
            "select set_config('request.jwt.claims', $1, true), set_config('role', $2, true)",
            json.dumps(claims),
            role,
        )
        if before:
            await connection.execute(before)
        return [row[0] for row in await connection.fetch(sql)]


async def team(staff: Staff, name: str) -> UUID:
    made = uuid4()
    await staff.people.execute(
        "insert into monohull.teams (id, name, slug) values ($1, $2, lower($2))", made, name
    )
    return made


async def test_permissions_in_sql_are_those_of_the_process(staff: Staff) -> None:
    await staff.made("/permissions", name="orders:read", summary="See orders")
    person = await staff.hired("developer")
    principal = await staff.served.runtime.authentication.authenticate(
        Credentials(bearer=person.tokens["access_token"])
    )
    assert principal.roles == ("developer",)
    for permission in (
        "platform.status:read",
        "auth.users:manage",
        "data.orders:read",
        "data.rpc.total:call",
        "storage.objects:write",
        "orders:read",
    ):
        patterns = await asked_as_owner(staff, permission)
        assert sorted(patterns) == sorted(including(permission))
        (in_sql,) = await asked(staff, f"select monohull.has_permission('{permission}')", person.id)
        assert in_sql is bool(principal.permissions & set(patterns)), permission


async def asked_as_owner(staff: Staff, permission: str) -> list[str]:
    (row,) = await staff.people.rows("select monohull.permission_patterns($1) as patterns", permission)
    found: list[str] = row["patterns"]
    return found


async def test_a_change_counts_in_the_next_statement(staff: Staff) -> None:
    person = await staff.people.sign_up()
    sql = "select monohull.has_role('viewer') and monohull.has_permission('platform.status:read')"
    assert await asked(staff, sql, person.id) == [False]
    assignment = await staff.give("viewer", person)
    assert await asked(staff, sql, person.id) == [True]
    await staff.call("DELETE", f"/role-assignments/{assignment}")
    assert await asked(staff, sql, person.id) == [False]


async def test_roles_in_teams(staff: Staff) -> None:
    one, two, three = [await team(staff, name) for name in ("One", "Two", "Three")]
    await staff.made("/permissions", name="orders:update", summary="Change orders")
    await staff.made("/roles", name="manager", permissions=["orders:*"])
    person = await staff.people.sign_up()
    await staff.give("manager", person, team_id=str(one))
    group = await staff.made("/groups", name="Two")
    await staff.made("/role-assignments", role="member", group_id=group["id"], team_id=str(two))
    await staff.call("PUT", f"/groups/{group['id']}/members/{person.id}")

    async def holds(sql: str) -> Any:
        (found,) = await asked(staff, f"select {sql}", person.id)
        return found

    assert set(await asked(staff, "select monohull.teams()", person.id)) == {one, two}
    assert await asked(staff, "select monohull.teams('orders:update')", person.id) == [one]
    assert await holds(f"monohull.has_role('manager', '{one}')")
    assert not await holds(f"monohull.has_role('manager', '{two}')")
    assert not await holds("monohull.has_role('manager')")
    assert await holds(f"monohull.has_permission('orders:update', '{one}')")
    assert not await holds(f"monohull.has_permission('orders:update', '{three}')")
    assert not await holds("monohull.has_permission('orders:update')")
    await staff.give("manager", person)
    assert await holds(f"monohull.has_permission('orders:update', '{three}')")


@pytest.mark.parametrize("user", [None, "auth0|4711", "", "'; drop table x; --"])
async def test_nobody_and_strangers_hold_nothing(staff: Staff, user: str | None) -> None:
    sql = "select monohull.has_permission('platform.status:read') or monohull.has_role('owner')"
    assert await asked(staff, sql, user) == [False]
    assert await asked(staff, "select monohull.teams()", user) == []
    assert await asked(staff, sql, None, "anon") == [False]


async def test_the_service_holds_everything(staff: Staff) -> None:
    assert await asked(staff, "select monohull.has_permission('x:y')", None, "service_role") == [True]


async def test_in_a_policy_it_is_asked_once_a_statement(staff: Staff) -> None:
    await staff.people.execute(ORDERS)
    await staff.made("/permissions", name="orders:read", summary="See orders")
    await staff.made("/roles", name="clerk", permissions=["orders:read"])
    clerk, other = await staff.hired("clerk"), await staff.hired("viewer")
    assert await asked(staff, "select count(*) from public.orders", clerk.id) == [5000]
    assert await asked(staff, "select count(*) from public.orders", other.id) == [0]
    plan = "\n".join(
        await asked(staff, "explain (analyze, costs off, timing off) select * from public.orders", clerk.id)
    )
    assert len(re.findall(r"^ *InitPlan", plan, re.MULTILINE)) == 1, plan
    assert "loops=5000" not in plan
    await staff.people.execute(
        "alter policy staff on public.orders using (team_id = any (array(select monohull.teams())))"
    )
    plan = "\n".join(
        await asked(staff, "explain (analyze, costs off, timing off) select * from public.orders", clerk.id)
    )
    assert len(re.findall(r"^ *InitPlan", plan, re.MULTILINE)) == 1, plan
    assert "loops=5000" not in plan


async def test_a_search_path_of_the_caller_changes_nothing(staff: Staff) -> None:
    person = await staff.people.sign_up()
    await staff.people.execute(
        "create schema trap; grant usage on schema trap to authenticated;"
        "create function trap.asking_user() returns uuid language sql as 'select gen_random_uuid()';"
        "create view trap.roles as select 'owner'::text as name, array['*'] as permissions"
    )
    sql = "select monohull.has_permission('x:y')"
    assert await asked(staff, sql, person.id, before="set local search_path = trap, pg_catalog") == [False]


async def test_the_apis_roles_may_call_these_and_read_no_table(staff: Staff) -> None:
    rows = await staff.people.rows(
        "select p.proname from pg_proc p where pronamespace = 'monohull'::regnamespace"
        " and prorettype not in ('trigger'::regtype, 'event_trigger'::regtype)"
        " and has_function_privilege('anon', p.oid, 'execute') order by 1"
    )
    assert [row["proname"] for row in rows] == ["active_team", "has_permission", "has_role", "teams"]
    for table in ("roles", "role_assignments", "groups", "group_members", "teams", "permissions"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await asked(staff, f"select 1 from monohull.{table}", None, "anon")


async def test_tokens_show_roles(staff: Staff) -> None:
    person = await staff.hired("viewer", "auditor")
    signed_in = await staff.people.sign_in(person.email)
    claims = await staff.people.claims(signed_in.tokens["access_token"])
    (version,) = await staff.people.rows("select version from monohull.access_version")
    assert claims["app_metadata"]["roles"] == ["auditor", "viewer"]
    assert claims["app_metadata"]["roles_version"] == version["version"]
    await staff.give("developer", person)
    renewed = (await staff.people.refresh(signed_in.refresh_token)).json()
    later = await staff.people.claims(renewed["access_token"])
    assert later["app_metadata"]["roles"] == ["auditor", "developer", "viewer"]
    assert later["app_metadata"]["roles_version"] > version["version"]
    assert "roles" not in renewed["user"]["app_metadata"]


async def test_tokens_of_those_without_roles_are_as_before(staff: Staff) -> None:
    person = await staff.people.sign_up()
    claims = await staff.people.claims(person.tokens["access_token"])
    assert claims["app_metadata"] == {"provider": "email", "providers": ["email"]}


async def test_a_claim_opens_nothing(staff: Staff) -> None:
    person = await staff.people.sign_up()
    await staff.people.execute(
        "update auth.users set raw_app_meta_data = raw_app_meta_data || $2 where id = $1",
        person.id,
        '{"roles": ["owner"]}',
    )
    renewed = await staff.people.sign_in(person.email)
    claims = await staff.people.claims(renewed.tokens["access_token"])
    assert claims["app_metadata"]["roles"] == ["owner"]
    assert (await staff.call("GET", "/status", by=renewed)).status_code == 403
    assert await asked(staff, "select monohull.has_role('owner')", person.id) == [False]
