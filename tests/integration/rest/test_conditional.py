"""Entity tags: 304 for who knows the answer, 412 instead of a lost update."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from tests.integration.backends import HELD, until_held
from tests.integration.rest.conftest import serving
from tests.integration.rest.test_known import person

if TYPE_CHECKING:
    import asyncpg
    import httpx

    from monohull.kernel.home import Connections
    from tests.application import Served
    from tests.integration.standing import Standing

pytestmark = pytest.mark.asyncio(loop_scope="module")

ETAG = {"Prefer": "etag"}
ONE = {"Accept": "application/vnd.pgrst.object+json"}
TABLES = """
    create table pages (id int primary key, owner uuid default auth.uid(), title text, views int default 0);
    create table remarks (id int primary key, page_id int references pages, text text);
    alter table pages enable row level security;
    alter table remarks enable row level security;
    create policy own on pages using (owner = auth.uid());
    create policy own on remarks using (page_id in (select id from pages));
    create view titles with (security_invoker = on) as select id, title from pages;
    create table parted (id int primary key, note text) partition by range (id);
    create table parted_1 partition of parted for values from (0) to (100);
    comment on table parted is '@public';
    comment on table parted_1 is '@public';
    create function shout(pages) returns text stable language sql as $$ select upper($1.title) $$;
    create function slow(pages) returns text stable language sql as $$ select pg_sleep(0.3)::text $$;
    grant all on pages, remarks, titles, parted, parted_1 to authenticated;
    insert into pages values (1, '00000000-0000-0000-0000-000000000001', 'one', 0),
        (2, '00000000-0000-0000-0000-000000000001', 'two', 0),
        (3, '00000000-0000-0000-0000-000000000002', 'x', 0);
    insert into remarks values (1, 1, 'first');
    insert into parted values (1, 'a');
"""


@pytest.fixture(scope="module")
def tables(tables: tuple[str, ...]) -> tuple[str, ...]:
    return (*tables, TABLES)


@pytest_asyncio.fixture(loop_scope="module")
async def site(connections: Connections, standing: Standing) -> Served:  # noqa: ARG001 a fresh one first
    return await standing.serve(rest_tx_end="commit-allow-override")


async def ask(
    served: Served, method: str, path: str, headers: dict[str, str] | None = None, body: Any = None
) -> httpx.Response:
    return await served.client.request(
        method, f"/rest/v1/{path}", headers=person(1) | (headers or {}), json=body
    )


async def tag_of(served: Served, path: str, *headers: dict[str, str]) -> str:
    sent = dict(ETAG)
    for other in headers:
        sent |= other
    answer = await ask(served, "GET", path, sent)
    assert answer.status_code in (200, 206), answer.text
    return answer.headers["etag"]


async def test_who_knows_the_answer_is_not_told_again(site: Served, database: asyncpg.Connection) -> None:
    """A tag is the same until something of its answer changes, and then another."""
    cases: tuple[tuple[str, dict[str, str], bool, str, str], ...] = (
        (
            "pages?id=eq.1",
            {},
            True,
            "update pages set title = 'a' where id = 2",
            "pages set title = 'a' where id = 1",
        ),
        ("pages?id=eq.1&select=title", ONE, True, "select 1", "pages set views = 1 where id = 1"),
        ("pages?title=eq.two", ONE, True, "select 1", "pages set views = 1 where id = 2"),
        (
            "pages?order=id",
            {},
            False,
            "update pages set views = 7 where id = 3",
            "pages set views = 9 where id = 1",
        ),
        ("pages?id=eq.1&select=title,remarks(text)", ONE, False, "select 1", "remarks set text = 'b'"),
        ("pages?id=eq.1&select=shout", {}, False, "update pages set views = 8", "pages set title = 'c'"),
        ("titles?id=eq.1", ONE, True, "update pages set views = 10", "pages set title = 'd' where id = 1"),
        ("parted?id=eq.1", {}, True, "select 1", "parted set note = 'e'"),
        (
            "pages?limit=1&order=id",
            {"Range": "0-0", "Prefer": "etag,count=exact"},
            False,
            "select 1",
            "pages set views = 3",
        ),
    )
    for path, headers, is_strong, other, change in cases:
        await database.execute("update pages set title = case id when 1 then 'one' else 'two' end, views = 0")
        tag = await tag_of(site, path, headers)
        assert tag.startswith('"r' if is_strong else 'W/"p'), path
        await database.execute(other)
        for known in (tag, f'"zzz", {tag}', f"W/{tag}" if is_strong else tag, "*"):
            again = await ask(site, "GET", path, headers | {"If-None-Match": known})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag), path
            assert again.headers["cache-control"] == "private, no-cache"
        await database.execute(f"update {change}")
        changed = await ask(site, "GET", path, headers | {"If-None-Match": tag})
        assert changed.status_code in (200, 206), path
        assert changed.headers["etag"] != tag
        assert changed.content


async def test_nobody_pays_who_does_not_ask(site: Served) -> None:
    for _ in range(3):
        assert "etag" not in (await ask(site, "GET", "pages?id=eq.1")).headers
    known = await tag_of(site, "pages?id=eq.1")
    for _ in range(3):
        assert (await ask(site, "GET", "pages?id=eq.1", {"If-None-Match": known})).status_code == 304
    assert "etag" not in (await ask(site, "GET", "pages?id=eq.1")).headers


async def test_a_known_row_is_not_read(site: Served) -> None:
    """The computed column sleeps; a row's version does not need it."""
    loop = asyncio.get_running_loop()
    tag = await tag_of(site, "pages?id=eq.1&select=title", ONE)
    began = loop.time()
    assert (
        await ask(site, "GET", "pages?id=eq.1&select=title", ONE | {"If-None-Match": tag})
    ).status_code == 304
    assert loop.time() - began < 0.25
    slow = await ask(site, "GET", "pages?id=eq.1&select=slow", ONE | {"If-None-Match": tag})
    assert slow.status_code == 200


