"""Pages by cursor: every row once, in any order, both ways, whoever writes meanwhile."""

from __future__ import annotations

import asyncio
import base64
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
import pytest_asyncio

from monohull.kernel.clock import monotonic_seconds
from tests.application import service_key
from tests.integration.rest.test_known import person
from tests.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    import httpx

    from monohull.kernel.home import Connections
    from tests.application import Served
    from tests.integration.standing import Standing

pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGED = {"Prefer": "pagination=cursor"}
ROWS = 60
TABLES = f"""
    create type mood as enum ('sad', 'calm', 'glad');
    create domain code as text check (value <> '');
    create table things (
        id uuid primary key default gen_random_uuid(), number int not null, amount numeric, at timestamptz,
        day timestamp, mood mood, name text, label text collate "C", ratio float8, tags text[],
        span interval, raw bytea, flag bool, data jsonb, code code
    );
    insert into things
    select md5(n::text)::uuid, n / 4,
        case n % 6 when 0 then null when 1 then 'NaN' when 2 then n / 3.0 when 3 then -1e30 else n end,
        case when n % 7 = 0 then null when n % 7 = 1 then 'infinity'
             else '2026-01-01T00:00:00.000001Z'::timestamptz + (n / 3) * interval '1 microsecond' end,
        '2026-01-01T00:00:00.123456'::timestamp + (n % 5) * interval '1 microsecond',
        (array['sad', 'calm', 'glad', null])[n % 4 + 1]::mood,
        (array['Zebra', 'Äpfel', 'apfel', 'Ähre', 'APFEL', 'o''neil "x", {{}}', '', null])[n % 8 + 1],
        (array['a', 'B', 'ä', '%_&=+', E'tab\\t', null])[n % 6 + 1],
        (array[0.1, 1e-310, 'Infinity', '-0', 'NaN', null])[n % 6 + 1]::float8,
        case when n % 5 = 0 then null else array[n::text, 'x,y'] end,
        (n % 9) * interval '1 hour 0.000001 second', decode(lpad(to_hex(n % 4), 2, '0'), 'hex'),
        (array[true, false, null])[n % 3 + 1],
        case when n % 5 = 0 then null else
            jsonb_build_object('k', n % 3, 'deep', jsonb_build_object('t', (n % 4)::text)) end,
        case when n % 3 = 0 then null else 'c' || n % 5 end
    from generate_series(1, {ROWS}) n;
    create table parts (id int primary key, thing_id uuid references things, size int);
    insert into parts select n, md5((n % 20 + 1)::text)::uuid, n from generate_series(1, 40) n;
    create view seen with (security_invoker = on) as select id, number, at from things;
    create function twice(things) returns int stable language sql as 'select $1.number * 2';
    create table keyless (n int);
    create table unique_only (a int not null, b int not null, c int, unique (b, a), unique (c));
    create table partial (id int primary key, secret text);
    insert into keyless values (1), (2);
    insert into unique_only select n / 3, n, null from generate_series(1, 9) n;
    create table parted (id int, day int, primary key (day, id)) partition by range (day);
    create table parted_1 partition of parted for values from (0) to (3);
    create table parted_2 partition of parted for values from (3) to (9);
    insert into parted select n, n % 5 from generate_series(1, 20) n;
    create table "odd table" (id int primary key, "cursor" int, "a.b" text);
    insert into "odd table" select n, n % 2, 'x' || n % 3 from generate_series(1, 8) n;
    create table owned (id int primary key, owner uuid, at timestamptz default now());
    alter table owned enable row level security;
    create policy own on owned using (owner = auth.uid());
    insert into owned
    select n, ('00000000-0000-0000-0000-00000000000' || n % 2 + 1)::uuid from generate_series(1, 30) n;
    grant all on owned to authenticated;
    create table moving (id bigint generated always as identity primary key, at timestamptz not null);
    create index on moving (at, id);
    create table loose (id int primary key, at timestamptz);
    create index on loose (at);
    insert into moving (at) select '2026-01-01Z'::timestamptz + n * interval '1 second'
    from generate_series(1, 20000) n;
    insert into loose select n, '2026-01-01Z'::timestamptz + n * interval '1 second'
    from generate_series(1, 20000) n;
"""
NAMES = ("things", "parts", "keyless", "unique_only", "parted", "parted_1", "parted_2", "moving", "loose")


