"""Reads of tables that are marked are answered from the cache, and never wrongly."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from modules.auth.tokens import TokenCodec
from modules.rest.assembly import data_service
from modules.rest.cache.marking import CachedTables
from tests.application import JWT_SECRET, service_key
from tests.integration.rest.conftest import UNHURRIED
from tests.integration.standing import (  # noqa: F401 found by name
    connections,
    database,
    platform_database,
    standing,
)
from tests.patience import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    import asyncpg
    import httpx

    from modules.rest.cache.assembly import RunningCache
    from monohull.kernel.home import Connections
    from tests.application import Served
    from tests.integration.standing import Standing

pytestmark = pytest.mark.asyncio(loop_scope="module")

SQL = """
create table public.items (id int primary key, name text, price numeric, seen_at timestamptz default now());
alter table items enable row level security;
create policy all_see on items for select using (true);
insert into items select n, 'item ' || n, n, '2020-01-01' from generate_series(1, 20) as n;

create table public.notes (
    id int primary key, owner uuid, body text, item int references items on delete cascade
);
alter table notes enable row level security;
create policy own on notes for select to authenticated using (owner = (select auth.uid()));
create policy open_ones on notes for select to anon using (owner is null);
insert into notes values (1, '00000000-0000-0000-0000-000000000001', 'of one', 1),
                         (2, '00000000-0000-0000-0000-000000000002', 'of two', 2), (3, null, 'of nobody', 3);

create table public.letters (id int primary key, tenant text, body text);
alter table letters enable row level security;
create policy by_tenant on letters for select using (tenant = (auth.jwt() ->> 'tenant'));
insert into letters values (1, 'a', 'to a'), (2, 'b', 'to b');

create table public.posts (id int primary key, at timestamptz);
alter table posts enable row level security;
create policy published on posts for select to anon using (at < now());
create policy members on posts for select to authenticated
    using (exists (select from notes where notes.owner = auth.uid()));
insert into posts values (1, '2020-01-01');

create table public.logs (id int, at date) partition by range (at);
create table public.logs_2026 partition of logs for values from ('2026-01-01') to ('2027-01-01');

grant select on all tables in schema public to anon, authenticated, service_role;
create function public.shout(items) returns text language sql stable as $$ select upper($1.name) $$;

create table public.plain (id int primary key);
alter table plain enable row level security;
""" + "".join(
    f"""
create trigger monohull_cache after insert or update or delete or truncate on public.{name}
    for each statement execute function monohull.tell_of_rows('60');
