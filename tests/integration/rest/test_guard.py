"""The query guard: what would cost too much is refused before it runs, and the refusal names the index."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from modules.api_keys.dtos import CreateKey
from modules.rest.guard import Rules
from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.principal import SYSTEM, Principal, PrincipalKind
from tests.application import service_key
from tests.integration.rest.test_known import person
from tests.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    import asyncpg
    import httpx

    from monohull.kernel.home import Connections
    from tests.application import Served
    from tests.integration.standing import Standing

pytestmark = pytest.mark.asyncio(loop_scope="module")

SERVICE = {"Authorization": f"Bearer {service_key()}"}
TABLES = """
    create table readers (id int primary key, name text not null);
    create table books (
        id int primary key, reader_id int references readers, title text, pages int, tags text[], about jsonb,
        body tsvector, open daterange, at timestamptz, shelf int
    );
    create index on books (shelf);
    create view shown with (security_invoker = on) as select * from books;
    create table parted (id int, note text) partition by range (id);
    create table parted_1 partition of parted for values from (0) to (100000);
    insert into readers select n, 'reader ' || n from generate_series(1, 2000) n;
    insert into books
    select n, n % 2000 + 1, 'title ' || n, n % 300, array['tag' || n % 50], jsonb_build_object('k', n % 9),
        to_tsvector('english', 'word' || n % 100), daterange('2026-01-01', '2026-01-01'::date + n % 9 + 1),
        '2026-01-01Z'::timestamptz + n * interval '1 second', n % 1000
    from generate_series(1, 40000) n;
    insert into parted select n, 'note ' || n from generate_series(1, 90000) n;
    create table own (id int primary key, owner uuid, note text);
    alter table own enable row level security;
    create policy own on own using (owner = auth.uid());
    insert into own
    select n, '00000000-0000-0000-0000-000000000001', 'x' || n from generate_series(1, 30000) n;
    grant all on own to authenticated;
    create function some_books(n int) returns setof books language sql stable as
        'select * from books where pages = n';
    create function counted() returns void language sql as '';
    analyze readers, books, parted, own;