@pytest.fixture(scope="module")
def tables() -> tuple[str, ...]:
    public = "".join(f"comment on table {name} is '@public';" for name in (*NAMES, '"odd table"', "partial"))
    return (TABLES, public, "analyze moving, loose;")


@pytest_asyncio.fixture(loop_scope="module")
async def site(connections: Connections, standing: Standing) -> Served:  # noqa: ARG001 a fresh one first
    return await standing.serve(rest_plan="true")


async def get(
    served: Served, path: str, headers: dict[str, str] | None = None, method: str = "GET"
) -> httpx.Response:
    return await served.client.request(method, f"/rest/v1/{path}", headers=headers or {})


def links(answer: httpx.Response) -> dict[str, str]:
    found = re.findall(r'<([^>]*)>; rel="(\w+)"', answer.headers.get("link", ""))
    return {name: target for target, name in found}


def cursor(link: str) -> str:
    return link.partition("cursor=")[2]


async def walk(
    served: Served, path: str, headers: dict[str, str] | None = None, *, way: str = "next"
) -> list[list[dict[str, Any]]]:
    """Return the pages of a walk that begins at ``path``, first to last as they came."""
    table, pages = path.partition("?")[0], []
    sent = (headers or {}) | PAGED
    while True:
        answer = await get(served, path, sent)
        assert answer.status_code == 200, answer.text
        pages.append(answer.json())
        found = links(answer).get(way)
        if found is None:
            return pages
        path = table + found
        assert len(pages) < 500, "a walk without end"


ORDERS = (
    "",
    "number",
    "number.desc",
    "id.desc",
    "amount",
    "amount.desc",
    "amount.nullsfirst",
    "amount.desc.nullslast",
    "at.desc,number",
    "at.asc.nullsfirst,name.desc",
    "day,mood.desc.nullslast",
    "name",
    "name.desc,number.asc",
    "label,flag.desc",
    "ratio",
    "ratio.desc,amount.asc.nullsfirst",
    "tags.desc",
    "span,raw",
    "flag.nullsfirst,mood,number.desc",
    "data->k",
    "data->deep->>t.desc.nullslast,number",
    "code.desc",
    "twice.desc",
)


@pytest.mark.parametrize("order", ORDERS)
async def test_any_order_is_walked_in_both_directions(site: Served, order: str) -> None:
    """Each page is a stretch of what one answer would be, and the way back has the same pages' rows."""
    asked = f"things?select=id,number,name{f'&order={order}' if order else ''}"
    if order == "label,flag.desc":
        asked += "&limit=11"
    elif order:
        asked += "&limit=7"
    else:
        asked += "&limit=13"
    # the same order without pages; the key decides between equals, in the direction of the last term
    last = order.rpartition(",")[2] if order else ""
    tie = "id.desc" if ".desc" in last else "id"
    full = order if order == "id.desc" else ",".join(filter(None, (order, tie)))
    expected = (await get(site, f"things?select=id,number,name&order={full}")).json()
    assert len(expected) == ROWS
    forward = await walk(site, asked)
    assert [row for page in forward for row in page] == expected
    # back again from the last page
    answer = await get(site, asked, PAGED)
    while "next" in links(answer):
        answer = await get(site, "things" + links(answer)["next"])
    back = [answer.json()]
    while "prev" in links(answer):
        answer = await get(site, "things" + links(answer)["prev"])
        assert answer.status_code == 200, answer.text
        back.insert(0, answer.json())
    assert [row for page in back for row in page] == expected
    assert "prev" not in links(answer)
    assert "next" in links(answer)


