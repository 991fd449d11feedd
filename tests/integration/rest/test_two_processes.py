"""What goes beyond PostgREST, through two API processes at once: with Redis there, and with Redis gone."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from itertools import cycle
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urljoin
from uuid import uuid4

import asyncpg
import httpx
import pytest
import pytest_asyncio

from modules.rest.settings import RestSettings
from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.embedded import EmbeddedRedis, discard, new_password
from monohull.kernel.home import Connections
from monohull.kernel.settings import Secret
from tests.application import anon_key, on_database, service_key
from tests.integration.cli.serving import serve
from tests.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tests.services import Services

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROWS: Final = 500
BOUND_SECONDS: Final = RestSettings().cache_bound_seconds
SERVICE: Final = {"apikey": service_key(), "Authorization": f"Bearer {service_key()}"}
ANON: Final = {"apikey": anon_key()}
TREE: Final = {"note": "tree", "lines": [{"quantity": 1}, {"quantity": 2}]}
SQL: Final = f"""
create table public.orders (
    id int generated always as identity primary key, note text, version int default 1
);
create table public.lines (
    id int generated always as identity primary key,
    order_id int not null references orders, quantity int not null check (quantity < 100)
);
create table public.readings (id int primary key, place text not null);
insert into readings select n * 1000, 'p' || n % 7 from generate_series(1, {ROWS}) as n;
create table public.prices (id int primary key, amount int not null);
insert into prices values (1, 0);
create trigger monohull_cache after insert or update or delete or truncate on public.prices
    for each statement execute function monohull.tell_of_rows('60');
