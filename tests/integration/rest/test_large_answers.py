"""Answers that go out while they come from the database: what they are, and who can break them off."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING, Any, Final

import pytest
import pytest_asyncio
from msgspec import Struct

from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.database import stream
from monohull.kernel.observation import AnswerBroken, RequestFinished
from tests.application import Served, service_key
from tests.integration.cli.serving import serve
from tests.patience import PATIENCE_SECONDS, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import asyncpg

    from monohull.kernel.home import Connections
    from tests.integration.standing import Standing

pytestmark = pytest.mark.asyncio(loop_scope="module")

ANSWERING: Final = (
    "from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() "
    "and query like '%\"big\"%'"
)
SERVICE: Final = {"Authorization": f"Bearer {service_key()}"}
ROWS: Final = 12_000
MIB: Final = 1024 * 1024

TABLES: Final = f"""
create table parents (id int primary key, name text);
create table big (id int primary key, parent_id int references parents, name text, filler text);
insert into parents values (1, 'one'), (2, 'two');
insert into big select n, 1 + n % 2, 'naïve "' || n || '"', repeat(chr(97 + n % 26), 2000)
  from generate_series(1, {ROWS}) n;
create function everything() returns setof big language sql stable as 'select * from big order by id';
create function remarkable(status text) returns setof big language plpgsql stable as $$ begin
  perform set_config('response.status', status, true);
  perform set_config('response.headers', '[{{"X-Remark": "yes"}}]', true);
  return query select * from big order by id;
end $$;
create function counted() returns setof big language plpgsql volatile as $$ begin
  return query select * from big order by id;
end $$;
analyze;
"""
DOCUMENT: Final = "select json_agg(t)::text from (select * from big order by id) t"


class Exchange(Struct):
    """What an ASGI application sent."""

    messages: list[dict[str, Any]] = []

    @property
    def status(self) -> int:
        status: int = self.messages[0]["status"]
        return status

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.messages[0]["headers"]}

    @property
    def pieces(self) -> list[bytes]:
        return [message.get("body", b"") for message in self.messages[1:]]

    @property
    def is_whole(self) -> bool:
        return not self.messages[-1].get("more_body", False)

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)


async def ask(  # noqa: PLR0913 as it is wanted
    served: Served,
    path: str,
    *,
    method: str = "GET",
    delay: float = 0.0,
    may_go_on: asyncio.Event | None = None,
    leaves_after: int = 0,
    **headers: str,
) -> Exchange:
    """Speak ASGI as a server does; ``leaves_after`` that many messages the client is gone.

    Each takes as long as ``delay`` says, and until ``may_go_on`` is set.
    """
    path, _, query = path.partition("?")
    found, gone = Exchange([]), asyncio.Event()
    pairs = {**SERVICE, **{name.replace("_", "-"): value for name, value in headers.items()}}
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": f"/rest/v1/{path}",
        "raw_path": f"/rest/v1/{path}".encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in pairs.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    requests = [{"type": "http.request", "body": b"{}" if method == "POST" else b"", "more_body": False}]

    async def receive() -> dict[str, Any]:
        if requests:
            return requests.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        found.messages.append(message)
        if len(found.messages) == leaves_after:
            gone.set()
        await asyncio.sleep(delay)
        if may_go_on is not None:
            await may_go_on.wait()

    await served.app(scope, receive, send)
    return found


async def at_rest(served: Served) -> None:
    pool = served.runtime.data
    await eventually(lambda: not pool.in_use and not pool.waiting)
    assert pool._spools.used_bytes == 0


@pytest.fixture(scope="module")
def tables(tables: tuple[str, ...]) -> tuple[str, ...]:
    return (*tables, TABLES)


@pytest_asyncio.fixture(loop_scope="module")
async def document(database: asyncpg.Connection[Any]) -> bytes:
    """What all rows of the large table are as JSON."""
    text: str = await database.fetchval(DOCUMENT)
    return text.encode()


@pytest_asyncio.fixture(loop_scope="module")
async def served(connections: Connections, standing: Standing) -> AsyncIterator[Served]:  # noqa: ARG001 a fresh one first
    served = await standing.serve(rest_max_rows="")
    yield served
    await at_rest(served)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["big?order=id", "rpc/everything"])
async def test_a_document_goes_out_in_pieces(served: Served, document: bytes, path: str, method: str) -> None:
    if method == "POST" and path.startswith("big"):
        return
    seen: list[Any] = []
    served.runtime.observer.add_reader(seen.append)
    found = await ask(served, path, method=method, prefer="count=exact")
    assert (found.status, found.body == document, found.is_whole) == (200, True, True)
    assert len(found.pieces) > 20
    assert max(map(len, found.pieces)) < MIB
    assert found.headers["content-length"] == str(len(document))
    assert found.headers["content-range"] == f"0-{ROWS - 1}/{ROWS}"
    [finished] = [one for one in seen if isinstance(one, RequestFinished)]
    assert (finished.status, finished.response_bytes) == (200, len(document))


async def test_csv(served: Served) -> None:
    found = await ask(served, "big?order=id&select=id,name,filler", accept="text/csv")
    assert (found.headers["content-type"], len(found.pieces) > 20) == ("text/csv; charset=utf-8", True)
    lines = found.body.decode().split("\n")
    assert (lines[0], len(lines)) == ("id,name,filler", ROWS + 1)
    assert lines[-1] == f'{ROWS},"naïve ""{ROWS}""",' + chr(97 + ROWS % 26) * 2000
    assert found.headers["content-length"] == str(len(found.body))