async def test_pages_are_asked_for_by_preference_parameter_or_header(site: Served) -> None:
    plain = await get(site, "things?order=number&limit=5")
    assert "link" not in plain.headers
    by_preference = await get(site, "things?order=number&limit=5", PAGED)
    assert by_preference.headers["preference-applied"] == "pagination=cursor"
    assert by_preference.headers["content-range"] == "0-4/*"
    assert by_preference.json() == (await get(site, "things?order=number,id&limit=5")).json()
    by_parameter = await get(site, "things?order=number&limit=5&cursor=")
    by_header = await get(site, "things?order=number&limit=5", {"Cursor": ""})
    assert links(by_preference) == links(by_parameter) == links(by_header)
    assert set(links(by_preference)) == {"next"}
    following = links(by_preference)["next"]
    assert following.startswith("?limit=5&order=number&cursor=")
    second = await get(site, "things" + following)
    sent = await get(site, "things?order=number&limit=5", {"Cursor": cursor(following)})
    assert second.json() == sent.json() != plain.json()
    assert links(second) == links(sent)
    assert set(links(second)) == {"next", "prev"}
    assert second.headers["content-range"] == "*/*"
    assert second.headers["content-location"] == f"/things{following}"
    # what is known of the plain read is not mistaken for it
    for _ in range(3):
        assert (await get(site, "things?order=number&limit=5")).json() == plain.json()
        again = await get(site, "things?order=number&limit=5", {"Cursor": cursor(following)})
        assert again.json() == second.json()


async def test_pages_carry_counts_filters_embeds_and_other_limits(site: Served) -> None:
    path = "things?select=number,parts(id)&number=gte.3&number=lt.12&or=(flag.is.true,flag.is.false)&order=at"
    whole = (await get(site, f"{path},id")).json()
    pages = await walk(site, f"{path}&limit=4")
    assert [row for page in pages for row in page] == whole
    counted = await get(site, f"{path}&limit=4", {"Prefer": "pagination=cursor, count=exact"})
    assert counted.status_code == 206
    assert counted.headers["content-range"] == f"0-3/{len(whole)}"
    assert counted.headers["preference-applied"] == "count=exact, pagination=cursor"
    following = "things" + links(counted)["next"]
    second = await get(site, following.replace("limit=4", "limit=2"), {"Prefer": "count=exact"})
    assert second.headers["content-range"] == f"*/{len(whole)}"
    assert second.json() == whole[4:6]
    estimated = await get(site, following, {"Prefer": "count=estimated"})
    assert estimated.headers["content-range"] == f"*/{len(whole)}"
    head = await get(site, following, method="HEAD")
    assert head.content == b""
    assert links(head) == links(await get(site, following))
    other_columns = await get(site, re.sub("select=[^&]*", "select=number", following))
    assert other_columns.json() == [{"number": row["number"]} for row in whole[4:8]]
    inner = await walk(site, "things?select=number,parts!inner(id)&parts.size=gt.35&order=number&limit=2")
    assert [len(page) for page in inner] == [2, 2, 1]
    ranged = await get(site, "things?order=number", PAGED | {"Range": "0-3"})
    assert len(ranged.json()) == 4
    assert "next" in links(ranged)
    assert (await get(site, "things?select=&order=number&limit=2", PAGED)).json() == [{}, {}]
    stripped = {"Accept": "application/vnd.pgrst.array+json;nulls=stripped"}
    assert (
        "amount"
        not in (await get(site, "things?order=amount.nullsfirst&limit=1", PAGED | stripped)).json()[0]
    )


async def test_any_relation_with_a_key_has_pages(site: Served) -> None:
    for path, key in (
        ("seen?order=at.desc&limit=7", "id"),
        ("seen?limit=7", "id"),
        ("unique_only?order=c.desc&limit=2", "b"),
        ("parted?order=id.desc&limit=6", "id"),
        ("odd%20table?order=%22a.b%22&limit=3", "id"),
    ):
        table = path.partition("?")[0]
        pages = await walk(site, path)
        found = [row[key] for page in pages for row in page]
        everything = [row[key] for row in (await get(site, table)).json()]
        assert sorted(found) == sorted(everything)
    filtered = await walk(site, "odd%20table?cursor=eq.1&limit=3")
    assert [row["id"] for page in filtered for row in page] == [1, 3, 5, 7]
    assert [len(page) for page in await walk(site, "odd%20table?limit=8")] == [8]
    assert await walk(site, "odd%20table?id=gt.100") == [[]]
    assert await walk(site, "odd%20table?limit=0") == [[]]