async def test_of_two_changes_from_one_state_the_second_fails(
    site: Served, database: asyncpg.Connection
) -> None:
    tag = await tag_of(site, "pages?id=eq.1")
    first = await ask(site, "PATCH", "pages?id=eq.1", {"If-Match": tag}, {"title": "first"})
    assert first.status_code == 204
    second = await ask(site, "PATCH", "pages?id=eq.1", {"If-Match": tag}, {"title": "second"})
    assert (second.status_code, second.json()["code"]) == (412, "MH114")
    assert second.headers["etag"] == first.headers["etag"] != tag
    third = await ask(site, "PATCH", "pages?id=eq.1", {"If-Match": first.headers["etag"]}, {"title": "third"})
    assert third.status_code == 204
    assert third.headers["etag"] == await tag_of(site, "pages?id=eq.1", ONE)
    assert await database.fetchval("select title from pages where id = 1") == "third"


async def test_of_many_at_once_one_wins(
    site: Served, database: asyncpg.Connection, connections: Connections
) -> None:
    async with serving(connections) as other:
        for number in range(5):
            tag = await tag_of(site, "pages?id=eq.1")
            answers = await asyncio.gather(
                *(
                    ask(served, "PATCH", "pages?id=eq.1", {"If-Match": tag}, {"title": f"{number} {at}"})
                    for at, served in enumerate((site, other) * 5)
                )
            )
            assert sorted(answer.status_code for answer in answers) == [204] + [412] * 9
            winner = [at for at, answer in enumerate(answers) if answer.status_code == 204]
            assert await database.fetchval("select title from pages where id = 1") == f"{number} {winner[0]}"


async def test_a_writer_without_a_condition_is_seen_too(site: Served, database: asyncpg.Connection) -> None:
    """It changes the row after its version was looked at, and commits before the conditional write does."""
    await database.execute("""
        create function stall() returns trigger language plpgsql as
        $$ begin perform pg_advisory_xact_lock_shared(4712); return null; end $$;
        create trigger stall before update on pages for each statement
            when (current_setting('request.headers', true)::json->>'x-slow' = 'yes') execute function stall()
    """)
    await database.execute("select pg_advisory_lock($1)", HELD)
    tag = await tag_of(site, "pages?id=eq.1")
    slow = asyncio.create_task(
        ask(site, "PATCH", "pages?id=eq.1", {"If-Match": tag, "X-Slow": "yes"}, {"title": "slow"})
    )
    await until_held(database)
    assert (await ask(site, "PATCH", "pages?id=eq.1", {}, {"title": "quick"})).status_code == 204
    await database.execute("select pg_advisory_unlock($1)", HELD)
    lost = await slow
    assert (lost.status_code, lost.json()["code"]) == (412, "MH114")
    assert await database.fetchval("select title from pages where id = 1") == "quick"