alter table public.{name} enable always trigger monohull_cache;
"""
    for name in ("items", "notes", "letters", "posts")
)
SERVICE = {"Authorization": f"Bearer {service_key()}"}
NOTHING_FRESH = b"monohull; fwd=bypass; detail=unproven"


def person(number: int, **more: Any) -> dict[str, str]:
    claims = {"sub": f"00000000-0000-0000-0000-{number:012d}", "role": "authenticated", "exp": 4_000_000_000}
    token = TokenCodec(secret=JWT_SECRET).sign(claims | {"aud": "authenticated"} | more)
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture(scope="module")
def tables() -> tuple[str, ...]:
    return (SQL,)


@pytest_asyncio.fixture(loop_scope="module")
async def served(connections: Connections, standing: Standing, beats: None) -> Served:  # noqa: F811, ARG001
    served = await standing.serve(**UNHURRIED)
    await eventually(lambda: cache_of(served).line.is_fresh)
    return served


def cache_of(served: Served) -> RunningCache:
    return data_service(served.runtime).cache


async def get(served: Served, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
    response: httpx.Response = await served.client.get(f"/rest/v1/{path}", headers=headers or {})
    return response


def status(response: httpx.Response) -> str | None:
    """Return what the cache says of it, without the seconds that are left."""
    said: str | None = response.headers.get("cache-status")
    return said if said is None else said.partition("; ttl=")[0]


async def settle(served: Served, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
    """Ask until it is answered from the cache."""
    await get(served, path, headers)
    # of a machine that stalled for a moment nothing is proven, so that it may take more than two
    return await eventually(
        lambda: get(served, path, headers),
        lambda response: (status(response) or "").startswith("monohull; hit"),
    )


def hold_reads(
    served: Served, monkeypatch: pytest.MonkeyPatch, *, is_late: bool = False
) -> tuple[Callable[[], int], asyncio.Event]:
    """Have statements wait for the event: before they are sent or, late, once answered; count them."""
    source = data_service(served.runtime).api._source
    original, may_answer, calls = source.run_known, asyncio.Event(), 0

    async def run_known(statement: Any, settings: Any) -> Any:
        nonlocal calls
        rows = await original(statement, settings) if is_late else None
        calls += 1
        await may_answer.wait()
        return await original(statement, settings) if rows is None else rows

    monkeypatch.setattr(source, "run_known", run_known)
    return lambda: calls, may_answer


async def test_the_third_read_of_a_kind_is_a_hit_and_says_so(served: Served) -> None:
    first, second, third = [await get(served, "items?id=eq.7") for _ in range(3)]
    assert status(first) is None, "it is not known yet what it reads"
    assert status(second) == "monohull; fwd=miss; stored"
    assert status(third) == "monohull; hit"
    assert 30 <= int(third.headers["cache-status"].rpartition("=")[2]) <= 60
    assert first.content == second.content == third.content
    kept = [
        {k: v for k, v in r.headers.items() if k in ("content-type", "content-range", "content-location")}
        for r in (first, second, third)
    ]
    assert kept[0] == kept[1] == kept[2]
    assert status(await get(served, "items?id=eq.8")) == "monohull; fwd=miss; stored"


async def test_that_nothing_has_a_key_is_kept_too(served: Served, database: asyncpg.Connection) -> None:  # noqa: F811
    one = {"Accept": "application/vnd.pgrst.object+json"}
    kept = await settle(served, "items?id=eq.404")
    assert (kept.text, kept.headers["content-range"]) == ("[]", "*/*")
    for _ in range(3):
        refused = await get(served, "items?id=eq.404", one)
        assert (refused.status_code, refused.json()["code"]) == (406, "PGRST116")
    await database.execute("insert into items select 404, name, price, seen_at from items where id = 7")

    async def found() -> bool:
        return (await get(served, "items?id=eq.404")).text != "[]"

    await eventually(found)
    assert (await get(served, "items?id=eq.404", one)).json()["id"] == 404


async def test_a_table_that_is_not_marked_is_not_spoken_of(served: Served) -> None:
    for _ in range(3):
        assert status(await get(served, "plain?id=eq.1", SERVICE)) is None


async def test_a_commit_outdates_and_a_rollback_does_not(
    served: Served,
    database: asyncpg.Connection,  # noqa: F811
) -> None:
    await settle(served, "items?id=eq.7")
    heard = cache_of(served).line.heard
    transaction = database.transaction()
    await transaction.start()
    await database.execute("update items set name = 'undone' where id = 7")
    await transaction.rollback()
    await database.execute("update items set name = 'other' where id = 7")
    await eventually(lambda: cache_of(served).line.heard > heard)
    assert cache_of(served).line.heard == heard + 1
    again = await get(served, "items?id=eq.7")
    assert (status(again), again.json()[0]["name"]) == ("monohull; fwd=stale; stored", "other")


@pytest.mark.parametrize(
    "statement",
    [
        "truncate items cascade",
        "delete from items where id = 7",
        "insert into items (id) values (1000)",
        "copy items (id) from program 'echo 1001'",
        "set session_replication_role = replica; update items set name = 'r'; reset session_replication_role",
        "with gone as (delete from items where id = 7 returning 1) select count(*) from gone",
    ],
)
async def test_every_way_to_write_is_told_of(
    served: Served,
    database: asyncpg.Connection,  # noqa: F811
    statement: str,
) -> None:
    before = await settle(served, "items?order=id&select=id,name")
    heard = cache_of(served).line.heard
    await database.execute(statement)
    await eventually(lambda: cache_of(served).line.heard > heard)
    after = await get(served, "items?order=id&select=id,name")
    assert status(after) == "monohull; fwd=stale; stored"
    assert after.content != before.content


async def test_what_a_foreign_key_does_is_told_of(served: Served, database: asyncpg.Connection) -> None:  # noqa: F811
    assert len((await settle(served, "notes?order=id&select=id")).json()) == 1
    heard = cache_of(served).line.heard
    await database.execute("delete from items where id = 3")
    await eventually(lambda: cache_of(served).line.heard > heard)
    assert (await get(served, "notes?order=id&select=id")).json() == []


async def test_users_are_kept_apart_by_the_claim_that_the_policy_reads(served: Served) -> None:
    for number, body in ((1, "of one"), (2, "of two"), (9, None)):
        answers = [await get(served, "notes?select=body", person(number)) for _ in range(3)]
        for answer in answers:
            assert answer.json() == ([] if body is None else [{"body": body}])
        assert status(answers[-1]) == "monohull; hit"
    assert (await settle(served, "notes?select=body")).json() == [{"body": "of nobody"}]
    assert len((await settle(served, "notes?select=body", SERVICE)).json()) == 3
    renewed = await get(served, "notes?select=body", person(1, session_id="another", iat=1))
    assert (status(renewed), renewed.json()) == ("monohull; hit", [{"body": "of one"}]), (
        "another token of theirs"
    )


async def test_a_policy_that_reads_all_claims_keeps_tokens_apart(served: Served) -> None:
    for tenant in ("a", "b", None):
        more = {} if tenant is None else {"tenant": tenant}
        answers = [await get(served, "letters?select=body", person(1, **more)) for _ in range(2)]
        answers.append(await settle(served, "letters?select=body", person(1, **more)))
        for answer in answers:
            assert answer.json() == ([] if tenant is None else [{"body": f"to {tenant}"}])


async def test_policies_that_read_more_than_the_row_are_not_cached_and_it_is_said_why(served: Served) -> None:
    for headers in ({}, person(1)):
        for _ in range(3):
            assert status(await get(served, "posts?select=id", headers)) is None
    [posts] = [
        one for one in await CachedTables(served.runtime.database).list() if one.table == "public.posts"
    ]
    told = {role.role: role.reason for role in posts.roles}
    assert told["service_role"] is None
    assert "now()" in str(told["anon"])
    assert "reads other tables" in str(told["authenticated"])
    assert status(await settle(served, "posts?select=id", SERVICE)) == "monohull; hit"


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("items?select=id,shout&id=eq.1", {}),
        ("items?select=name::timestamptz&id=eq.0", {}),
        ("items?id=eq.1", {"Prefer": "count=exact"}),
        ("items?id=eq.1", {"Cookie": "a=b"}),
        ("items?id=eq.1", {"If-None-Match": '"x"'}),
        ("posts?select=id", {}),
        ("logs?select=id", SERVICE),
    ],
)
async def test_reads_that_depend_on_more_are_not_cached(
    served: Served, path: str, headers: dict[str, str]
) -> None:
    for _ in range(3):
        assert status(await get(served, path, headers)) is None


async def test_an_embed_is_outdated_by_its_own_table(served: Served, database: asyncpg.Connection) -> None:  # noqa: F811
    path = "items?select=id,notes(body)&id=eq.3"
    assert (await settle(served, path)).json() == [{"id": 3, "notes": [{"body": "of nobody"}]}]
    heard = cache_of(served).line.heard
    await database.execute("update notes set body = 'changed' where id = 3")
    await eventually(lambda: cache_of(served).line.heard > heard)
    assert (await get(served, path)).json() == [{"id": 3, "notes": [{"body": "changed"}]}]


async def test_times_relative_to_now_are_not_kept(served: Served) -> None:
    answers = [await get(served, "items?seen_at=lt.now&select=id&limit=1") for _ in range(3)]
    assert status(answers[-1]) == "monohull; fwd=bypass; detail=relative-time"


@pytest.mark.parametrize("control", ["no-cache", "no-store", "max-age=0", "Max-Age=0, no-transform"])
async def test_a_client_may_want_an_answer_of_the_database(served: Served, control: str) -> None:
    await settle(served, "items?id=eq.7")
    response = await get(served, "items?id=eq.7", {"Cache-Control": control})
    assert status(response) == "monohull; fwd=request"
    assert status(await get(served, "items?id=eq.7", {"Cache-Control": "max-age=600"})) == "monohull; hit"


async def test_a_hundred_at_once_are_one_statement(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    await settle(served, "items?id=eq.7")
    reading, may_answer = hold_reads(served, monkeypatch)
    may_answer.set()
    answers = await asyncio.gather(*(get(served, "items?id=eq.11") for _ in range(100)))
    assert {answer.content for answer in answers} == {answers[0].content}
    assert reading() == 1
    said = [status(answer) for answer in answers]
    assert said.count("monohull; fwd=miss; stored") == 1
    assert said.count("monohull; fwd=miss; collapsed") == 99


async def test_who_comes_after_a_commit_waits_for_no_read_from_before(
    served: Served,
    database: asyncpg.Connection,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await settle(served, "items?id=eq.7")
    reading, may_answer = hold_reads(served, monkeypatch, is_late=True)
    early = asyncio.create_task(get(served, "items?id=eq.12"))
    await eventually(lambda: reading() == 1)
    heard = cache_of(served).line.heard
    await database.execute("update items set name = 'new' where id = 12")
    await eventually(lambda: cache_of(served).line.heard > heard)
    late = asyncio.create_task(get(served, "items?id=eq.12"))
    await eventually(lambda: reading() == 2)
    may_answer.set()
    assert (await early).json()[0]["name"] == "item 12", "it had asked before"
    assert (await late).json()[0]["name"] == "new"
    assert (await settle(served, "items?id=eq.12")).json()[0]["name"] == "new"


async def test_whoever_leaves_takes_nobody_along(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    await settle(served, "items?id=eq.7")
    reading, may_answer = hold_reads(served, monkeypatch)
    first = asyncio.create_task(get(served, "items?id=eq.13"))
    await eventually(lambda: reading() == 1)
    others = [asyncio.create_task(get(served, "items?id=eq.13")) for _ in range(5)]
    await asyncio.sleep(0.05)
    first.cancel()
    await eventually(lambda: reading() == 2)
    may_answer.set()
    answers = await asyncio.gather(*others)
    assert [answer.json()[0]["id"] for answer in answers] == [13] * 5
    assert reading() == 2, "one of them went in its place"
    assert first.cancelled() or await asyncio.gather(first, return_exceptions=True)


async def test_a_read_that_fails_fails_for_one_alone(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    await settle(served, "items?id=eq.7")
    source = data_service(served.runtime).api._source
    original, calls, going = source.run_known, 0, asyncio.Event()

    async def fail_first(statement: Any, settings: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 1:
            await going.wait()
            raise RuntimeError("of this one alone")
        return await original(statement, settings)

    monkeypatch.setattr(source, "run_known", fail_first)
    tasks = [asyncio.create_task(get(served, "items?id=eq.14")) for _ in range(5)]
    await asyncio.sleep(0.05)
    going.set()
    answers = await asyncio.gather(*tasks)
    assert sorted(answer.status_code for answer in answers) == [200] * 4 + [500]


async def test_a_hundred_of_a_new_kind_are_two_statements(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = data_service(served.runtime).api._source
    original, batches = source.run_batch, 0

    async def run_batch(*args: Any, **options: Any) -> Any:
        nonlocal batches
        batches += 1
        return await original(*args, **options)

    monkeypatch.setattr(source, "run_batch", run_batch)
    reading, may_answer = hold_reads(served, monkeypatch)
    may_answer.set()
    path = "items?select=id,name,price&id=lt.15&order=id.desc"
    await eventually(lambda: data_service(served.runtime).cache.line.is_fresh)
    answers = await asyncio.gather(*(get(served, path) for _ in range(100)))
    assert {answer.content for answer in answers} == {answers[0].content}
    assert len(answers[0].json()) == 14
    assert reading() == 1, "that of the second one, for all others"
    assert batches <= 2, "that of the first one, and that one again where it is not prepared yet"


async def test_what_is_never_known_is_waited_for_once(served: Served) -> None:
    path, headers = "items?select=id&id=eq.7", {"Prefer": "count=exact"}
    for _ in range(2):
        answers = await asyncio.gather(*(get(served, path, headers) for _ in range(20)))
        assert {answer.headers["content-range"] for answer in answers} == {"0-0/1"}