async def test_the_ceiling_of_rows_makes_pages_too(
    connections: Connections,  # noqa: ARG001 a fresh one first
    standing: Standing,
) -> None:
    served = await standing.serve(rest_max_rows="25")
    pages = await walk(served, "things?order=number")
    assert [len(page) for page in pages] == [25, 25, 10]
    assert [len(page) for page in await walk(served, "things?order=number&limit=50")] == [25, 25, 10]


async def test_a_cursor_belongs_to_its_request(site: Served) -> None:
    first = await get(site, "owned?order=at&limit=5&id=gt.2", person(1) | PAGED)
    token = cursor(links(first)["next"])

    async def refusal(path: str, sent: str = token, headers: dict[str, str] | None = None) -> Any:
        answer = await get(site, f"{path}{'&' if '?' in path else '?'}cursor={sent}", headers or person(1))
        assert answer.status_code == 400, answer.text
        return answer.json()["code"]

    assert await refusal("owned?order=at.desc&limit=5&id=gt.2") == "MH121"
    assert await refusal("owned?order=at&limit=5&id=gt.3") == "MH121"
    assert await refusal("owned?order=at&limit=5") == "MH121"
    assert await refusal("owned?order=at.asc.nullsfirst&limit=5&id=gt.2") == "MH121"
    assert await refusal("things?order=at&limit=5") == "MH121"
    service = {"Authorization": f"Bearer {service_key()}"}
    assert await refusal("owned?order=at&limit=5&id=gt.2", headers=service) == "MH121"
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    for changed in (
        raw[:-1] + b"}",
        raw[:-4] + b'99"]',
        bytes((raw[0] ^ 1,)) + raw[1:],
        raw[:16] + bytes((raw[16] ^ 1,)) + raw[17:],
        raw[:29],
        raw[:20],
        b"",
    ):
        sent = base64.urlsafe_b64encode(changed).rstrip(b"=").decode() or "A"
        assert await refusal("owned?order=at&limit=5&id=gt.2", sent) == "MH120", changed
    for sent in ("x", "%20", "a.b", "é", "A" * 5000, "null", token + "="):
        assert await refusal("owned?order=at&limit=5&id=gt.2", sent) == "MH120", sent
    # another person of the role has a place in the order by it, and no row of the first
    other = await get(site, f"owned?order=at&limit=5&id=gt.2&cursor={token}", person(2))
    assert other.status_code == 200
    assert {row["owner"][-1] for row in other.json()} == {"2"}


async def test_what_has_no_pages_is_refused_and_says_why(site: Served) -> None:
    for path, headers, why in (
        ("keyless?order=n", {}, "no primary key"),
        ("parts?select=id,things(number)&order=things(number)", {}, "embedded resource"),
        ("things?select=number,id.count()", {}, "Aggregates"),
        ("things?offset=3", {}, "skipped"),
        ("things", {"Range": "3-9"}, "skipped"),
        ("things", {"Accept": "text/csv"}, "no JSON array"),
        ("things?limit=1", {"Accept": "application/vnd.pgrst.object+json"}, "no JSON array"),
    ):
        answer = await get(site, path, headers | PAGED)
        assert answer.status_code == 400, answer.text
        assert answer.json()["code"] == "MH122"
        assert why in answer.json()["details"]
        assert answer.json()["hint"]
    unknown = await get(site, "nowhere", PAGED)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "PGRST205")
    no_column = await get(site, "things?order=nothing", PAGED)
    assert (no_column.status_code, no_column.json()["code"]) == (400, "42703")
    called = await get(site, "rpc/nothing", PAGED)
    assert called.json()["code"] == "PGRST202"