alter table public.prices enable always trigger monohull_cache;
alter table prices enable row level security;
create policy all_see on prices for select using (true);
create table public.letters (id int primary key, body text);
insert into letters select n, repeat('x', 200) from generate_series(1, 5000) as n;
alter table letters enable row level security;
create policy all_see on letters for select using (true);
analyze;
grant all on all tables in schema public to service_role;
grant select on prices, letters to anon;
"""


class Pair:
    """Two processes on one database, asked in turns or together."""

    def __init__(self, urls: Sequence[str], client: httpx.AsyncClient) -> None:
        self._turns = cycle(urls)
        self.urls = urls
        self._client = client

    async def ask(  # noqa: PLR0913 a request has these parts
        self,
        method: str,
        path: str,
        *,
        who: dict[str, str] = SERVICE,
        headers: dict[str, str] | None = None,
        url: str | None = None,
        json: Any = None,
    ) -> httpx.Response:
        address = urljoin(f"{url or next(self._turns)}/rest/v1/", path)
        return await self._client.request(method, address, headers=who | (headers or {}), json=json)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["with Redis", "without Redis"])
async def pair(
    request: pytest.FixtureRequest,
    services: Services,
    template_database: str,
    worker_number: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[tuple[Pair, asyncpg.Connection]]:
    """The processes, and the database as the superuser."""
    name, folder = f"two_{worker_number}", tmp_path_factory.mktemp("two")
    admin = await asyncpg.connect(services.postgres_url)
    await admin.execute(f"drop database if exists {name} with (force)")
    await admin.execute(f"create database {name} template {template_database} strategy file_copy")
    url = on_database(services.postgres_url, name)
    database = await asyncpg.connect(url)
    await database.execute(SQL)
    redis = EmbeddedRedis(folder / "redis", password=new_password(), durable=False)
    redis.start()
    connections = Connections(Secret(url), Secret(url), Secret(redis.url))
    with ExitStack() as stack:
        urls = []
        for number in range(2):
            (home := folder / str(number)).mkdir()
            urls.append(
                stack.enter_context(
                    serve(connections, home, rest_guard="anon:cost=50", rest_cache_redis="main")
                )
            )
        if request.param == "without Redis":
            redis.stop()
        async with httpx.AsyncClient(timeout=60) as client:
            yield Pair(urls, client), database
    redis.stop()
    discard(folder / "redis")
    await database.close()
    await admin.execute(f"drop database if exists {name} with (force)")
    await admin.close()


async def test_batches_are_whole(pair: tuple[Pair, asyncpg.Connection]) -> None:
    two, database = pair

    def steps(quantity: int) -> list[dict[str, Any]]:
        order = {"note": "batch"}
        line = {"order_id": {"$from": "/made/0/id"}, "quantity": quantity}
        wish = {"Prefer": "return=representation"}
        return [
            {"path": "/orders", "method": "POST", "name": "made", "body": order, "headers": wish},
            {"path": "/lines", "method": "POST", "body": line},
        ]

    answers = await asyncio.gather(
        *(two.ask("POST", "_batch", json=steps(100 if n % 4 == 0 else n)) for n in range(1, 41))
    )
    assert sorted({answer.status_code for answer in answers}) == [200, 400]
    assert sum(answer.status_code == 200 for answer in answers) == 30
    made = await database.fetchval(
        "select count(*) from orders join lines on order_id = orders.id where note = 'batch'"
    )
    assert (made, await database.fetchval("select count(*) from orders where note = 'batch'")) == (30, 30)


async def test_one_key_is_one_write(pair: tuple[Pair, asyncpg.Connection]) -> None:
    two, database = pair
    headers = {"Idempotency-Key": str(uuid4()), "Prefer": "return=representation"}
    answers = await asyncio.gather(
        *(two.ask("POST", "orders", json={"note": "once"}, headers=headers) for _ in range(50))
    )
    assert {(answer.status_code, answer.text) for answer in answers} == {(201, answers[0].text)}
    assert await database.fetchval("select count(*) from orders where note = 'once'") == 1
    other = await two.ask("POST", "orders", json={"note": "other"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "MH107")


async def test_trees_are_whole(pair: tuple[Pair, asyncpg.Connection]) -> None:
    two, database = pair
    wish = {"Prefer": "nested=insert, return=representation"}
    broken = {"note": "tree", "lines": [{"quantity": 1}, {"quantity": 100}]}
    answers = await asyncio.gather(
        *(
            two.ask(
                "POST", "orders?select=id,lines(quantity)", json=broken if n % 5 == 0 else TREE, headers=wish
            )
            for n in range(40)
        )
    )
    assert [answer.status_code for answer in answers] == [400 if n % 5 == 0 else 201 for n in range(40)]
    found = await database.fetch(
        "select count(*) as lines from orders join lines on order_id = orders.id where note = 'tree' "
        "group by orders.id"
    )
    assert [row["lines"] for row in found] == [2] * 32


async def test_of_two_who_change_what_they_read_one_is_refused(pair: tuple[Pair, asyncpg.Connection]) -> None:
    two, database = pair
    order = await database.fetchval("insert into orders (note) values ('shared') returning id")
    for version in range(2, 12):
        read = await two.ask("GET", f"orders?id=eq.{order}", headers={"Prefer": "etag"})
        answers = await asyncio.gather(
            *(
                two.ask(
                    "PATCH",
                    f"orders?id=eq.{order}",
                    json={"version": version},
                    headers={"If-Match": read.headers["etag"]},
                    url=url,
                )
                for url in two.urls
            )
        )
        assert sorted(answer.status_code for answer in answers) == [204, 412]
        again = await two.ask("GET", f"orders?id=eq.{order}", headers={"If-None-Match": read.headers["etag"]})
        assert again.status_code == 200


async def test_a_cursor_of_one_leads_on_at_the_other(pair: tuple[Pair, asyncpg.Connection]) -> None:
    two, database = pair
    seen: list[int] = []
    path = "readings?order=place.desc,id&limit=23&cursor="
    while path:
        page = await two.ask("GET", path)
        assert page.status_code == 200, page.text
        seen += [row["id"] for row in page.json() if row["id"] % 1000 == 0]
        await database.execute(
            "insert into readings select 1 + id, place from readings where id % 1000 = 0 order by random() "
            "limit 5 on conflict do nothing"
        )
        found = httpx.Response(200, headers={"link": page.headers.get("link", "")}).links
        path = "readings" + found["next"]["url"] if "next" in found else ""
    assert (len(seen), len(set(seen))) == (ROWS, ROWS)


async def test_both_refuse_what_would_cost_too_much(pair: tuple[Pair, asyncpg.Connection]) -> None:
    two, _ = pair
    for url in two.urls:
        refused = await two.ask("GET", "letters?body=eq.y", who=ANON, url=url)
        assert (refused.status_code, refused.json()["code"]) == (403, "MH124")
        assert 'on "public"."letters" ("body")' in refused.json()["hint"]
        passed = await two.ask("GET", "letters?id=eq.1", who=ANON, url=url)
        assert passed.status_code == 200


async def test_what_one_writes_the_other_gives(pair: tuple[Pair, asyncpg.Connection]) -> None:
    two, _ = pair
    told: set[str] = set()
    written_at = {0: float("-inf")}
    for amount in range(1, 16):
        writer, reader = two.urls if amount % 2 else reversed(two.urls)
        written = await two.ask("PATCH", "prices?id=eq.1", json={"amount": amount}, url=writer)
        assert written.status_code == 204, written.text
        written_at[amount] = monotonic_seconds()
        async with asyncio.timeout(PATIENCE_SECONDS):
            given = -1
            while given != amount or "hit" not in " ".join(told):
                asked_at = monotonic_seconds()
                read = await two.ask("GET", "prices?id=eq.1", url=reader)
                given = read.json()[0]["amount"]
                told.add(read.headers.get("cache-status", ""))  # the first of its kind is not looked for
                # Of what is younger nothing is promised, whichever process wrote it.
                assert given >= max(n for n, at in written_at.items() if at + BOUND_SECONDS <= asked_at)


async def test_both_describe_the_same(pair: tuple[Pair, asyncpg.Connection]) -> None:
    two, _ = pair
    one, other = [await two.ask("GET", "openapi.json", url=url) for url in two.urls]
    assert one.status_code == 200
    documents = [answer.json() for answer in (one, other)]
    for document in documents:
        document.pop("servers")
    assert documents[0] == documents[1]
    assert "/prices" in documents[0]["paths"]
