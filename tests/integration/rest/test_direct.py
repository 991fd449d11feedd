"""Requests that our own server has answered without a task: the same answers, and the same ends."""

from __future__ import annotations

import asyncio
import gc
import json
from collections import Counter
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import asyncpg
import pytest
import pytest_asyncio

from monohull.kernel.observation import Observation, RequestFinished
from monohull.kernel.server.connection import Connection
from tests.application import Served, service_key
from tests.integration.kernel.test_server_connections import Client
from tests.integration.kernel.test_server_connections import serving as listening
from tests.patience import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from tests.integration.standing import Standing

pytestmark = pytest.mark.asyncio(loop_scope="module")

TABLES: Final = """
create table things (id int primary key, name text unique, doubled int generated always as (id * 2) stored);
insert into things select n, 'thing ' || n from generate_series(1, 50) n;
create table large (id int primary key, filler text);
insert into large values (1, 'short');
create view remarkable with (security_invoker) as select id, name,
  set_config('response.headers', '[{"x-remark": "yes"}]', true) as said from things;
"""
LOCK: Final = "lock table things in access exclusive mode"
END: Final = """
select pg_terminate_backend(pid) from pg_stat_activity
 where wait_event_type = 'Lock' and datname = current_database()
"""
Headers: TypeAlias = "Mapping[str, str]"
NONE: Final[Headers] = MappingProxyType({})
BROWSER: Final[Headers] = {"Origin": "http://localhost:3000"}
OWN: Final = frozenset({"x-request-id", "traceparent", "date"})
SERVICE: Final = {"Authorization": f"Bearer {service_key()}"}


class Short(dict[str, float]):
    """What statements cost: little, however busy the machine is that the test runs on."""

    def get(self, key: str, default: Any = None) -> float:
        del key, default
        return 0.0001


