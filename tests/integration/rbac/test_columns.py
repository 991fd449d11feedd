"""Rules of columns: set over the wire and by command, held by several roles, and counting at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import asyncpg
import msgspec
import pytest
from click.testing import CliRunner

from modules.rbac.cli import roles
from monohull.kernel.authentication import Credentials
from monohull.kernel.grants import NOTHING
from tests.application import running_app
from tests.integration.api_keys.test_cli import ENVIRON, Context, printed
from tests.integration.rbac.conftest import RELAXED
from tests.integration.rbac.staff import Staff

if TYPE_CHECKING:
    from collections.abc import Mapping

    from monohull.kernel.home import Connections

PEOPLE = """
create table people (id int primary key, name text, iban text, salary int);
insert into people values (1, 'Ida', 'DE1', 5);
alter table people enable row level security;
create policy everybody on people using (true) with check (true);
create view people_list with (security_invoker = on) as select * from people;
"""
ALL = ["id", "name", "iban", "salary"]


@pytest.fixture
async def people(staff: Staff) -> Staff:
    await staff.people.execute(PEOPLE)
    await seen(staff, {}, status=401)
    return staff


async def seen(staff: Staff, by: Mapping[str, str], *, status: int = 200) -> list[str]:
    """Return the columns that somebody sees."""
    answer = await staff.served.client.get("/rest/v1/people?id=eq.1", headers=dict(by))
    if answer.status_code == 404:  # the table was made a moment ago
        await asyncio.sleep(0.1)
        return await seen(staff, by, status=status)
    return list(answer.json()[0]) if answer.status_code == 200 and answer.json() else []


async def limit(staff: Staff, role: str, status: int = 200, *, by: Any = None, **rule: Any) -> Any:
    answer = await staff.call("PUT", f"/roles/{role}/columns/public/people", rule, by=by)
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_rules_count_at_once_and_unite(people: Staff) -> None:
    for role in ("support", "payroll", "walker"):
        await people.made("/roles", name=role)
    ida = await people.hired("support")
    assert await seen(people, ida.bearer) == ALL
    await limit(people, "support", read=["id", "name"])
    assert await seen(people, ida.bearer) == ["id", "name"]
    await people.give("walker", ida)
    assert await seen(people, ida.bearer) == ["id", "name"], "a role without a rule says nothing"
    await people.give("payroll", ida)
    await limit(people, "payroll", read=["id", "iban"], write=["iban"])
    assert await seen(people, ida.bearer) == ["id", "name", "iban"]
    await limit(people, "payroll", read=["*"], write=["iban"])
    assert await seen(people, ida.bearer) == ALL
    refused = await people.served.client.patch(
        "/rest/v1/people?id=eq.1", json={"salary": 9}, headers=ida.bearer
    )
    assert (refused.status_code, refused.json()["details"]) == (403, "Limited by: payroll, support")
    await limit(people, "payroll", write=["id"])
    assert await seen(people, ida.bearer) == ["id", "name"], "it says nothing about reading"
    freed = await people.call("DELETE", "/roles/support/columns/public/people")
    assert freed.status_code == 204
    assert await seen(people, ida.bearer) == ALL
    await limit(people, "support", read=[])
    assert await seen(people, ida.bearer) == []
    assert (await people.call("DELETE", "/roles/support")).status_code == 204
    assert await seen(people, ida.bearer) == ALL


async def test_groups_teams_keys_and_lent_tokens(people: Staff) -> None:
    await people.made("/roles", name="support")
    await limit(people, "support", read=["id", "name"])
    group = await people.made("/groups", name="Desk")
    in_group, in_team, with_key = [await people.people.sign_up() for _ in range(3)]
    member = f"/groups/{group['id']}/members/{in_group.id}"
    assert (await people.call("PUT", member)).status_code == 204
    await people.made("/role-assignments", role="support", group_id=group["id"])
    assert await seen(people, in_group.bearer) == ["id", "name"]
    await people.people.execute("insert into monohull.teams (name, slug) values ('T', 't')")
    [team] = await people.people.rows("select id from monohull.teams")
    assert await seen(people, in_team.bearer) == ALL
    await people.give("support", in_team, team_id=str(team["id"]))
    assert await seen(people, in_team.bearer) == ["id", "name"], "a column has no team"
    key = await people.made("/api-keys", name="k", user_id=str(with_key.id), permissions=["data.*"])
    secret = {"apikey": key["key"]}
    assert await seen(people, secret) == ALL
    await people.give("support", with_key)
    assert await seen(people, secret) == ["id", "name"], "a key sees no more than its user"
    await people.made("/roles", name="robots")
    await limit(people, "robots", read=["id", "iban"])
    await people.made("/role-assignments", role="robots", key_id=key["id"])
    assert await seen(people, secret) == ["id"], "what both leave"
    grants = people.served.runtime.grants
    principal = await people.served.runtime.authentication.authenticate(
        Credentials(bearer=in_group.tokens["access_token"])
    )
    lent = await grants.granted(_lent(principal))
    assert (lent.roles, lent.columns) == ((), principal.columns)
    assert principal.columns is not None


def _lent(principal: Any) -> Any:
    return msgspec.structs.replace(principal, claims={**principal.claims, "client_id": "app"})


async def test_what_a_rule_may_say(people: Staff) -> None:
    await people.made("/roles", name="support", permissions=["data.people:read"])
    assert (await limit(people, "support", 400))["code"] == "invalid_request"
    unknown = await limit(people, "support", 400, read=["id", "nothing"])
    assert unknown["code"] == "unknown_column"
    absent = await people.call("PUT", "/roles/support/columns/public/nobody", {"read": ["id"]})
    assert (absent.status_code, absent.json()["code"]) == (400, "unknown_relation")
    assert (await limit(people, "admin", 409, read=["id"]))["code"] == "builtin_role"
    assert (await limit(people, "nobody", 404, read=["id"]))["code"] == "not_found"
    made = await limit(people, "support", read=["name", "id"])
    assert (made["read"], made["write"]) == (["id", "name"], ["id", "name"])
    [listed] = (await people.call("GET", "/roles/support/columns")).json()
    assert listed == made
    await people.people.execute("drop table people cascade")
    [listed] = (await people.call("GET", "/roles/support/columns")).json()
    assert listed["is_present"] is False
    assert "rbac.role_columns_limited" in await people.events()
    gone = await people.call("DELETE", "/roles/support/columns/public/people")
    again = await people.call("DELETE", "/roles/support/columns/public/people")
    assert (gone.status_code, again.status_code) == (204, 404)
    assert "rbac.role_columns_freed" in await people.events()


async def test_nobody_widens_what_they_see_themselves(people: Staff) -> None:
    await people.made("/roles", name="support")
    await people.made("/roles", name="open")
    await people.made("/roles", name="clerk", permissions=["rbac.*"])
    await limit(people, "support", read=["id"])
    await limit(people, "open", read=["*"])
    clerk = await people.hired("clerk")
    assignment = await people.give("support", clerk)
    group = await people.made("/groups", name="Open")
    await people.made("/role-assignments", role="open", group_id=group["id"])
    for method, path, body in (
        ("PUT", "/roles/support/columns/public/people", {"read": ["*"]}),
        ("DELETE", "/roles/support/columns/public/people", None),
        ("DELETE", "/roles/support", None),
        ("DELETE", f"/role-assignments/{assignment}", None),
        ("POST", "/role-assignments", {"role": "open", "user_id": str(clerk.id)}),
        ("PUT", f"/groups/{group['id']}/members/{clerk.id}", None),
        ("DELETE", f"/groups/{group['id']}", None),
    ):
        answer = await people.call(method, path, body, by=clerk)
        assert (answer.status_code, answer.json()["code"]) == (403, "beyond_own_roles"), path
    assert await seen(people, clerk.bearer) == ["id"]


async def test_who_is_not_limited_costs_nothing(people: Staff) -> None:
    principal = await people.served.runtime.authentication.authenticate(
        Credentials(bearer=(await people.people.sign_up()).tokens["access_token"])
    )
    assert principal.columns is None
    assert await people.served.runtime.grants.granted(principal) is NOTHING


def call(connections: Connections, *arguments: str) -> str:
    result = CliRunner().invoke(roles, arguments, obj=Context(connections, ENVIRON))
    assert result.exit_code == 0, result.output
    return printed(result)


def test_commands(connections: Connections) -> None:
    async def prepare() -> None:
        async with running_app(connections, **RELAXED) as served:
            await Staff(served).people.execute(PEOPLE)

    asyncio.run(prepare())
    call(connections, "create", "support")
    shown = call(
        connections, "columns", "limit", "support", "people", "--read", "id, name", "--write", "name"
    )
    assert shown.strip() == "public.people  read: id, name  write: name"
    call(connections, "columns", "limit", "support", "public.people_list", "--read", "*", "--write", "")
    assert "public.people_list  read: *  write: nothing" in call(connections, "columns", "list", "support")
    statements = call(connections, "columns", "grants", "support", "--to", "support desk")
    assert asyncio.run(privileges(connections, statements)) == {
        ("people", "id", "SELECT"),
        ("people", "name", "INSERT"),
        ("people", "name", "SELECT"),
        ("people", "name", "UPDATE"),
        *(("people_list", name, "SELECT") for name in ALL),
    }
    call(connections, "columns", "free", "support", "people")
    assert "public.people " not in call(connections, "columns", "list", "support")


async def privileges(connections: Connections, statements: str) -> set[tuple[str, str, str]]:
    """Return the privileges that a database role has on columns once ``statements`` ran; then nothing did."""
    connection = await asyncpg.connect(connections.owner_url)
    try:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute('create role "support desk"')
        await connection.execute('grant select, insert, update on people, people_list to "support desk"')
        await connection.execute(statements)
        found = await connection.fetch(
            "select table_name, column_name, privilege_type from information_schema.column_privileges"
            " where grantee = 'support desk'"
        )
        await transaction.rollback()
        return {tuple(row) for row in found}
    finally:
        await connection.close()