async def test_an_embed_and_a_page(served: Served) -> None:
    found = await ask(
        served, "parents?select=name,big(id,filler)&order=id&big.order=id", prefer="count=exact"
    )
    assert len(found.pieces) > 20
    one, two = json.loads(found.body)
    assert [row["id"] for row in one["big"]] == list(range(2, ROWS + 1, 2))
    assert len(two["big"]) == ROWS // 2
    page = await ask(served, "big?order=id&offset=1000&limit=9000", prefer="count=exact")
    assert (page.status, page.headers["content-range"]) == (206, f"1000-9999/{ROWS}")
    assert [row["id"] for row in json.loads(page.body)] == list(range(1001, 10_001))


async def test_head_has_no_body(served: Served) -> None:
    for path in ("big", "rpc/everything"):
        found = await ask(served, path, method="HEAD", prefer="count=exact")
        assert (found.status, found.pieces, "content-length" in found.headers) == (200, [b""], False)
        assert found.headers["content-range"] == f"0-{ROWS - 1}/{ROWS}"


@pytest.mark.parametrize(
    ("path", "prefer", "method"),
    [
        ("rpc/counted", "count=none", "POST"),
        ("big?order=id", "count=planned", "GET"),
        ("big?order=id", "count=estimated", "GET"),
    ],
)
async def test_what_may_write_or_asks_twice_is_whole(
    served: Served, document: bytes, path: str, prefer: str, method: str
) -> None:
    found = await ask(served, path, method=method, prefer=prefer)
    assert [piece == document for piece in found.pieces] == [True]


async def test_a_function_speaks_about_it(served: Served, document: bytes) -> None:
    found = await ask(served, "rpc/remarkable?status=202")
    assert (found.status, found.headers["x-remark"], found.body == document) == (202, "yes", True)
    assert len(found.pieces) > 20
    found = await ask(served, "rpc/remarkable?status=nonsense")
    assert (found.status, json.loads(found.body)["code"]) == (500, "PGRST112")
    await at_rest(served)


async def test_one_was_asked_for_and_it_is_large(served: Served, database: asyncpg.Connection[Any]) -> None:
    await database.execute(f"update big set filler = repeat('x', {10 * MIB}) where id < 3")
    accept = "application/vnd.pgrst.object+json"
    found = await ask(served, "big?id=eq.1", accept=accept)
    assert (len(json.loads(found.body)["filler"]), len(found.pieces) > 20) == (10 * MIB, True)
    found = await ask(served, "big?id=lt.3", accept=accept)
    assert (found.status, json.loads(found.body)["code"]) == (406, "PGRST116")


async def test_a_client_that_leaves(served: Served, database: asyncpg.Connection[Any]) -> None:
    lost = served.runtime.data.lost_total
    for messages in (1, 2, 10):
        found = await ask(served, "big?order=id", leaves_after=messages)
        assert messages <= len(found.messages) <= messages + 20
        assert not found.is_whole
        await at_rest(served)
    active = f"select count(*) {ANSWERING} and state = 'active'"
    assert await database.fetchval(active) == 0
    assert served.runtime.data.lost_total == lost


async def test_a_slow_client_gets_it_all(
    served: Served, document: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "HOLD_SECONDS", 0.1)
    may_go_on = asyncio.Event()
    task = asyncio.create_task(ask(served, "big?order=id", may_go_on=may_go_on))
    await eventually(lambda: served.runtime.data._spools.used_bytes)
    await eventually(lambda: not served.runtime.data.in_use)
    assert not task.done()
    may_go_on.set()
    found = await task
    assert (found.body == document, found.is_whole) == (True, True)


