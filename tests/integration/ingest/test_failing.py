"""Messages that cannot have their effect, and sources that cannot go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.ingest.desk import order

if TYPE_CHECKING:
    from tests.integration.ingest.desk import Desk
    from tests.integration.ingest.senders import RedisSender

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_what_is_no_json_is_dead_at_once_and_holds_up_nobody(
    desk: Desk, redis_sender: RedisSender
) -> None:
    table = await desk.table()
    broken: tuple[str | bytes, ...] = ("{", b"\xff\xfe", "[1]", '{"other": 1}', "")
    await redis_sender.send(*[(f"bad{n}", body) for n, body in enumerate(broken)], ("1", order(1)))
    columns = {"id": "id", "total": "order.total"}
    to = {"table": {"table": table, "role": "authenticated", "columns": columns}}
    tap = await desk.source(redis_sender, table, destination=to)
    await tap.rows_of(table, 1)
    letters = await tap.letters_of(len(broken))
    assert {(one["message_id"], one["state"], one["attempts"], one["reason"]) for one in letters} == {
        ("bad0", "dead", 1, "bad_json"),
        ("bad1", "dead", 1, "bad_json"),
        ("bad2", "dead", 1, "bad_json"),
        ("bad3", "dead", 1, "no_fields"),
        ("bad4", "dead", 1, "bad_json"),
    }
    assert (await tap.view())["dead_letters"] == 5
    by_id = {one["message_id"]: one["id"] for one in letters}
    detail = (await desk.call("GET", f"/letters/{by_id['bad1']}")).json()
    assert (detail["body"], detail["body_base64"]) == (None, "//4=")
    detail = (await desk.call("GET", f"/letters/{by_id['bad3']}")).json()
    assert detail["body"] == '{"other": 1}'
    await tap.delete()


async def test_a_poisoned_message_is_tried_buried_and_replayed(desk: Desk, redis_sender: RedisSender) -> None:
    table = await desk.table()
    await desk.execute(f"alter table {table} add constraint small check (id < 10)")
    await redis_sender.send(("1", order(1)), ("99", order(99)), ("2", order(2)), ("99", order(99)))
    tap = await desk.source(redis_sender, table)
    assert [row["id"] for row in await tap.rows_of(table, 2)] == [1, 2]
    letter = await tap.letter("dead")
    assert (letter["attempts"], letter["reason"], letter["message_id"]) == (3, "23514", "99")
    assert "small" in letter["message"]

    path = f"/letters/{letter['id']}"
    await desk.call("POST", f"{path}/replay")
    again = await tap.letter("dead")
    assert (again["attempts"], again["id"]) == (3, letter["id"])
    await desk.execute(f"alter table {table} drop constraint small")
    answer = await desk.call("POST", "/replays", {"source_id": tap.id, "reason": "23514"})
    assert (answer.status_code, answer.json()) == (202, {"letters": 1})
    await tap.letter("done")
    assert [row["id"] for row in await tap.rows_of(table, 3)] == [1, 2, 99]
    answer = await desk.call("POST", f"{path}/replay")
    assert (answer.status_code, answer.json()["code"]) == (409, "ingest_letter_not_dead")
    assert (await desk.call("DELETE", path)).status_code == 204
    assert (await desk.call("GET", path)).status_code == 404
    await tap.delete()


async def test_row_security_is_about_the_message(desk: Desk, redis_sender: RedisSender) -> None:
    table = await desk.table()
    await desk.execute(f"alter table {table} enable row level security")
    await desk.execute(f"create policy even on {table} for insert to authenticated with check (id % 2 = 0)")
    await redis_sender.send(("1", order(1)), ("2", order(2)))
    tap = await desk.source(redis_sender, table, max_attempts=1)
    assert [row["id"] for row in await tap.rows_of(table, 1)] == [2]
    letter = await tap.letter("dead")
    assert (letter["attempts"], letter["reason"]) == (1, "42501")
    await tap.delete()


async def test_what_is_wrong_with_the_table_loses_nothing(desk: Desk, redis_sender: RedisSender) -> None:
    """No rights, then no table, then no such column: the source waits, and goes on once each is mended."""
    table = await desk.table(is_granted=False)
    await redis_sender.send(("1", order(1)))
    tap = await desk.source(redis_sender, table)
    view = await tap.until(lambda view: view["state"] == "failing")
    assert "permission denied" in view["last_error"]
    await desk.execute(f"grant insert on {table} to authenticated")
    await tap.rows_of(table, 1)
    await tap.until(lambda view: view["state"] == "running")

    await desk.execute(f"alter table {table} rename to {table}_old")
    await redis_sender.send(("2", order(2)), ("3", order(3)))
    view = await tap.until(lambda view: view["state"] == "failing")
    assert "does not exist" in view["last_error"]
    await desk.execute(f"create table {table} (id bigint, total numeric)")
    await desk.execute(f"grant insert on {table} to authenticated")
    await tap.until(lambda view: "document" in view["last_error"])
    await desk.execute(f"alter table {table} add column document jsonb")
    assert [row["id"] for row in await tap.rows_of(table, 2)] == [2, 3]
    assert await tap.letters() == []

    to = {"table": {"table": table, "role": "postgres", "columns": {"id": "id"}}}
    await tap.change(destination=to)
    await tap.until(lambda view: view["state"] == "failing" and "role" in view["last_error"])
    await tap.delete()


async def test_a_trigger_gets_no_further_than_its_role(desk: Desk, redis_sender: RedisSender) -> None:
    """A function of somebody's table that resets the role is nobody, not the owner of the schema."""
    table = await desk.table()
    await desk.execute(f"""
        create function {table}_sly() returns trigger language plpgsql as $$
        begin
            reset role;
            new.state = session_user || ' '
                || has_table_privilege(current_user, 'monohull.ingest_sources', 'select')::text;
            return new;
        end $$
    """)
    await desk.execute(
        f"create trigger sly before insert on {table} for each row execute function {table}_sly()"
    )
    await desk.execute(f"grant insert on {table} to authenticator")
    await redis_sender.send(("1", order(1)))
    tap = await desk.source(redis_sender, table)
    (row,) = await tap.rows_of(table, 1)
    assert row["state"] == "authenticator false"
    await tap.delete()
