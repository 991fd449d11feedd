"""Rows of tables: told by whoever changes them, as Supabase has them, and to whom they may be."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from modules.webhooks.looks import look
from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.housekeeping import deliver_event
from monohull.kernel.rows import sync_watches
from tests.integration.webhooks.receiver import Answer
from tests.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    from tests.integration.auth.people import Person
    from tests.integration.webhooks.office import Office

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def table(office: Office) -> str:
    """Make a table and return its name."""
    name = f"orders_{uuid4().hex[:8]}"
    await office.execute(f"create table public.{name} (id int primary key, status text, total numeric)")
    return name


def columns(**values: Any) -> dict[str, Any]:
    return {"id": 1, "status": "open", "total": 1.5} | values


async def clerk(office: Office, *permissions: str) -> Person:
    """Return somebody who may write endpoints, and what else is named."""
    name = f"clerk-{uuid4().hex[:8]}"
    await office.staff.made("/roles", name=name, permissions=["webhooks.endpoints:write", *permissions])
    return await office.staff.hired(name)


async def triggers(office: Office, name: str) -> int:
    """Return how many triggers of ours a table has."""
    query = "select count(*) from pg_trigger where tgrelid = $1::text::regclass and tgname like 'monohull%'"
    count: int = (await office.rows(query, f"public.{name}"))[0]["count"]
    return count


async def watches(office: Office, endpoint_id: str) -> list[tuple[Any, ...]]:
    """Return what an endpoint watches, as the kernel has it."""
    query = "select relation::text, operations, condition from monohull.row_watches where watcher = $1"
    return [tuple(row) for row in await office.rows(query, f"webhooks:{endpoint_id}")]


async def test_rows_as_database_webhooks_have_them(office: Office) -> None:
    name = await table(office)
    there = await office.endpoint(events=[], rows=[{"table": name}], payload="database")
    await office.execute(f"insert into public.{name} values (1, 'open', 1.5)")
    await office.execute(f"update public.{name} set status = 'paid'")
    await office.execute(f"delete from public.{name}")
    requests = await office.receiver.arrived(there.path, 3)
    bodies = {one["type"]: one for one in (got.verify(there.secret) for got in requests)}
    where = {"schema": "public", "table": name}
    assert bodies == {
        "INSERT": where | {"type": "INSERT", "record": columns(), "old_record": None},
        "UPDATE": where | {"type": "UPDATE", "record": columns(status="paid"), "old_record": columns()},
        "DELETE": where | {"type": "DELETE", "record": None, "old_record": columns(status="paid")},
    }


async def test_only_what_was_asked_for(office: Office) -> None:
    name = await table(office)
    paid = {"table": name, "operations": ["UPDATE"], "columns": ["status"], "condition": "new.total > 10"}
    there = await office.endpoint(
        events=[], rows=[paid], filters=[{"field": "record.status", "op": "eq", "value": "paid"}]
    )
    everything = await office.endpoint(events=["*"])
    await office.execute(f"insert into public.{name} values (1, 'open', 5), (2, 'open', 50), (3, 'open', 60)")
    await office.execute(f"update public.{name} set total = total + 1")
    await office.execute(f"update public.{name} set status = 'void' where id = 3")
    await office.execute(f"update public.{name} set status = 'paid' where id < 3")
    (got,) = await office.receiver.arrived(there.path)
    body = got.json
    assert (body["type"], body["key"]) == ("rows.updated", f"public.{name}:2")
    assert body["data"]["record"]["id"] == 2
    (marker,) = await there.happen("later")
    await office.receiver.until(lambda: marker in {one.id for one in office.receiver.at(everything.path)})
    assert not [one for one in office.receiver.at(everything.path) if one.json["type"].startswith("rows.")]
    assert len(await there.settled()) == 1
    await everything.change(is_enabled=False)


async def test_a_table_that_two_watch_tells_each_what_it_asked_for(office: Office) -> None:
    name = await table(office)
    large = await office.endpoint(events=[], rows=[{"table": name, "condition": "new.total > 10"}])
    added = await office.endpoint(events=[], rows=[{"table": name, "operations": ["INSERT"]}])
    await office.execute(f"insert into public.{name} values (1, 'open', 5), (2, 'open', 50)")
    await office.execute(f"update public.{name} set status = 'paid'")
    got = await office.receiver.arrived(large.path, 2)
    assert {(one.json["type"], one.json["key"]) for one in got} == {
        ("rows.inserted", f"public.{name}:2"),
        ("rows.updated", f"public.{name}:2"),
    }
    got = await office.receiver.arrived(added.path, 2)
    assert {one.json["data"]["record"]["id"] for one in got} == {1, 2}
    assert (len(await large.settled(2)), len(await added.settled(2))) == (2, 2)
    await office.call("DELETE", f"/endpoints/{large.id}")
    assert await watches(office, large.id) == []
    assert await triggers(office, name) > 0
    await office.execute(f"insert into public.{name} values (3, 'open', 500)")
    await office.receiver.arrived(added.path, 3)
    await office.call("DELETE", f"/endpoints/{added.id}")
    assert await triggers(office, name) == 0


async def test_an_endpoint_watches_while_it_is_enabled_and_asks_for_rows(office: Office) -> None:
    name, other = await table(office), await table(office)
    there = await office.endpoint(events=[], rows=[{"table": name}])
    assert await triggers(office, name) > 0
    assert (await there.change(rows=[{"table": other}]))["rows"][0]["table"] == other
    assert (await triggers(office, name), await triggers(office, other) > 0) == (0, True)
    assert (await there.change(is_enabled=False))["rows"][0]["table"] == other
    assert await triggers(office, other) == 0
    await there.change(rows=[{"table": name}])
    assert (await triggers(office, name), await watches(office, there.id)) == (0, [])
    await office.execute(f"insert into public.{name} values (1)")
    await there.change(is_enabled=True)
    await office.execute(f"insert into public.{name} values (2)")
    (got,) = await office.receiver.arrived(there.path)
    assert got.json["key"] == f"public.{name}:2"
    await there.change(rows=[])
    assert await triggers(office, name) == 0
    late = await office.endpoint(events=[], rows=[{"table": name}], is_enabled=False)
    assert await watches(office, late.id) == []


async def test_an_endpoint_that_was_disabled_by_itself_watches_no_more(office: Office) -> None:
    name = await table(office)
    there = await office.endpoint(events=[], rows=[{"table": name}])
    office.receiver.plan[there.path] = [Answer(status=410)]
    await office.execute(f"insert into public.{name} values (1)")
    deadline = monotonic_seconds() + PATIENCE_SECONDS
    query = "select id from monohull.outbox where name = 'webhooks.endpoint_disabled' and key = $1"
    while not (found := await office.rows(query, there.id)):
        assert monotonic_seconds() < deadline
        await asyncio.sleep(0.05)

    async def heard() -> None:
        await deliver_event(office.served.runtime, event_id=str(found[0]["id"]), subscriber="webhooks.tables")

    await heard()
    assert (await triggers(office, name), await watches(office, there.id)) == (0, [])
    await there.change(is_enabled=True)
    await heard()  # late, or once more
    assert await triggers(office, name) > 0


async def test_who_may_have_rows_told(office: Office) -> None:
    name = await table(office)
    there = await office.endpoint(events=[], rows=[{"table": name}])
    plain = await office.endpoint()
    asking = [{"table": name, "condition": "true"}]
    asked = await office.endpoint(events=[], rows=asking, is_enabled=False)
    someone = await clerk(office)
    keeper = await clerk(office, "webhooks.rows:write")
    body = {"name": "x", "url": "https://example.com", "rows": [{"table": name}]}
    for who, method, path, sent in (
        (someone, "POST", "/endpoints", body),
        (someone, "PATCH", f"/endpoints/{there.id}", {"url": "https://elsewhere.example.com"}),
        (someone, "PATCH", f"/endpoints/{there.id}", {"rows": []}),
        (someone, "PATCH", f"/endpoints/{there.id}", {"is_enabled": False}),
        (someone, "PATCH", f"/endpoints/{plain.id}", {"rows": [{"table": name}]}),
        (keeper, "POST", "/endpoints", body | {"rows": asking}),
        (keeper, "PATCH", f"/endpoints/{there.id}", {"rows": asking}),
        (keeper, "PATCH", f"/endpoints/{asked.id}", {"is_enabled": True}),
    ):
        answer = await office.call(method, path, sent, by=who)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), (path, sent)
    assert await watches(office, there.id) == [(name, ["INSERT", "UPDATE", "DELETE"], None)]
    assert (await watches(office, plain.id), await watches(office, asked.id)) == ([], [])
    passing: list[tuple[Person, str, dict[str, Any]]] = [
        (someone, plain.id, {"name": "y"}),
        (someone, plain.id, {"rows": [], "is_enabled": False}),
        (keeper, there.id, {"rows": [{"table": name, "operations": ["DELETE"]}]}),
        (keeper, asked.id, {"name": "y"}),
    ]
    for who, endpoint_id, patch in passing:
        answer = await office.call("PATCH", f"/endpoints/{endpoint_id}", patch, by=who)
        assert answer.status_code == 200, answer.text
    assert await watches(office, there.id) == [(name, ["DELETE"], None)]
    assert (await office.call("DELETE", f"/endpoints/{there.id}", by=someone)).status_code == 204
    assert await triggers(office, name) == 0


async def test_rows_that_cannot_be_told(office: Office) -> None:
    name = await table(office)
    await office.execute(f"create view public.{name}_seen as select * from public.{name}")
    there = await office.endpoint(events=[], rows=[{"table": name, "condition": "new.id > 1"}])
    before = await there.view(), await watches(office, there.id), await triggers(office, name)
    cases: list[tuple[list[Any], str]] = [
        ([{"table": "nowhere"}], "rows_not_watchable"),
        ([{"schema": "monohull", "table": "webhook_secrets"}], "rows_not_watchable"),
        ([{"table": f"{name}_seen"}], "rows_not_watchable"),
        ([{"table": name}, {"table": "nowhere"}], "rows_not_watchable"),
        ([{"table": name, "condition": "new.id"}], "rows_not_watchable"),
        ([{"table": name, "condition": "exists (select from auth.users)"}], "rows_not_watchable"),
        ([{"table": name, "columns": ["gone"]}], "rows_not_watchable"),
        ([{"table": name, "condition": "true) execute function x(); --"}], "rows_not_watchable"),
        ([{"table": name}, {"table": name}], "webhook_invalid"),
        ([{"table": name, "operations": ["TRUNCATE"]}], "invalid_request"),
        ([{"table": name, "operations": []}], "invalid_request"),
    ]
    plain = {"name": "x", "url": "https://example.com"}
    for rows, code in cases:
        for method, path, sent in (("POST", "", plain), ("PATCH", f"/{there.id}", {"events": ["auth.*"]})):
            answer = await office.call(method, f"/endpoints{path}", sent | {"rows": rows})
            assert (answer.status_code, answer.json()["code"]) == (400, code), answer.text
    assert (await there.view(), await watches(office, there.id), await triggers(office, name)) == before
    await there.change(is_enabled=False)
    await office.execute(f"drop table public.{name} cascade")
    answer = await office.call("PATCH", f"/endpoints/{there.id}", {"is_enabled": True})
    assert (answer.status_code, answer.json()["code"]) == (400, "rows_not_watchable")
    assert (await there.view())["is_enabled"] is False


async def test_a_table_that_somebody_holds(office: Office) -> None:
    name = await table(office)
    there = await office.endpoint(events=[], rows=[{"table": name}])
    async with office.served.runtime.database.connection() as connection, connection.transaction():
        await connection.execute(f"lock table public.{name} in row exclusive mode")
        answer = await office.call("DELETE", f"/endpoints/{there.id}")
        assert (answer.status_code, answer.json()["code"]) == (503, "rows_in_use")
        assert int(answer.headers["retry-after"]) > 0
    assert (await there.view())["is_enabled"] is True
    assert await triggers(office, name) > 0
    assert (await office.call("DELETE", f"/endpoints/{there.id}")).status_code == 204


async def test_a_condition_that_fits_no_more_is_shown_and_told_by_the_doctor(office: Office) -> None:
    name = await table(office)
    there = await office.endpoint(events=[], rows=[{"table": name, "condition": "new.total > 10"}])
    assert (await there.view())["row_problems"] == []
    await office.execute(f"alter table public.{name} drop column total")
    assert await sync_watches(office.served.runtime.database) == []
    problem = {"table": f"public.{name}", "problem": "column new.total does not exist"}
    assert (await there.view())["row_problems"] == [problem]
    listed = {
        one["id"]: one["row_problems"] for one in (await office.ask("/endpoints?limit=200"))["endpoints"]
    }
    assert listed[there.id] == [problem]
    found = await look(office.served.runtime)
    assert (found.state, problem["problem"] in found.message) == ("wrong", True)
    assert (await there.change(rows=[{"table": name}]))["row_problems"] == []
    assert "watched tables" not in (await look(office.served.runtime)).message


async def test_the_doctor_tells_of_dead_letters_and_of_endpoints_that_fail(office: Office) -> None:
    there = await office.endpoint(max_attempts=1, breaker_failures=1, breaker_seconds=3600)
    office.receiver.plan[there.path] = [Answer(status=500)]
    await there.happen(1)
    await there.settled()
    found = await look(office.served.runtime)
    assert (found.state, there.name in found.message) == ("advice", True)
    await there.change(is_enabled=True, breaker_failures=1000)
    await office.execute(
        "update monohull.webhook_endpoints set consecutive_failures = 0, disabled_reason = null, "
        "disabled_at = null, is_enabled = true"
    )
    found = await look(office.served.runtime)
    assert (found.state, "given up within a day" in found.message) == ("advice", True)
    await there.change(is_enabled=False)
