"""Clients that leave while the database works for them, over real connections to a real server."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from monohull.kernel.departures import Departures
from tests.application import service_key
from tests.integration.backends import until_asleep
from tests.integration.cli.serving import serve
from tests.patience import eventually

if TYPE_CHECKING:
    from pathlib import Path

    import asyncpg

    from monohull.kernel.home import Connections

pytestmark = pytest.mark.asyncio(loop_scope="module")

SLOW: Final = """
create table scraps (id int primary key, body text);
create view slow_scraps with (security_invoker) as select id, body, pg_sleep(600)::text as slept from scraps;
insert into scraps values (1, 'one');
create function slow_insert(id int) returns void language plpgsql as $$ begin
  insert into scraps values (slow_insert.id, 'late');
  perform pg_sleep(600);
end $$;
"""
INSERTED: Final = b"id,body\n" + b"".join(b"%d,note\n" % number for number in range(100, 200))


async def send(url: str, method: str, path: str, body: bytes = b"", *, announced: int | None = None) -> Any:
    """Send a request and return the connection."""
    host, port = url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    size = len(body) if announced is None else announced
    kind = "text/csv" if body.startswith(b"id,") else "application/json"
    writer.write(
        f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {service_key()}\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {size}\r\n\r\n".encode()
        + body
    )
    await writer.drain()
    return reader, writer


def finished(log: str, route: str) -> list[int]:
    """Return the statuses of the requests to a route."""
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    return [line["status"] for line in lines if line.get("route") == route and "status" in line]


async def test_what_they_asked_for_is_cancelled(
    database: asyncpg.Connection[Any], connections: Connections, tmp_path: Path
) -> None:
    await database.execute(SLOW)
    with serve(connections, tmp_path, pool_size="2", log_level="info") as url:
        for method, path, body in (
            ("GET", "/rest/v1/slow_scraps", b""),
            ("GET", "/rest/v1/slow_scraps", b""),
            ("POST", "/rest/v1/rpc/slow_insert", b'{"id": 2}'),
        ):
            _, writer = await send(url, method, path, body)
            await until_asleep(database)
            writer.transport.abort()
            await until_asleep(database, 0)
        assert await database.fetchval("select count(*) from scraps") == 1
        reader, writer = await send(url, "GET", "/rest/v1/scraps?select=id")
        assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
        writer.close()
    statuses = finished((tmp_path / "serve.log").read_text(), "/rest/v1/{relation}")
    assert statuses == [499, 499, 499, 200]
    assert "request.failed" not in (tmp_path / "serve.log").read_text()


async def test_half_a_body_changes_nothing(
    database: asyncpg.Connection[Any], connections: Connections, tmp_path: Path
) -> None:
    await database.execute(SLOW)
    with serve(connections, tmp_path, log_level="info") as url:
        _, writer = await send(url, "POST", "/rest/v1/scraps", INSERTED, announced=len(INSERTED) + 100)
        await asyncio.sleep(0.3)
        writer.close()
        log = tmp_path / "serve.log"
        await eventually(lambda: finished(log.read_text(), "/rest/v1/{relation}") == [499])
        reader, writer = await send(url, "POST", "/rest/v1/scraps", b"id,body\n7,whole\n")
        assert b"201 Created" in await reader.readuntil(b"\r\n\r\n")
        writer.close()
    assert await database.fetch("select id from scraps order by id") == [(1,), (7,)]
    assert finished((tmp_path / "serve.log").read_text(), "/rest/v1/{relation}") == [499, 201]


async def test_those_who_stay_are_not_listened_to_for_long() -> None:
    departures = Departures()
    asked: list[str] = []

    async def receive() -> dict[str, Any]:
        asked.append("receive")
        await asyncio.Event().wait()
        return {}

    with departures.watch(receive):
        await asyncio.sleep(0)
    assert (asked, departures.staying) == ([], {})
    with departures.watch(receive) as stay:
        await eventually(lambda: asked == ["receive"])
    await eventually(lambda: departures.timer is None)
    assert stay._listener is not None
    assert stay._listener.cancelled()


async def test_a_request_that_is_cancelled_by_others_says_so() -> None:
    departures = Departures()

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def wait() -> None:
        with departures.watch(receive):
            await asyncio.sleep(30)

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
