"""The application and the part of a worker that takes messages: what these tests work with."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import msgspec

from modules.ingest.working import in_worker
from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.feed_reader import lock_of
from tests.application import running_app
from tests.integration.ingest.senders import ID
from tests.integration.rbac.staff import Staff

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    import httpx

    from monohull.kernel.home import Connections
    from tests.application import Served
    from tests.integration.auth.people import Person
    from tests.integration.ingest.senders import Sender

PATIENCE_SECONDS = 240
SETTINGS = {
    "modules": "tests.integration.ingest.shop",
    "ingest_backoff_max_seconds": "0.5",
    "auth_rate_limit_email_sent": "1000000",
}
QUICK = {"retry_base_seconds": 0.05, "retry_max_seconds": 0.1, "max_attempts": 3, "id_field": ID}
COLUMNS = {"id": "id", "total": "order.total", "document": "$"}


def order(number: int) -> str:
    return f'{{"id": {number}, "order": {{"total": {number}.10}}}}'


class Desk:
    """Makes tables and sources, and looks at them."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.staff = Staff(served)

    async def call(
        self, method: str, path: str, body: Any = None, *, by: Person | None = None
    ) -> httpx.Response:
        return await self.staff.call(method, f"/ingest{path}", body, by=by)

    async def rows(self, query: str, *arguments: Any) -> Sequence[Any]:
        return await self.staff.people.rows(query, *arguments)

    async def execute(self, query: str, *arguments: Any) -> None:
        await self.staff.people.execute(query, *arguments)

    async def table(self, *, is_granted: bool = True) -> str:
        """Make a table that ``authenticated`` may insert into and nothing else."""
        name = f"orders_{uuid4().hex[:8]}"
        await self.execute(
            f"create table public.{name} (id bigint, total numeric, document jsonb, "
            "state text not null default 'new', inserted_by text default current_user)"
        )
        await self.execute(f"revoke all on public.{name} from anon, authenticated, service_role")
        if is_granted:
            await self.execute(f"grant insert on public.{name} to authenticated")
        return name

    async def source(self, sender: Sender, table: str, **body: Any) -> Tap:
        to = {"table": {"table": table, "role": "authenticated", "columns": COLUMNS}}
        return await self.tap({"origin": sender.origin, "destination": to} | body)

    async def tap(self, body: dict[str, Any]) -> Tap:
        answer = await self.call("POST", "/sources", {"name": "orders"} | QUICK | body)
        assert answer.status_code == 201, answer.text
        return Tap(self, answer.json()["id"])


class Tap:
    """One source."""

    def __init__(self, desk: Desk, source_id: str) -> None:
        self.desk = desk
        self.id = source_id

    async def view(self) -> Any:
        answer = await self.desk.call("GET", f"/sources/{self.id}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def until(self, holds: Callable[[Any], object]) -> Any:
        """Return what the source shows once that holds."""
        return await _until(self.view, holds)

    async def letters(self, **wanted: str) -> list[Any]:
        query = "&".join(f"{name}={value}" for name, value in wanted.items())
        answer = await self.desk.call("GET", f"/letters?source_id={self.id}&{query}")
        assert answer.status_code == 200, answer.text
        return list(answer.json()["letters"])

    async def letter(self, state: str) -> Any:
        """Return the only letter once it has this state."""

        async def look() -> list[Any]:
            return await self.letters()

        (found,) = await _until(look, lambda found: [one["state"] for one in found] == [state])
        return found

    async def letters_of(self, number: int) -> list[Any]:
        """Return the letters once there are so many: messages take effect one after the other."""

        async def look() -> list[Any]:
            return await self.letters()

        return list(await _until(look, lambda found: len(found) >= number))

    async def rows_of(self, table: str, number: int) -> Sequence[Any]:
        """Return the rows of a table once there are so many."""

        async def look() -> Sequence[Any]:
            return await self.desk.rows(f"select * from public.{table} order by id")

        return list(await _until(look, lambda found: len(found) >= number))

    async def let_go(self) -> None:
        """Wait until nobody takes its messages."""
        lock = lock_of(f"ingest.{self.id}")

        async def look() -> bool:
            return bool(
                (await self.desk.rows("select pg_try_advisory_xact_lock($1) as free", lock))[0]["free"]
            )

        await _until(look, bool)

    async def change(self, **patch: Any) -> Any:
        answer = await self.desk.call("PATCH", f"/sources/{self.id}", patch)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def delete(self) -> None:
        answer = await self.desk.call("DELETE", f"/sources/{self.id}")
        assert answer.status_code == 204, answer.text


async def _until(look: Callable[[], Any], holds: Callable[[Any], object]) -> Any:
    deadline = monotonic_seconds() + PATIENCE_SECONDS
    while not holds(found := await look()):
        assert monotonic_seconds() < deadline, found
        await asyncio.sleep(0.05)
    return found


@asynccontextmanager
async def open_desk(connections: Connections) -> AsyncIterator[Desk]:
    """Serve the application and take messages, all in this process."""
    async with running_app(connections, **SETTINGS) as served, in_worker(served.runtime):
        yield Desk(served)


def decoded(value: Any) -> Any:
    """Return what a jsonb value says."""
    return msgspec.json.decode(value) if isinstance(value, str) else value
