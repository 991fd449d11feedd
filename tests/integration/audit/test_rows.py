"""Changed rows of marked tables, whoever changes them; and reads of marked columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncpg
import msgspec
import pytest

from modules.audit.tracking import NotTracked, list_tracked, mark, sync
from modules.audit.writer import Writer
from tests.application import running_app, service_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from monohull.kernel.home import Connections
    from tests.application import Served

SERVICE = {"apikey": service_key()}
SCHEMA = """
create table public.people (
    id int primary key, name text, ssn text, api_token text, amount numeric, note text
);
comment on column public.people.ssn is 'Social security number @sensitive';
comment on column public.people.note is '@secret';
create table public.orders (id int primary key, person_id int references public.people, total numeric);
create view public.names as select id, name from public.people;
grant all on all tables in schema public to service_role;
"""


@pytest.fixture
async def there(connections: Connections, platform_database: str) -> AsyncIterator[Served]:
    """A schema in which ``people`` is tracked."""
    connection = await asyncpg.connect(platform_database)
    await connection.execute(SCHEMA)
    await mark(connection, "public.people", audited=True)
    await connection.close()
    async with running_app(connections) as served:
        await entries(served)
        yield served


async def entries(served: Served) -> list[dict[str, Any]]:
    """Add what waits, and return what that was."""
    writer = Writer(served.runtime.database, served.runtime.observer)
    async with served.runtime.database.connection() as connection:
        last = await connection.fetchval("select coalesce(max(sequence), 0) from monohull.audit_entries")
        while await writer.add_batch(connection):
            pass
        rows = await connection.fetch(
            "select *, before::text as before_text, after::text as after_text from monohull.audit_entries "
            "where sequence > $1 order by sequence",
            last,
        )
    return [dict(row) for row in rows]


async def test_direct_sql_is_in_it(there: Served, platform_database: str) -> None:
    connection = await asyncpg.connect(platform_database)
    await connection.execute(
        "insert into people values (1, 'Ann', '078-05-1120', 'tok', 12345678901234567890123456789.5, null)"
    )
    await connection.execute("update people set name = 'Anna', ssn = '219-09-9999' where id = 1")
    await connection.execute("update people set name = 'Anna'")
    await connection.execute("delete from people")
    await connection.execute("truncate people cascade")
    login = await connection.fetchval("select session_user::text")
    await connection.close()
    inserted, updated, deleted, truncated = await entries(there)
    assert [inserted["action"], updated["action"], deleted["action"], truncated["action"]] == [
        "data.row_inserted",
        "data.row_updated",
        "data.row_deleted",
        "data.row_truncated",
    ]
    assert (inserted["object_kind"], inserted["object_id"]) == ("public.people", "1")
    assert (inserted["actor_kind"], inserted["actor_id"], inserted["login"]) == ("database", login, login)
    assert "12345678901234567890123456789.5" in inserted["after_text"]
    assert msgspec.json.decode(inserted["after_text"]) | {"amount": None} == {
        "id": 1,
        "name": "Ann",
        "ssn": "[removed]",
        "api_token": "[removed]",
        "amount": None,
        "note": None,
    }
    assert msgspec.json.decode(updated["before_text"]) == {"name": "Ann", "ssn": "[removed]"}
    assert msgspec.json.decode(updated["after_text"]) == {"name": "Anna", "ssn": "[removed]"}
    assert deleted["after_text"] is None
    assert "078-05" not in str([inserted, updated, deleted])


async def test_what_is_rolled_back_leaves_nothing(there: Served, platform_database: str) -> None:
    connection = await asyncpg.connect(platform_database)
    with pytest.raises(ZeroDivisionError):
        await insert_and_fail(connection)
    await connection.close()
    assert await entries(there) == []


async def insert_and_fail(connection: asyncpg.Connection) -> None:
    async with connection.transaction():
        await connection.execute("insert into people values (1)")
        raise ZeroDivisionError


async def test_the_data_api_says_which_request(there: Served) -> None:
    headers = SERVICE | {"user-agent": "shop/2", "prefer": "return=minimal"}
    answer = await there.client.post("/rest/v1/people", json={"id": 5, "name": "Bo"}, headers=headers)
    assert answer.status_code == 201, answer.text
    (entry,) = await entries(there)
    assert (entry["action"], entry["actor_kind"], entry["actor_role"]) == (
        "data.row_inserted",
        "service",
        "service_role",
    )
    assert (entry["request_id"], entry["address"], entry["user_agent"]) == (
        answer.headers["x-request-id"],
        "127.0.0.1",
        "shop/2",
    )
    assert entry["login"] == "authenticator"


async def test_claims_made_up_by_hand_refuse_no_change(there: Served, platform_database: str) -> None:
    connection = await asyncpg.connect(platform_database)
    await connection.execute("set request.jwt.claims = 'no json'; set monohull.origin = 'nor this'")
    await connection.execute("insert into people values (1, 'Ann')")
    await connection.execute("""set request.jwt.claims = '{"sub": "user-1"}'""")
    await connection.execute("insert into people values (2, 'Bo')")
    await connection.close()
    first, second = await entries(there)
    assert first["actor_kind"] == "database"
    assert (second["actor_kind"], second["actor_id"]) == ("user", "user-1")


async def test_triggers_follow_comments(there: Served, platform_database: str) -> None:
    connection = await asyncpg.connect(platform_database)
    await connection.execute("comment on table orders is 'What was ordered @audited'")
    assert await sync(connection) == ["public.orders"]
    assert await sync(connection) == []
    await connection.execute("comment on column orders.total is '@secret'")
    assert await sync(connection) == ["public.orders"]
    assert [(one.name, one.keys, one.hidden) for one in await list_tracked(connection)] == [
        ("public.orders", ("id",), ("total",)),
        ("public.people", ("id",), ("ssn", "api_token", "note")),
    ]
    assert await mark(connection, "orders", audited=False) is None
    assert await connection.fetchval("select obj_description('orders'::regclass)") == "What was ordered"
    await connection.execute("insert into people values (1); insert into orders values (1, 1)")
    for wrong in ("nothing", "public.names", "monohull.outbox"):
        with pytest.raises(NotTracked):
            await mark(connection, wrong, audited=True)
    await connection.close()
    actions = [entry["action"] for entry in await entries(there)]
    assert actions == [
        "audit.table_tracked",
        "audit.table_tracked",
        "audit.table_untracked",
        "data.row_inserted",
    ]


@pytest.mark.parametrize(
    ("query", "columns"),
    [
        ("people?select=ssn", ["public.people.ssn"]),
        ("people", ["public.people.ssn"]),
        ("people?select=name,alias:ssn::text", ["public.people.ssn"]),
        ("orders?select=id,people(ssn)", ["public.people.ssn"]),
        ("orders?select=id,...people(ssn)", ["public.people.ssn"]),
        ("people?select=ssn.max()", ["public.people.ssn"]),
        ("people?select=id,name", None),
        ("people?select=id&ssn=eq.1", None),
        ("orders?select=id,people(name)", None),
        ("names", None),
    ],
    ids=str,
)
async def test_reads_of_marked_columns(there: Served, query: str, columns: list[str] | None) -> None:
    for _ in range(3):  # what is known already is told as well
        answer = await there.client.get(f"/rest/v1/{query}", headers=SERVICE)
        assert answer.status_code == 200, answer.text
    found = await entries(there)
    if columns is None:
        assert found == []
        return
    assert [entry["action"] for entry in found] == ["rest.sensitive_columns_read"] * 3
    told = msgspec.json.decode(found[0]["after_text"])
    assert told["columns"] == columns
    assert found[0]["actor_kind"] == "service"


async def test_a_read_says_how_many_and_by_what(there: Served, platform_database: str) -> None:
    connection = await asyncpg.connect(platform_database)
    await connection.execute("insert into people (id, ssn) select n, n::text from generate_series(1, 7) n")
    await connection.close()
    await entries(there)
    query = "people?select=id,ssn&id=in.(1,2,3)&or=(ssn.not.eq.078,name.is.null)"
    answer = await there.client.get(f"/rest/v1/{query}", headers=SERVICE)
    assert len(answer.json()) == 3
    (entry,) = await entries(there)
    assert msgspec.json.decode(entry["after_text"]) == {
        "relation": "public.people",
        "columns": ["public.people.ssn"],
        "rows": 3,
        "filters": ["id.in", "ssn.not.eq", "name.is"],
        "method": "GET",
    }
    assert "078" not in entry["after_text"]


async def test_a_written_representation_is_a_read(there: Served) -> None:
    headers = SERVICE | {"prefer": "return=representation"}
    await there.client.post("/rest/v1/people", json={"id": 5, "ssn": "1"}, headers=headers)
    assert sorted(entry["action"] for entry in await entries(there)) == [
        "data.row_inserted",
        "rest.sensitive_columns_read",
    ]
