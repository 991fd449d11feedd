"""`Bench`: asks the application and the reference the same thing, in a test that is no coroutine."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote

import asyncpg

from modules.auth.tokens import TokenCodec
from modules.query.live import live_catalog
from tests.application import JWT_SECRET, Served, running_app, service_key
from tests.patience import PATIENCE_SECONDS
from tests.property.reduction import reduce
from tests.property.reference import Answer, Rows, answer, is_same, visible
from tests.property.schema import World, write_world
from tests.property.writing import write_url

if TYPE_CHECKING:
    from monohull.kernel.home import Connections
    from tests.property.requests import Asked


class Bench:
    """The running application, and the same rows read by plain SQL.

    Hypothesis calls plain functions, so the loop runs only while something is asked.
    """

    def __init__(self, connections: Connections, **settings: str) -> None:
        self._connections = connections
        self._settings = settings
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)  # leaves pytest-asyncio its own
        self._stack = AsyncExitStack()
        self._served: Served | None = None
        self._database: asyncpg.Connection | None = None
        self._world: World | None = None
        self._rows: dict[str, Rows] = {}
        self.asked = 0

    def __enter__(self) -> Self:
        self._runner.run(self._open())
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._stack.aclose())
        self._runner.close()

    async def _open(self) -> None:
        self._served = await self._stack.enter_async_context(running_app(self._connections, **self._settings))
        self._database = await asyncpg.connect(self._connections.owner_url)
        self._stack.push_async_callback(self._database.close)

    def build(self, world: World) -> None:
        """Put ``world`` in the place of the one before."""
        if world is not self._world:
            self._runner.run(self._build(world))
            self._world, self._rows = world, {}

    async def _build(self, world: World) -> None:
        assert self._database is not None
        assert self._served is not None
        await self._database.execute(write_world(world))
        live = live_catalog(self._served.runtime)
        before = live.current()
        live.request_reload()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (  # noqa: ASYNC110  the catalog tells nobody
                live.current() is before
                or ("public", next(iter(world.tables))) not in live.current().relations
            ):
                await asyncio.sleep(0.002)

    def check(self, asked: Asked) -> None:
        """Compare the application's answer with the reference's."""
        self.asked += 1
        if self._disagrees(asked):
            smallest = reduce(asked, lambda one: self._disagrees(one) is not None)
            raise AssertionError(self._disagrees(smallest))

    def _disagrees(self, asked: Asked) -> str | None:
        if asked.caller not in self._rows:
            self._rows[asked.caller] = self._runner.run(self._visible(asked.caller))
        expected = answer(asked, self._rows[asked.caller])
        status, headers, body = self._runner.run(self._ask(asked))
        if is_right(asked, expected, status, headers, body):
            return None
        lines = [
            f"{asked.method} {unquote(write_url(asked))}",
            f"as {asked.caller} with {asked.headers}",
            f"is {status} {headers.get('content-range')} {body}",
            f"not {expected}",
        ]
        return "\n".join(lines)

    async def _visible(self, caller: str) -> Rows:
        assert self._database is not None
        assert self._world is not None
        async with self._database.transaction():
            claims = {"role": role_of(caller), "sub": caller if role_of(caller) == "authenticated" else None}
            await self._database.execute(f"set local role {role_of(caller)}")
            await self._database.execute(
                "select set_config('request.jwt.claims', $1, true)", json.dumps(claims)
            )
            return {
                table.name: [
                    json.loads(row[0], parse_float=Decimal)
                    for row in await self._database.fetch(visible(table))
                ]
                for table in self._world.tables.values()
            }

    async def _ask(self, asked: Asked) -> tuple[int, Any, Any]:
        assert self._served is not None
        headers = {**asked.headers, **authorization(asked.caller)}
        response = await self._served.client.request(asked.method, write_url(asked), headers=headers)
        again = await self._served.client.request(asked.method, write_url(asked), headers=headers)
        assert (again.status_code, again.content) == (response.status_code, response.content), write_url(
            asked
        )
        body = json.loads(response.content, parse_float=Decimal) if response.content else None
        return response.status_code, response.headers, body


def is_right(asked: Asked, expected: Answer, status: int, headers: Any, body: Any) -> bool:
    total = "*" if expected.total is None else str(expected.total)
    if expected.body is None:
        return status == 416 and headers["content-range"] == f"*/{total}"
    count = len(expected.body)
    shown = f"{expected.offset}-{expected.offset + count - 1}" if count else "*"
    is_part = expected.total is not None and count < expected.total
    if (status, headers.get("content-range")) != (206 if is_part else 200, f"{shown}/{total}"):
        return False
    return body is None if asked.method == "HEAD" else is_same(expected.body, body)


def role_of(caller: str) -> str:
    return caller if caller in ("anon", "service_role") else "authenticated"


def authorization(caller: str) -> dict[str, str]:
    if caller == "anon":
        return {}
    if caller == "service_role":
        return {"Authorization": f"Bearer {service_key()}"}
    claims = {"sub": caller, "role": "authenticated", "exp": 4_000_000_000, "aud": "authenticated"}
    return {"Authorization": f"Bearer {TokenCodec(secret=JWT_SECRET).sign(claims)}"}