class Watched:
    """An application behind our own server, and what became of its requests.

    Attributes:
        tasks: How many of them became one.
    """

    def __init__(self, served: Served, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        self.served, self.client = served, client
        self.tasks = 0
        self.finished: list[int] = []
        served.runtime.observer.add_reader(self._read, RequestFinished)
        original = Connection.work_on

        def work_on(connection: Connection, *work: Any) -> None:
            self.tasks += 1
            original(connection, *work)

        monkeypatch.setattr(Connection, "work_on", work_on)

    def _read(self, observation: Observation) -> None:
        assert isinstance(observation, RequestFinished)
        self.finished.append(observation.status)

    async def warm(self, path: str) -> None:
        """Ask until it is known."""
        for _ in range(3):
            await self.ask("GET", path)
        self.tasks = 0

    async def ask(
        self, method: str, path: str, body: str = "", *, client: Client | None = None, headers: Headers = NONE
    ) -> tuple[int, dict[str, str], bytes]:
        return await (client or self.client).ask(request(method, path, body, headers))

    async def through_asgi(self, path: str, headers: Headers = NONE) -> tuple[int, dict[str, str], bytes]:
        answer = await self.served.client.get(f"/rest/v1/{path}", headers={**SERVICE, **headers})
        return answer.status_code, dict(answer.headers.multi_items()), answer.content

    @property
    def in_use(self) -> int:
        return self.served.runtime.data.in_use


def request(method: str, path: str, body: str = "", headers: Headers = NONE) -> bytes:
    more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    if body:
        more += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    head = f"{method} /rest/v1/{path} HTTP/1.1\r\nHost: a\r\nAuthorization: {SERVICE['Authorization']}\r\n"
    return f"{head}{more}\r\n{body}".encode()


def kept(answer: tuple[int, dict[str, str], bytes]) -> tuple[int, dict[str, str], bytes]:
    status, headers, body = answer
    return status, {name: value for name, value in headers.items() if name not in OWN}, body


@pytest_asyncio.fixture(loop_scope="module")
async def served(standing: Standing) -> Served:
    await standing.fresh((TABLES,))
    return await standing.serve(pool_size="2", rest_rate_limit="0")


@pytest_asyncio.fixture(loop_scope="module")
async def own(served: Served, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watched]:
    monkeypatch.setattr(served.runtime.data, "_costs", Short())
    async with listening(served.app) as server:
        yield Watched(served, await server.connect(), monkeypatch)
        await eventually(lambda: served.runtime.data.in_use == 0)
        assert served.runtime.lifecycle.in_flight == 0


@asynccontextmanager
async def locked(served: Served) -> AsyncIterator[None]:
    """Have whatever asks for things wait."""
    connection = await asyncpg.connect(served.runtime.connections.owner_url)
    try:
        async with connection.transaction():
            await connection.execute(LOCK)
            yield
    finally:
        await connection.close()


async def test_known_reads_are_answered_without_a_task_as_they_are_with_one(own: Watched) -> None:
    path = "things?select=id,name&id=eq.{}"
    await own.warm(path.format(1))
    for number in (1, 2, 77):
        assert kept(await own.ask("GET", path.format(number))) == kept(
            await own.through_asgi(path.format(number))
        )
    assert own.tasks == 0
    assert own.finished[-2:] == [200, 200]


async def test_browsers_are_told_what_they_may(own: Watched) -> None:
    await own.ask("GET", "things?id=eq.1", headers=BROWSER)
    own.tasks = 0
    answer = await own.ask("GET", "things?id=eq.1", headers=BROWSER)
    assert own.tasks == 0
    there = await own.through_asgi("things?id=eq.1", headers=BROWSER)
    assert kept(answer) == kept(there)


async def test_what_is_refused(own: Watched) -> None:
    await own.warm("things?id=eq.1")
    answer = await own.ask("GET", "things?id=eq.many")
    assert own.tasks == 1, "to say what is wrong takes a task"
    assert kept(answer) == kept(await own.through_asgi("things?id=eq.many"))
    assert json.loads(answer[2])["code"] == "22P02"
    one = {"Accept": "application/vnd.pgrst.object+json"}
    for _ in range(2):
        await own.ask("GET", "things?id=eq.1", headers=one)
    answer = await own.ask("GET", "things?id=eq.99", headers=one)
    assert (answer[0], json.loads(answer[2])["code"]) == (406, "PGRST116")


async def test_headers_that_the_database_sets(own: Watched) -> None:
    for _ in range(3):
        status, headers, _ = await own.ask("GET", "remarkable?id=eq.1&select=id,said")
        assert (status, headers["x-remark"]) == (200, "yes")


async def test_known_writes(own: Watched) -> None:
    wish = {"Prefer": "return=representation"}
    for number in (101, 102):
        await own.ask("POST", "things", json.dumps({"id": number, "name": f"new {number}"}), headers=wish)
    own.tasks = 0
    status, _, body = await own.ask("POST", "things", '{"id": 103, "name": "new 103"}', headers=wish)
    assert (status, json.loads(body)) == (201, [{"id": 103, "name": "new 103", "doubled": 206}])
    assert own.tasks == 0
    status, _, body = await own.ask("POST", "things", '{"id": 103, "name": "again"}', headers=wish)
    assert (status, json.loads(body)["code"]) == (409, "23505")
    status, _, body = await own.ask("POST", "things", '{"id": "x", "name": "new"}', headers=wish)
    assert (status, json.loads(body)["code"]) == (400, "22P02")
    for number in (
        10_000_000_001,
        10_000_000_002,
        10_000_000_003,
    ):  # taken apart, refused, and asked for anew
        status, _, body = await own.ask("POST", "things", f'{{"id": {number}, "name": "new"}}', headers=wish)
        assert (status, json.loads(body)["code"]) == (400, "22003")
    status, _, body = await own.ask("POST", "things", '{"id": 106, "name": "new 106"}', headers=wish)
    assert (status, json.loads(body)) == (201, [{"id": 106, "name": "new 106", "doubled": 212}])
    status, _, body = await own.ask("POST", "things", '{"id": 104, "name": ', headers=wish)
    assert (status, json.loads(body)["code"]) == (400, "PGRST102")
    assert (await own.ask("DELETE", "things?id=gt.100"))[0] == 204


async def test_a_body_that_comes_in_pieces(own: Watched) -> None:
    for number in (111, 112, 113):
        whole = request("POST", "things", json.dumps({"id": number, "name": f"cut {number}"}))
        own.client.writer.write(whole[:-5])
        await asyncio.sleep(0.05)
        assert (await own.client.ask(whole[-5:]))[0] == 201


async def test_the_old_version_and_the_last_request_of_a_connection(own: Watched) -> None:
    await own.warm("things?id=eq.1")
    raw = request("GET", "things?id=eq.2").replace(b"HTTP/1.1", b"HTTP/1.0")
    status, headers, _ = await own.client.ask(raw)
    assert (status, headers["connection"]) == (200, "close")
    assert await own.client.is_closed()


async def test_many_requests_at_once_on_one_connection(own: Watched) -> None:
    await own.warm("things?select=id&id=eq.1")
    numbers = [1 + number % 50 for number in range(200)]
    own.client.writer.write(b"".join(request("GET", f"things?select=id&id=eq.{n}") for n in numbers))
    assert [json.loads((await own.client.answer())[2]) for _ in numbers] == [[{"id": n}] for n in numbers]
    assert own.tasks == 0


async def test_requests_leave_no_garbage(own: Watched) -> None:
    """A circle for each would have the collector run all the time, which costs a third of a read."""
    read, write = request("GET", "things?id=eq.1"), request("DELETE", "things?id=eq.0")
    for _ in range(3):
        await own.client.ask(read)
        await own.client.ask(write)
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        for _ in range(50):
            await own.client.ask(read)
            await own.client.ask(write)
        gc.collect()
        # what else runs in this process may leave some, and not one for each request
        kinds = Counter(f"{type(left).__module__}.{type(left).__name__}" for left in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    ours = {kind: count for kind, count in kinds.items() if kind.startswith(("modules.", "monohull."))}
    assert max(ours.values(), default=0) < 25, ours


async def test_a_value_that_still_comes(own: Watched) -> None:
    path = "large?id=eq.1"
    await own.warm(path)
    connection = await asyncpg.connect(own.served.runtime.connections.owner_url)
    await connection.execute("update large set filler = repeat('x', 3000000)")
    await connection.close()
    status, headers, body = await own.ask("GET", path)
    assert (status, int(headers["content-length"])) == (200, len(body))
    assert json.loads(body) == [{"id": 1, "filler": "x" * 3_000_000}]
    assert own.tasks == 1


async def more_clients(server: Any, count: int) -> list[Client]:
    return [await server.connect() for _ in range(count)]


async def test_who_waits_for_a_connection_is_answered_in_the_end(own: Watched, served: Served) -> None:
    """Two connections take eight requests each, at most; the others stand in line."""
    await own.warm("things?id=eq.1")
    async with listening(served.app) as server:
        clients = await more_clients(server, 20)
        async with locked(served):
            asked = [
                asyncio.create_task(own.ask("GET", f"things?id=eq.{number}", client=client))
                for number, client in enumerate(clients, 1)
            ]
            await eventually(lambda: served.runtime.lifecycle.in_flight == 20)
            assert served.runtime.data.waiting >= 4
        answers = await asyncio.gather(*asked)
    assert [json.loads(body)[0]["id"] for _, _, body in answers] == list(range(1, 21))
    assert own.tasks < 20, "none but those that came to a connection which did not know the statement yet"


async def test_who_waits_too_long_is_told(
    own: Watched, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    await own.warm("things?id=eq.1")
    monkeypatch.setattr(served.runtime.data, "timeout_seconds", 0.2)
    monkeypatch.setattr(served.runtime.data, "_expiry", None)  # the timer of the longer time
    async with listening(served.app) as server:
        clients = await more_clients(server, 20)
        async with locked(served):
            asked = [
                asyncio.create_task(own.ask("GET", "things?id=eq.1", client=client)) for client in clients
            ]
            await eventually(lambda: own.finished.count(504) >= 4)
            assert served.runtime.data.waiting == 0
        answers = await asyncio.gather(*asked)
    refused = [json.loads(body)["code"] for status, _, body in answers if status != 200]
    assert set(refused) == {"PGRST003"}
    assert len(refused) == own.finished.count(504) < 20


async def test_whoever_leaves_is_not_waited_for(own: Watched, served: Served) -> None:
    path = "things?select=name&id=eq.1"  # one whose statement nobody had to wait for yet
    await own.warm(path)
    async with listening(served.app) as server:
        clients = await more_clients(server, 20)
        async with locked(served):
            for client in clients:
                client.writer.write(request("GET", path))
            await eventually(lambda: served.runtime.lifecycle.in_flight == 20)
            assert served.runtime.data.waiting >= 4
            for client in clients:
                client.writer.transport.abort()
            await eventually(lambda: own.finished.count(499) == 20)
            await eventually(lambda: served.runtime.data.in_use == 0)
            assert served.runtime.data.waiting == 0


async def test_a_connection_that_is_lost(own: Watched, served: Served) -> None:
    """A read is sent again; a write may have taken effect."""
    await own.warm("things?id=eq.1")
    for number in (121, 122, 123):
        assert (await own.ask("POST", "things", json.dumps({"id": number, "name": f"lost {number}"})))[
            0
        ] == 201
    own.tasks = 0
    for method, body, status in (("GET", "", 200), ("POST", '{"id": 124, "name": "lost 124"}', 503)):
        path = "things?id=eq.1" if method == "GET" else "things"
        async with locked(served):
            asked = asyncio.create_task(own.ask(method, path, body))
            admin = await asyncpg.connect(served.runtime.connections.owner_url)
            await eventually(lambda: served.runtime.data.in_use == 1)
            await eventually(lambda: admin.fetch(END))  # noqa: B023 it is awaited here
            await admin.close()
        assert (await asked)[0] == status
    assert own.tasks == 2