async def test_values_too_long_for_a_cursor_are_refused(site: Served, database: asyncpg.Connection) -> None:
    await database.execute("insert into partial select n, repeat('x', 4000) from generate_series(1, 3) n")
    answer = await get(site, "partial?order=secret&limit=1", PAGED)
    assert (answer.status_code, answer.json()["code"]) == (400, "MH123")
    assert (await get(site, "partial?order=id&limit=1", PAGED)).status_code == 200


async def test_pages_are_read_by_an_index(site: Served) -> None:
    """Deep in a table a page costs what the first one does."""

    async def plan(path: str) -> str:
        first = await get(site, path, PAGED)
        table = path.partition("?")[0]
        accept = {"Accept": "application/vnd.pgrst.plan+text"}
        return (await get(site, table + links(first)["next"], accept)).text

    for path in (
        "moving?order=at&limit=10",
        "moving?order=at.desc&limit=10",
        "moving?order=at,id&limit=10",
        "moving?limit=10",
    ):
        found = await plan(path)
        assert "Index Cond: (" in found, found
        assert "Seq Scan" not in found
        assert "Sort" not in found, found
    mixed = await plan("moving?order=at.desc,id.asc&limit=10")  # a bound on the first column
    assert "Index Cond: (at <=" in mixed, mixed
    nullable = await plan("loose?order=at.desc&limit=10")  # nulls come first, and lie behind
    assert "Index Cond: (at <=" in nullable, nullable


async def test_walks_meet_each_row_once_while_others_write(
    site: Served, database: asyncpg.Connection, connections: Connections
) -> None:
    """Rows that were there before the walk are met exactly once, whatever comes before and behind."""
    await _walk_under_inserts(site, database, connections, rows=4000, limit=250, per_second=200)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_hundred_thousand_rows_are_walked_once_while_others_write(
    site: Served, database: asyncpg.Connection, connections: Connections
) -> None:
    await _walk_under_inserts(site, database, connections, rows=100_000, limit=1000, per_second=200)


async def _walk_under_inserts(  # noqa: PLR0913 fixtures, and the size
    site: Served,
    database: asyncpg.Connection,
    connections: Connections,
    *,
    rows: int,
    limit: int,
    per_second: int,
) -> None:
    await database.execute("truncate moving")
    # equal timestamps in runs of five, so that the key has to decide
    await database.execute(
        "insert into moving (at) select '2026-01-01Z'::timestamptz + (n / 5) * interval '1 second' "
        "from generate_series(1, $1) n",
        rows,
    )
    await database.execute("analyze moving")
    there = {row["id"] for row in await database.fetch("select id from moving")}
    writing = asyncio.Event()

    async def write() -> None:
        writer = await asyncpg.connect(connections.owner_url)
        begun, own = monotonic_seconds(), 0
        try:
            while True:
                due = int((monotonic_seconds() - begun) * per_second) - own
                for _ in range(max(due, 0)):
                    await writer.execute(
                        "insert into moving (at) select '2026-01-01Z'::timestamptz "
                        "+ (random() * $1)::int * interval '1 second'",
                        rows // 5,
                    )
                    own += 1
                    writing.set()
                await asyncio.sleep(0.002)
        finally:
            await writer.close()

    for order, way in (("at", "next"), ("at.desc", "next"), ("at", "prev")):
        path = f"moving?select=id,at&order={order}&limit={limit}"
        writing.clear()
        task = asyncio.create_task(write())
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await writing.wait()
            if way == "next":
                pages = await walk(site, path)
            else:
                pages = await _walk_back(site, path)
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        met = [row["id"] for page in pages for row in page]
        assert len(met) == len(set(met)), "a row was met twice"
        assert there <= set(met), "a row was lost"


async def _walk_back(site: Served, path: str) -> list[list[dict[str, Any]]]:
    """Walk to the end, and return the pages of the way back, the last page included."""
    answer = await get(site, path, PAGED)
    while "next" in links(answer):
        answer = await get(site, "moving" + links(answer)["next"])
    pages = [answer.json()]
    while "prev" in links(answer):
        answer = await get(site, "moving" + links(answer)["prev"])
        pages.append(answer.json())
    return pages
