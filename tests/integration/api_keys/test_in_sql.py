"""``monohull.has_permission()`` and its neighbours when a key asks: by what the key holds."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

import asyncpg
import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from tests.application import JWT_SECRET, running_app
from tests.integration.api_keys.keyring import SHOP, ask, made
from tests.integration.rbac.staff import Staff
from tests.integration.rbac.test_sql import team

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from monohull.kernel.home import Connections

ASKING: Final = """
create function may(permission text, team uuid default null) returns boolean language sql stable
    as $$ select (select monohull.has_permission(permission, team)) $$;
create function has(role text) returns boolean language sql stable
    as $$ select (select monohull.has_role(role)) $$;
create function mine(permission text default null) returns setof uuid language sql stable
    as $$ select monohull.teams(permission) $$;
create table orders (id int primary key);
insert into orders select generate_series(1, 3000);
alter table orders enable row level security;
create policy staff on orders for select using ((select monohull.has_permission('orders:update')));
"""
OWN: Final = "orders:update"
"""A permission of the application: no key can be given it but by a role."""

CALLS: Final = "data.rpc.*"


@pytest.fixture
async def staff(connections: Connections, platform_database: str) -> AsyncIterator[Staff]:
    """A shop with a role ``clerk``."""
    connection = await asyncpg.connect(platform_database)
    await connection.execute(SHOP + ASKING)
    await connection.close()
    async with running_app(connections) as served:
        staff = Staff(served)
        await staff.made("/permissions", name=OWN, summary="Change orders")
        bundled = [OWN, "data.notes:read", "audit.*"]
        await staff.made("/roles", name="clerk", permissions=bundled)
        yield staff


async def call(staff: Staff, key: str, function: str, **arguments: Any) -> Any:
    query = "&".join(f"{name}={value}" for name, value in arguments.items())
    answer = await ask(staff.served, key, f"/rest/v1/rpc/{function}?{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def held(staff: Staff, key: str, *permissions: str) -> list[str]:
    """Return those of ``permissions`` that a request with ``key`` has in SQL."""
    return [name for name in permissions if await call(staff, key, "may", permission=name)]


ASKED: Final = (OWN, "data.notes:read", "data.products:read", "auth.users:manage", "audit.entries:read")


async def test_a_key_answers_by_its_scopes_and_roles(staff: Staff) -> None:
    key = await made(staff.served, permissions=[CALLS, "data.products:read", "auth.users:*"])
    assert await held(staff, key["key"], *ASKED) == ["data.products:read", "auth.users:manage"]
    assert await call(staff, key["key"], "has", role="clerk") is False
    assignment = await staff.made("/role-assignments", role="clerk", key_id=key["id"])
    assert await held(staff, key["key"], *ASKED) == [
        OWN,
        "data.products:read",
        "auth.users:manage",
        "audit.entries:read",
    ]
    assert await call(staff, key["key"], "has", role="clerk") is True
    await staff.call("DELETE", f"/role-assignments/{assignment['id']}")
    assert OWN not in await held(staff, key["key"], *ASKED)


async def test_roles_do_not_widen_scopes(staff: Staff) -> None:
    limited = await made(staff.served, permissions=[CALLS, "data.products:read"])
    await staff.made("/role-assignments", role="clerk", key_id=limited["id"])
    refused = await ask(staff.served, limited["key"], "/rest/v1/notes")
    assert (refused.status_code, refused.json()["code"]) == (403, "MH103")
    assert await held(staff, limited["key"], "data.notes:read") == []
    publishable = await made(staff.served, kind="publishable", permissions=[])
    assert await held(staff, publishable["key"], *ASKED) == []
    await staff.made("/role-assignments", role="clerk", key_id=publishable["id"])
    assert await held(staff, publishable["key"], *ASKED) == [OWN, "data.notes:read", "audit.entries:read"]


async def test_a_key_for_everything_holds_everything(staff: Staff) -> None:
    key = await made(staff.served, permissions=["*"])
    assert await held(staff, key["key"], *ASKED, "made.up:thing") == [*ASKED, "made.up:thing"]


async def test_a_key_of_a_user_has_the_users_roles_but_not_the_office(staff: Staff) -> None:
    person, north = await staff.hired("clerk"), await team(staff, "North")
    await staff.give("clerk", person, team_id=str(north))
    key = (await made(staff.served, user_id=str(person.id), permissions=[CALLS]))["key"]
    assert await held(staff, key, *ASKED) == [OWN]
    assert await call(staff, key, "has", role="clerk") is True
    assert await call(staff, key, "mine") == [str(north)]
    assert await call(staff, key, "mine", permission=OWN) == [str(north)]
    assert await call(staff, key, "mine", permission="data.notes:read") == []


async def test_a_token_cannot_say_that_it_is_a_key(staff: Staff) -> None:
    person, key = await staff.people.sign_up(), await made(staff.served, permissions=["*"])
    claims = dict(await staff.people.claims(person.tokens["access_token"]))
    forged = jwt.encode(
        {"alg": "HS256", "typ": "JWT"},
        claims | {"monohull_key_id": key["id"]},
        OctKey.import_key(JWT_SECRET),
        algorithms=["HS256"],
    )
    answer = await staff.served.client.get(
        "/rest/v1/rpc/may?permission=x:y", headers={"Authorization": f"Bearer {forged}"}
    )
    assert (answer.status_code, answer.json()) == (200, False)
    told = await staff.served.client.get("/rest/v1/rpc/who", headers={"Authorization": f"Bearer {forged}"})
    assert (told.json()["sub"], "monohull_key_id" in told.json()) == (str(person.id), False)
    assert (await call(staff, key["key"], "who"))["monohull_key_id"] == key["id"]


async def test_in_a_policy_a_key_is_asked_about_once_a_statement(staff: Staff) -> None:
    key = await made(staff.served, permissions=[CALLS, "data.orders:read"])
    await staff.made("/role-assignments", role="clerk", key_id=key["id"])
    claims = json.dumps({"role": "anon", "monohull_key_id": key["id"]})
    async with staff.served.runtime.database.connection() as connection, connection.transaction():
        await connection.execute("grant select on orders to anon")
        await connection.execute(
            "select set_config('request.jwt.claims', $1, true), set_config('role', 'anon', true)", claims
        )
        assert await connection.fetchval("select count(*) from orders") == 3000
        rows = await connection.fetch("explain (analyze, costs off, timing off) select * from orders")
    plan = "\n".join(row[0] for row in rows)
    assert len(re.findall(r"^ *InitPlan", plan, re.MULTILINE)) == 1, plan
    assert "loops=3000" not in plan
