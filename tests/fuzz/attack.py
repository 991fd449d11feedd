"""Send hostile requests to the application and watch that it bears them."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_to_bytes

import asyncpg
from msgspec import Struct

from tests.application import Served, running_app
from tests.fuzz.hostile import Hostile, draw
from tests.patience import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from monohull.kernel.home import Connections

SECONDS_EACH: Final = 60.0
AT_ONCE: Final = 8
CONTROLS: Final = re.compile(rb"[\r\n\x00]")
LIMIT: Final = re.compile(rb"error=54...$")
"""PostgreSQL's own limits, program_limit_exceeded: as with PostgREST these are answered with 500."""
OPEN: Final = """
select state, left(query, 200) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
  and state <> 'idle' and application_name <> 'tests'
"""


class Result(Struct, frozen=True):
    status: int | None
    body: bytes
    refusal: bytes
    """The header Proxy-Status, which names the code where there is no body, too."""


@asynccontextmanager
async def besieged(
    connections: Connections, *scripts: Path
) -> AsyncIterator[tuple[Served, asyncpg.Connection]]:
    """Serve a database that ``scripts`` fill."""
    database = await asyncpg.connect(connections.owner_url)
    try:
        for script in scripts:
            await database.execute(script.read_text(encoding="utf-8"))
        async with running_app(connections) as served:
            yield served, database
    finally:
        await database.close()


async def attack(served: Served, first: int, count: int) -> list[str]:
    """Send the requests of ``count`` numbers, some at a time; return what went wrong."""
    complaints: list[str] = []
    numbers = iter(range(first, first + count))

    async def one_after_another() -> None:
        for number in numbers:
            request = draw(Random(number))
            if (complaint := await look(served, request)) is not None:
                complaints.append(f"{number}: {complaint}")

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(one_after_another())
    return complaints


async def look(served: Served, request: Hostile) -> str | None:
    """Send one request and say what is wrong with the answer."""
    shown = f"{request.method} {request.path[:200]!r}?{request.query[:300]!r}"
    shown += f" {request.headers!r:.600} {request.chunks!r:.300}"
    try:
        async with asyncio.timeout(SECONDS_EACH):
            result = await send(served, request)
    except TimeoutError:
        return f"no answer in {SECONDS_EACH} s: {shown}"
    except Exception as error:  # noqa: BLE001  whatever it is, it should not have come here
        return f"{error!r}: {shown}"
    if result.status is None:
        return None if None in request.chunks else f"no answer: {shown}"
    if result.status >= 500 and not LIMIT.search(result.refusal):
        return f"{result.status} {result.body[:300]!r}: {shown}"
    return None


async def send(served: Served, request: Hostile) -> Result:
    """Hand the request to the application as a server would."""
    left = list(request.chunks)
    status: int | None = None
    body = refusal = b""

    async def receive() -> dict[str, Any]:
        if not left:
            await asyncio.sleep(SECONDS_EACH)
            return {"type": "http.disconnect"}
        chunk = left.pop(0)
        if chunk is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": chunk, "more_body": bool(left)}

    async def answer(message: Any) -> None:
        nonlocal status, body, refusal
        if message["type"] == "http.response.start":
            status = message["status"]
            for name, value in message["headers"]:
                assert not CONTROLS.search(value), (name, value)
                refusal = value if name == b"proxy-status" else refusal
        else:
            body += message.get("body", b"")

    await served.app(
        {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": "http",
            "path": unquote_to_bytes(request.path).decode("utf-8", "replace"),
            "raw_path": request.path,
            "query_string": request.query,
            "root_path": "",
            "headers": list(request.headers),
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "state": {},
        },
        receive,
        answer,
    )
    return Result(status, body, refusal)


async def assert_nothing_is_left(served: Served, database: asyncpg.Connection) -> None:
    """Look at the pool and at the server: no connection in use, no transaction open."""

    async def look() -> tuple[int, list[asyncpg.Record]]:
        return served.runtime.data.in_use, await database.fetch(OPEN)

    await eventually(look, lambda found: found == (0, []))