@pytest.mark.parametrize("moment", ["sending", "waiting"])
async def test_a_client_that_takes_for_ever(
    served: Served, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    monkeypatch.setattr(stream, "GRACE_SECONDS", 0.3)
    monkeypatch.setattr(stream, "SLOWEST_BYTES_PER_SECOND", 1000 * MIB)
    seen: list[Any] = []
    served.runtime.observer.add_reader(seen.append)
    found = await ask(served, "big?order=id", delay=0.1 if moment == "waiting" else 30)
    assert len(found.body) < int(found.headers["content-length"])
    [broken] = [one for one in seen if isinstance(one, AnswerBroken)]
    assert (broken.code, "too slow" in broken.reason) == ("answer_broken_off", True)
    assert broken.response_bytes == len(found.body)
    await at_rest(served)


async def read_head(reader: asyncio.StreamReader) -> tuple[int, int]:
    """Return status and announced size."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    return int(head.split()[1]), int(head.split("content-length: ")[1].split()[0])


async def connect(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Ask for everything, with a small buffer to read into."""
    host, port = url.removeprefix("http://").split(":")
    endpoint = socket.socket()
    endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
    endpoint.setblocking(False)
    await asyncio.get_running_loop().sock_connect(endpoint, (host, int(port)))
    reader, writer = await asyncio.open_connection(sock=endpoint, limit=64 * 1024)
    key = SERVICE["Authorization"]
    request = f"GET /rest/v1/big?order=id HTTP/1.1\r\nHost: {host}\r\nAuthorization: {key}\r\n\r\n"
    writer.write(request.encode())
    return reader, writer


STATES: Final = f"select state, wait_event {ANSWERING}"


HELD: Final = [("active", "ClientWrite")]
FREE: Final = [("idle", "ClientRead")]


async def state_of(connection: asyncpg.Connection[Any]) -> list[tuple[str, str]]:
    """Return what the backend that answers does, and what it waits for."""
    return [tuple(row) for row in await connection.fetch(STATES)]


async def until_free(connection: asyncpg.Connection[Any]) -> None:
    """Wait until the backend that answered has nothing to do."""
    await eventually(lambda: state_of(connection), lambda found: found == FREE)


@asynccontextmanager
async def stalled(
    url: str, connection: asyncpg.Connection[Any], size: int
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Ask for everything and read the head alone; the backend waits for us when this has returned.

    It waits for a moment only, and a busy machine may look when that has passed: then once more.
    """
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            reader, writer = await connect(url)
            with closing(writer):
                assert await read_head(reader) == (200, size)
                if (
                    await eventually(lambda: state_of(connection), lambda found: found in (HELD, FREE))
                    == HELD
                ):
                    yield reader, writer
                    return


async def test_over_a_real_server(
    document: bytes, database: asyncpg.Connection[Any], connections: Connections, tmp_path: Path
) -> None:
    """A client that stalls holds the connection for a moment; one that leaves, and a backend that ends."""
    # the application of the other tests has connections to this database, too
    await database.execute(f"select count(pg_terminate_backend(pid, 5000)) {ANSWERING}")
    with serve(
        connections, tmp_path, rest_max_rows="", pool_size="1", log_level="warning", log_format="json"
    ) as url:
        async with stalled(url, database, len(document)) as (reader, _):
            await until_free(database)
            assert await reader.readexactly(len(document)) == document

        for _ in range(5):
            async with stalled(url, database, len(document)) as (_, writer):
                writer.transport.abort()
                since = monotonic_seconds()
                await until_free(database)
            if monotonic_seconds() - since < stream.HOLD_SECONDS * 2 / 3:
                break
        else:
            pytest.fail("it is held as long as if the client were there")

        ended = STATES.replace("state, wait_event", "count(pg_terminate_backend(pid))")
        while_held = f"{ended} and (state, wait_event) = ('{HELD[0][0]}', '{HELD[0][1]}')"
        has_ended, received = False, 0
        while not has_ended:  # it is held for a moment only
            async with stalled(url, database, len(document)) as (reader, _):
                if has_ended := await database.fetchval(while_held) == 1:
                    received = len(await reader.read(-1))
        assert received < len(document)

        reader, writer = await connect(url)
        with closing(writer):
            assert await read_head(reader) == (200, len(document))
            assert await reader.readexactly(len(document)) == document
    log = (tmp_path / "serve.log").read_text()
    assert "Traceback" not in log
    [line] = [json.loads(line) for line in log.splitlines() if "broken" in line]
    assert (line["event"], line["level"], line["route"]) == (
        "http.answer_broken",
        "warning",
        "/rest/v1/{relation}",
    )
    given = line["response_bytes"]
    assert received <= given < len(document)
    assert f"after {given} of {len(document)} bytes: " in line["reason"]