async def test_other_conditions(site: Served, database: asyncpg.Connection) -> None:
    tag = await tag_of(site, "pages?id=eq.1")
    stale = '"r00000000000000000000000000000000"'
    put = {"id": 9, "title": "new"}
    cases: tuple[tuple[str, str, dict[str, str], Any, int, str | None], ...] = (
        ("DELETE", "remarks?id=eq.1", {"If-Match": stale}, None, 412, "MH114"),
        ("PATCH", "pages?id=eq.1", {"If-Match": f"W/{tag}"}, {"title": "x"}, 412, "MH114"),
        ("PATCH", "pages?id=eq.3", {"If-Match": "*"}, {"title": "x"}, 412, "MH114"),
        ("PATCH", "pages?id=eq.1", {"If-None-Match": tag}, {"title": "x"}, 412, "MH114"),
        ("GET", "pages?id=eq.1", {"If-Match": stale}, None, 412, "MH114"),
        ("GET", "pages?id=eq.1", {"If-Match": tag}, None, 200, None),
        ("PUT", "pages?id=eq.9", {"If-None-Match": "*"}, put, 201, None),
        ("PUT", "pages?id=eq.9", {"If-None-Match": "*"}, put, 412, "MH114"),
        ("PATCH", "pages?id=eq.9", {"If-Match": "*"}, {"title": "any"}, 204, None),
        ("POST", "pages", {"If-Match": tag}, {"id": 10}, 400, "MH113"),
        ("POST", "rpc/shout", {"If-None-Match": "*"}, {}, 404, "PGRST202"),
        ("PATCH", "pages?id=eq.1", {"If-Match": "no tag"}, {"title": "x"}, 400, "MH113"),
        ("PATCH", "pages?id=eq.1", {"If-Match": '"a'}, {"title": "x"}, 400, "MH113"),
        ("PATCH", "pages?id=eq.1", {"If-Match": ""}, {"title": "x"}, 400, "MH113"),
        ("PATCH", "pages?nothing=eq.1", {"If-Match": tag}, {"title": "x"}, 400, "42703"),
        ("PATCH", "pages?id=eq.1", {"If-Match": tag}, {"title": None, "nothing": 1}, 400, "PGRST204"),
        ("DELETE", "pages?id=eq.2", {"If-Match": "*"}, None, 204, None),
    )
    for method, path, headers, body, status, code in cases:
        answer = await ask(site, method, path, headers, body)
        assert answer.status_code == status, (method, path, headers, answer.text)
        if code is not None:
            assert answer.json()["code"] == code, (method, path, headers)
    assert await database.fetchval("select title from pages where id = 1") == "one"
    rolled = await ask(
        site, "PATCH", "pages?id=eq.1", {"If-Match": tag, "Prefer": "tx=rollback"}, {"title": "dry"}
    )
    assert rolled.status_code == 204
    assert await tag_of(site, "pages?id=eq.1") == tag


async def test_with_a_key_and_in_a_batch(site: Served, database: asyncpg.Connection) -> None:
    tag = await tag_of(site, "pages?id=eq.1")
    sent = {"If-Match": tag, "Idempotency-Key": "k"}
    first = await ask(site, "PATCH", "pages?id=eq.1", sent, {"views": 1})
    again = await ask(site, "PATCH", "pages?id=eq.1", sent, {"views": 1})
    assert (first.status_code, again.status_code) == (204, 204)
    assert (again.headers["idempotency-replayed"], again.headers["etag"]) == ("true", first.headers["etag"])
    step = {"method": "PATCH", "path": "/pages?id=eq.1", "headers": {"If-Match": tag}, "body": {"views": 2}}
    lost = await ask(site, "POST", "_batch", {}, [step])
    assert (lost.status_code, lost.json()["code"], lost.headers["batch-step"]) == (412, "MH114", "0")
    fresh = {**step, "headers": {"If-Match": first.headers["etag"]}}
    done = await ask(site, "POST", "_batch", {}, [fresh, {"path": "/pages?id=eq.1&select=views"}])
    assert done.json()[1]["body"] == [{"views": 2}]
    weak = await ask(site, "POST", "_batch", {"Prefer": "isolation=read-committed"}, [fresh])
    assert (weak.status_code, weak.json()["code"]) == (400, "MH109")
    assert await database.fetchval("select views from pages where id = 1") == 2