"""
COST = 900
"""Between what an index gives and what reading a table from end to end costs here."""


@pytest.fixture(scope="module")
def tables() -> tuple[str, ...]:
    names = ("readers", "books", "parted", "parted_1")
    return (TABLES, "".join(f"comment on table {name} is '@public';" for name in names))


@pytest_asyncio.fixture(loop_scope="module")
async def site(connections: Connections, standing: Standing) -> Served:  # noqa: ARG001 a fresh one first
    return await standing.serve(rest_guard=f"*:cost={COST},anon:depth=1,authenticated:depth=none")


async def ask(
    served: Served, path: str, headers: dict[str, str] | None = None, method: str = "GET", body: Any = None
) -> httpx.Response:
    return await served.client.request(method, f"/rest/v1/{path}", headers=headers or {}, json=body)


REFUSED: tuple[tuple[str, str, str | None], ...] = (
    ("books?title=eq.x", "title=eq", '("title")'),
    ("books?title=in.(x,y)", "title=in", '("title")'),
    ("books?pages=gt.290&select=id&limit=40000", "pages=gt", '("pages")'),
    ("books?title=eq.x&pages=eq.3", "title=eq", '("title", "pages")'),
    ("books?title=eq.x&pages=gt.3", "title=eq", '("title", "pages")'),
    ("books?title=eq.x&order=at.desc", "title=eq", '("title", "at")'),
    ("books?title=ilike.*x*", "title=ilike", 'using gin ("title" gin_trgm_ops)'),
    ("books?tags=cs.{tag1,tag2}", "tags=cs", 'using gin ("tags")'),
    ("books?body=fts.word1", "body=fts", 'using gin ("body")'),
    ("books?title=fts(english).word1", "title=fts", "using gin (to_tsvector('english', \"title\"))"),
    ("books?open=ov.[2027-01-01,2027-02-01)", "open=ov", 'using gist ("open")'),
    ('books?about=cs.{"k":77}', "about=cs", 'using gin ("about")'),
    ("books?about->>k=eq.77", "about->>k=eq", "((\"about\"->>'k'))"),
    ("books?or=(title.eq.x,pages.eq.3)", "title=eq", '("title")'),
    ("books?title=is.null", "title=is.null", '("title")'),
    ("books?title=neq.x&pages=eq.301", "pages=eq", '("pages")'),
    ('books?about=cd.{"k":77}', "about=cd", None),
    ("parted?note=eq.x", "note=eq", 'on "public"."parted" ("note")'),
    ("readers?select=id,books(id)", "the embedding of books by books.reader_id", '("reader_id")'),
    ("books?order=title", "order=title", '("title")'),
    ("books?order=title.desc,pages", "order=title.desc,pages", '("title", "pages")'),
)


@pytest.mark.parametrize(("path", "lacks", "index"), REFUSED)
async def test_a_refusal_names_what_lacks_an_index_and_the_one_that_helps(
    site: Served, database: asyncpg.Connection, path: str, lacks: str, index: str | None
) -> None:
    answer = await ask(site, path)
    assert answer.status_code == 403, answer.text[:300]
    problem = answer.json()
    assert problem["code"] == "MH124"
    assert f"it may cost {COST}" in problem["message"]
    assert problem["details"] == f"No index serves {lacks}: all rows would be looked at."
    if index is None:
        assert "index" in problem["hint"]
        return
    statement = problem["hint"].removeprefix("This index would help: ")
    assert statement.startswith("create index on ")
    assert statement.endswith(index)
    if "trgm" not in statement:  # an extension that not every server has
        transaction = database.transaction()
        await transaction.start()
        try:
            await database.execute(statement)  # it is what PostgreSQL takes
        finally:
            await transaction.rollback()


async def test_what_an_index_serves_is_answered(site: Served) -> None:
    for path in (
        "books?id=eq.7",
        "books?shelf=eq.3",
        "books?id=in.(1,2,3)&title=like.*1*",
        "books?order=id&limit=5",
        "books?limit=5",
        "readers?id=lt.3",
        "readers?select=id&name=eq.x",  # small enough to be read
        "rpc/some_books?n=3&limit=3",
    ):
        answer = await ask(site, path)
        assert answer.status_code == 200, answer.text


async def test_an_index_makes_the_request_pass(site: Served, database: asyncpg.Connection) -> None:
    path = "books?pages=eq.77&title=eq.none"
    hint = (await ask(site, path)).json()["hint"]
    await database.execute(hint.removeprefix("This index would help: "))
    await database.execute("notify pgrst, 'reload schema'")
    deadline = monotonic_seconds() + PATIENCE_SECONDS
    while (answer := await ask(site, path)).status_code != 200:
        assert monotonic_seconds() < deadline, answer.text
    assert answer.json() == []


async def test_ceilings_are_of_roles_and_service_role_has_none(site: Served) -> None:
    deep = "readers?select=id,books(id,readers(id))&id=eq.1&books.id=eq.1"
    refused = await ask(site, deep)
    assert (refused.status_code, refused.json()["code"]) == (403, "MH126")
    assert "2 deep; they may be 1 deep" in refused.json()["message"]
    assert "MH126" not in (await ask(site, deep, person(1))).text
    assert (await ask(site, "books?title=eq.x", person(1))).json()["code"] == "MH124"
    for path in ("books?title=eq.x", "readers?select=id,books(id,readers(id))&id=lt.3"):
        assert (await ask(site, path, SERVICE)).status_code == 200
    # what policies cost counts, and is not told
    own = await ask(site, "own?select=id", person(1))
    assert own.status_code == 200
    noted = (await ask(site, "own?note=eq.x", person(1))).json()
    assert noted["code"] == "MH124" or noted == []


async def test_views_are_guarded_and_tell_nothing_of_tables_behind(site: Served) -> None:
    service = {"Authorization": f"Bearer {service_key()}"}
    assert (await ask(site, "shown?title=eq.x", service)).status_code == 200
    answer = await ask(site, "shown?title=eq.x", person(1))
    assert (answer.status_code, answer.json()["code"]) == (403, "MH124")
    assert answer.json()["details"] is None
    assert "index" in answer.json()["hint"]


async def test_writes_conditions_and_batches_are_guarded(site: Served, database: asyncpg.Connection) -> None:
    before = await database.fetchval("select count(*) from books")
    for method, body in (("PATCH", {"shelf": 1}), ("DELETE", None)):
        answer = await ask(site, "books?title=eq.x", person(1), method, body)
        assert (answer.status_code, answer.json()["code"]) == (403, "MH124"), answer.text
        assert answer.json()["hint"].endswith('("title")')
        for more in ({"If-Match": '"r1"'}, {"Idempotency-Key": f"a-key-of-{method}-0123456789"}):
            answer = await ask(site, "books?title=eq.x", person(1) | more, method, body)
            assert (answer.status_code, answer.json()["code"]) == (403, "MH124"), answer.text
    tagged = await ask(
        site, "books?title=eq.x", {"Prefer": "etag", "Accept": "application/vnd.pgrst.object+json"}
    )
    assert tagged.json()["code"] == "MH124"
    paged = await ask(site, "books?order=title&limit=3", {"Prefer": "pagination=cursor"})
    assert paged.json()["code"] == "MH124"
    steps = [{"method": "GET", "path": "/books?id=eq.1"}, {"method": "GET", "path": "/books?title=eq.x"}]
    batch = await ask(site, "_batch", person(1), "POST", steps)
    assert batch.json()["code"] == "MH124", batch.text
    assert await database.fetchval("select count(*) from books") == before
    written = await ask(site, "books?id=eq.1", SERVICE, "PATCH", {"shelf": 5})
    assert written.status_code == 204
    own = {"id": 99_999, "owner": "00000000-0000-0000-0000-000000000001"}
    for path, more in (("own", {}), ("own", {"Prefer": "resolution=merge-duplicates"})):
        assert (await ask(site, path, person(1) | more, "POST", own)).status_code in (200, 201)


async def test_the_planner_is_asked_once_for_a_kind_of_request(site: Served) -> None:
    def counted(outcome: str) -> float:
        value = site.runtime.metrics.registry.get_sample_value(
            "monohull_rest_guard_total", {"outcome": outcome}
        )
        return value or 0.0

    begun = {name: counted(name) for name in ("explained", "remembered", "refused")}
    for number in range(5):
        assert (await ask(site, f"books?shelf=eq.{number}&select=id,at")).status_code == 200
    for number in range(3):
        assert (await ask(site, f"books?title=eq.{number}&select=id,at")).status_code == 403
    assert {name: counted(name) - begun[name] for name in begun} == {
        "explained": 2,
        "remembered": 6,
        "refused": 3,
    }
    # a caller without ceilings is not looked at
    begun = {name: counted(name) for name in begun}
    for _ in range(3):
        assert (await ask(site, "books?title=eq.1&select=id,at", SERVICE)).status_code == 200
    assert {name: counted(name) for name in begun} == begun


async def test_rows_are_limited_and_keys_have_ceilings_of_their_own(
    connections: Connections,  # noqa: ARG001 a fresh one first
    standing: Standing,
    database: asyncpg.Connection,
) -> None:
    served = await standing.serve()
    from modules.api_keys.news import News  # noqa: PLC0415
    from modules.api_keys.services import Keys  # noqa: PLC0415

    keys = Keys(served.runtime.database, served.runtime.permissions, News(served.runtime.broker))
    made = [await keys.create(CreateKey(name=name, kind="publishable"), SYSTEM) for name in ("one", "two")]
    one, two = ({"apikey": key.key} for key in made)
    assert (await ask(served, "books?select=id&pages=lt.200", one)).status_code == 200
    guard = f"anon:rows=100,{made[0].id}:rows=2000,{made[0].id}:cost={COST}"
    await database.execute(
        f"alter role authenticator in database {await _name(database)} set pgrst.guard = '{guard}'"
    )
    try:
        await database.execute("notify pgrst, 'reload config'")
        deadline = monotonic_seconds() + PATIENCE_SECONDS
        while (answer := await ask(served, "books?select=id&pages=lt.200", two)).status_code == 200:
            assert monotonic_seconds() < deadline
        assert (answer.status_code, answer.json()["code"]) == (403, "MH125")
        assert (
            answer.json()["message"] == "The request is expected to be about 1000 rows; it may be about 100."
        )
        assert answer.json()["hint"].endswith('("pages")')
        assert (await ask(served, "books?select=id&limit=50", two)).status_code == 200
        assert (await ask(served, "books?select=id", one)).status_code == 200
        assert (await ask(served, "books?title=eq.x", one)).json()["code"] == "MH124"
        assert (await ask(served, "books?title=eq.x", two)).status_code == 200
    finally:
        await database.execute(
            f"alter role authenticator in database {await _name(database)} reset pgrst.guard"
        )


async def _name(database: asyncpg.Connection) -> str:
    return f'"{await database.fetchval("select current_database()")}"'


async def test_what_is_said_last_of_a_caller_counts() -> None:
    rules = Rules(("*:cost=10", "*:depth=1", "anon:cost=20", "anon:depth=none", "0198:rows=5", "a:b:cost=7"))

    def of(role: str, key: str | None = None) -> tuple[int | None, ...] | None:
        found = rules.of(Principal(kind=PrincipalKind.KEY, role=role, key_id=key))
        return None if found is None else (found.cost, found.rows, found.depth)

    assert of("authenticated") == (10, None, 1)
    assert of("anon") == (20, None, None)
    assert of("anon", "0198") == (20, 5, None)
    assert of("a:b") == (7, None, 1)
    assert of("service_role", "0198") is None
    assert Rules(()).of(Principal(kind=PrincipalKind.ANONYMOUS, role="anon")) is None
    assert Rules(("anon:depth=none",)).of(Principal(kind=PrincipalKind.ANONYMOUS, role="anon")) is None
