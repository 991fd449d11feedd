"""Rules of columns follow what they are about, whatever it is called by now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modules.rbac.looks import look
from modules.rbac.watch import AccessWatch

if TYPE_CHECKING:
    from tests.integration.rbac.staff import Staff

TABLES = """
create schema attic;
create table public.people (id int, name text, iban text, salary int);
create table public.others (id int, name text, iban text);
"""


async def rules(staff: Staff) -> dict[str, tuple[Any, Any]]:
    """Return what the role leaves, once the processes have looked."""
    runtime = staff.served.runtime
    await AccessWatch(runtime.database, runtime.broker, runtime.grants, runtime.observer).look()
    listed = (await staff.call("GET", "/roles/support/columns")).json()
    return {f"{one['schema']}.{one['relation']}": (one["read"], one["write"]) for one in listed}


async def test_rules_follow_renames(staff: Staff) -> None:
    await staff.people.execute(TABLES)
    await staff.made("/roles", name="support")
    rule = {"read": ["id", "name"], "write": ["name"]}
    limited = await staff.call("PUT", "/roles/support/columns/public/people", rule)
    assert limited.status_code == 200, limited.text

    async def after(sql: str) -> dict[str, tuple[Any, Any]]:
        await staff.people.execute(sql)
        return await rules(staff)

    assert await after("select 1") == {"public.people": (["id", "name"], ["name"])}
    moved = await after("alter table people rename to persons")
    assert moved == {"public.persons": (["id", "name"], ["name"])}
    moved = await after("alter table persons rename column name to called")
    assert moved == {"public.persons": (["id", "called"], ["called"])}
    assert await after("alter table persons add column name text") == moved, "what is new is hidden"
    moved = await after("alter table persons rename called to label; alter table persons set schema attic")
    assert moved == {"attic.persons": (["id", "label"], ["label"])}
    nothing = await staff.call(
        "PUT", "/roles/support/columns/attic/persons", {"read": [], "write": ["label"]}
    )
    assert nothing.status_code == 200
    moved = await after("alter table attic.persons rename label to text")
    assert moved == {"attic.persons": ([], ["text"])}, "an empty list is none that is missing"
    swapped = await after("alter table attic.persons rename to older; alter table others set schema attic;"
                          "alter table attic.others rename to persons")  # fmt: skip
    assert swapped.keys() == {"attic.older", "attic.persons"}, "what took the name is limited like before"
    assert (await look(staff.served.runtime)).state == "ok"
    gone = await after("drop table attic.persons")
    assert gone.keys() == {"attic.older", "attic.persons"}
    found = await look(staff.served.runtime)
    assert found.state == "advice"
    assert "attic.persons (support)" in found.message
    await after("create table attic.persons (id int, label text, salary int)")
    assert (await look(staff.served.runtime)).state == "ok"
    assert (await after("alter table attic.persons rename to younger")).keys() == {
        "attic.older",
        "attic.younger",
    }
