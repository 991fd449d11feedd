"""Queues over RPC as Supabase's clients call them, with their rights, and steered by the platform's API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from modules.queues.looks import look, waiting_messages
from monohull.kernel.clock import monotonic_seconds
from tests.application import anon_key, service_key

if TYPE_CHECKING:
    import httpx

    from tests.application import Served

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def rpc(post_office: Served, verb: str, key: str, **arguments: Any) -> httpx.Response:
    return await post_office.client.post(
        f"/rest/v1/rpc/{verb}", json=arguments, headers={"apikey": key, "Content-Profile": "pgmq_public"}
    )


async def call(
    post_office: Served, method: str, path: str, body: Any = None, *, key: str | None = None
) -> httpx.Response:
    headers = {"apikey": service_key() if key is None else key}
    return await post_office.client.request(method, f"/platform/v1{path}", json=body, headers=headers)


async def execute(post_office: Served, *statements: str) -> None:
    async with post_office.runtime.database.connection() as connection:
        for statement in statements:
            await connection.execute(statement)


async def test_the_service_role_has_all_verbs(post_office: Served) -> None:
    key = service_key()
    assert (await call(post_office, "POST", "/queues", {"name": "orders"})).status_code == 201
    sent = await rpc(post_office, "send", key, queue_name="orders", message={"n": 1}, sleep_seconds=0)
    assert (sent.status_code, sent.json()) == (200, [1])
    batch = await rpc(post_office, "send_batch", key, queue_name="orders", messages=[{"n": 2}, {"n": 3}])
    assert batch.json() == [2, 3]
    read = await rpc(post_office, "read", key, queue_name="orders", sleep_seconds=30, n=2)
    assert [row["message"] for row in read.json()] == [{"n": 1}, {"n": 2}]
    assert set(read.json()[0]) == {"msg_id", "read_ct", "enqueued_at", "vt", "message"}
    assert [row["msg_id"] for row in (await rpc(post_office, "pop", key, queue_name="orders")).json()] == [3]
    assert (await rpc(post_office, "archive", key, queue_name="orders", message_id=1)).json() is True
    assert (await rpc(post_office, "delete", key, queue_name="orders", message_id=2)).json() is True
    assert (await rpc(post_office, "delete", key, queue_name="orders", message_id=2)).json() is False
    unknown = await rpc(post_office, "pop", key, queue_name="none")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "42P01")
    assert (await rpc(post_office, "pop", key, queue_name="a b")).status_code == 400


async def test_a_queue_is_closed_until_grants_and_policies_open_it(post_office: Served) -> None:
    anon = anon_key()
    await call(post_office, "POST", "/queues", {"name": "letters"})
    for verb, arguments in (
        ("send", {"message": 1}),
        ("read", {"sleep_seconds": 1, "n": 1}),
        ("pop", {}),
        ("archive", {"message_id": 1}),
        ("delete", {"message_id": 1}),
    ):
        refused = await rpc(post_office, verb, anon, queue_name="letters", **arguments)
        assert (refused.status_code, refused.json()["code"]) == (401, "42501"), verb
    # a grant alone opens nothing, for row security is on
    await execute(post_office, "grant select, insert on pgmq.q_letters to anon")
    refused = await rpc(post_office, "send", anon, queue_name="letters", message=1)
    assert (refused.status_code, refused.json()["code"]) == (401, "42501")
    await execute(
        post_office,
        "create policy send on pgmq.q_letters for insert to anon with check (true)",
        "create policy see on pgmq.q_letters for select to anon using (true)",
    )
    sent = await rpc(post_office, "send", anon, queue_name="letters", message=1)
    assert (sent.status_code, len(sent.json())) == (200, 1)
    assert (await rpc(post_office, "pop", anon, queue_name="letters")).status_code == 401
    await execute(
        post_office,
        "grant update, delete on pgmq.q_letters to anon",
        "create policy take on pgmq.q_letters for update to anon using (true)",
        "create policy forget on pgmq.q_letters for delete to anon using (true)",
    )
    assert len((await rpc(post_office, "pop", anon, queue_name="letters")).json()) == 1
    for verb in ("create", "drop_queue", "purge_queue", "metrics", "list_queues"):
        assert (await rpc(post_office, verb, anon, queue_name="letters")).status_code == 404


@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role"])
async def test_roles_of_requests_make_and_drop_nothing(post_office: Served, role: str) -> None:
    async with post_office.runtime.database.connection() as connection:
        found = await connection.fetch(
            "select proname from pg_proc where pronamespace = 'pgmq'::regnamespace "
            "and has_function_privilege($1, oid, 'execute')",
            role,
        )
    names = {row["proname"] for row in found}
    assert names == {
        "validate_queue_name",
        "format_table_name",
        "send",
        "send_batch",
        "read",
        "read_with_poll",
        "pop",
        "delete",
        "archive",
        "set_vt",
    }


async def test_queues_are_steered(post_office: Served) -> None:
    made = await call(post_office, "POST", "/queues", {"name": "Steered", "is_unlogged": True})
    assert (made.json()["name"], made.json()["is_unlogged"], made.json()["length"]) == ("Steered", True, 0)
    again = await call(post_office, "POST", "/queues", {"name": "steered"})
    assert (again.status_code, again.json()["code"]) == (409, "queue_exists")
    began = monotonic_seconds()
    await rpc(post_office, "send_batch", service_key(), queue_name="Steered", messages=[1, 2])
    shown = (await call(post_office, "GET", "/queues/Steered")).json()
    assert (shown["length"], shown["total_messages"]) == (2, 2)
    assert 0 <= shown["oldest_age_seconds"] <= round(monotonic_seconds() - began)
    assert "Steered" in [queue["name"] for queue in (await call(post_office, "GET", "/queues")).json()]
    assert await waiting_messages(post_office.runtime.database) >= 2  # type: ignore[operator]  # it is there
    assert (await call(post_office, "POST", "/queues/Steered/purge")).json() == {"messages": 2}
    assert (await call(post_office, "DELETE", "/queues/Steered")).status_code == 204
    assert (await call(post_office, "DELETE", "/queues/Steered")).status_code == 404
    assert (await call(post_office, "GET", "/queues/%00")).status_code == 404
    for wrong in ({"name": "a b"}, {"name": "x" * 48}, {"name": "a\n"}, {}, {"name": "a", "b": 1}):
        assert (await call(post_office, "POST", "/queues", wrong)).status_code == 400
    for method, path in (("GET", "/queues"), ("POST", "/queues"), ("DELETE", "/queues/x")):
        assert (await call(post_office, method, path, {}, key=anon_key())).status_code == 403


async def test_tables_that_somebody_changed_are_no_defect_of_ours(post_office: Served) -> None:
    await execute(post_office, "create table pgmq.q_mine (n integer)")
    refused = await call(post_office, "POST", "/queues", {"name": "mine"})
    assert (refused.status_code, refused.json()["code"]) == (409, "queue_not_whole")
    await call(post_office, "POST", "/queues", {"name": "seen"})
    await execute(post_office, "create view public.seen as select * from pgmq.q_seen")
    refused = await call(post_office, "DELETE", "/queues/seen")
    assert (refused.status_code, refused.json()["code"]) == (409, "queue_not_whole")
    await execute(post_office, "drop table pgmq.q_seen cascade")
    assert (await call(post_office, "GET", "/queues")).status_code == 200
    assert (await call(post_office, "DELETE", "/queues/seen")).status_code == 204


async def test_schemas_of_somebody_else_are_left_alone(post_office: Served) -> None:
    assert (await look(post_office.runtime)).state == "ok"
    await execute(post_office, "comment on schema pgmq is null")
    try:
        refused = await call(post_office, "GET", "/queues")
        assert (refused.status_code, refused.json()["code"]) == (409, "queues_elsewhere")
        assert (await look(post_office.runtime)).state == "advice"
        assert await waiting_messages(post_office.runtime.database) is None
    finally:
        await execute(post_office, "comment on schema pgmq is 'Queues of Monohull, with the verbs of pgmq.'")
