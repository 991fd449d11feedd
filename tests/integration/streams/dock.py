"""The application, the part of a worker that carries events to sinks, and sinks to look into."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from modules.streams.working import in_worker
from monohull.kernel.dispatch import duties_of
from monohull.kernel.outbox import publish
from monohull.kernel.relay import Relay
from tests.application import running_app
from tests.integration.rbac.staff import Staff
from tests.integration.webhooks.office import event_called
from tests.patience import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    import httpx

    from monohull.kernel.home import Connections
    from tests.application import Served
    from tests.integration.auth.people import Person

SETTINGS = {
    "streams_retry_base_seconds": "0.05",
    "streams_retry_max_seconds": "0.1",
    "streams_timeout_seconds": "60",
    "public_url": "https://shop.example.com",
    "auth_rate_limit_otp": "1000000",
    "auth_rate_limit_email_sent": "1000000",
}


class Dock:
    """Makes sinks and has things happen."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.staff = Staff(served)

    async def call(
        self, method: str, path: str, body: Any = None, *, by: Person | dict[str, str] | None = None
    ) -> httpx.Response:
        return await self.staff.call(method, f"/streams{path}", body, by=by)

    async def sink(self, target: dict[str, Any], *, by: Person | None = None, **body: Any) -> Moored:
        """Make a sink with a kind of event of its own."""
        name = new_name()
        body = {"name": name, "target": target, "events": [f"{name}.*"]} | body
        answer = await self.call("POST", "/sinks", body, by=by)
        assert answer.status_code == 201, answer.text
        return Moored(self, answer.json()["id"], name)

    async def happen(self, name: str, *data: Any, key: str | None = None) -> list[str]:
        """Have something happen, each in a transaction of its own; return the ids of the events."""
        ids = []
        for one in data:
            async with self.served.runtime.database.unit_of_work() as work:
                ids.append(str(await publish(work, event_called(name)(data=one), key=key)))
        return ids

    async def rows(self, query: str, *arguments: Any) -> Sequence[Any]:
        return await self.staff.people.rows(query, *arguments)

    async def execute(self, query: str, *arguments: Any) -> None:
        await self.staff.people.execute(query, *arguments)


class Moored:
    """One sink."""

    def __init__(self, dock: Dock, sink_id: str, name: str) -> None:
        self.dock = dock
        self.id = sink_id
        self.name = name

    async def happen(self, *data: Any, key: str | None = None) -> list[str]:
        return await self.dock.happen(f"{self.name}.happened", *data, key=key)

    async def view(self) -> Any:
        answer = await self.dock.call("GET", f"/sinks/{self.id}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def change(self, **patch: Any) -> Any:
        answer = await self.dock.call("PATCH", f"/sinks/{self.id}", patch)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, verb: str, body: Any = None) -> Any:
        answer = await self.dock.call("POST", f"/sinks/{self.id}/{verb}", body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def until(self, holds: Callable[[Any], bool]) -> Any:
        """Return its view once something holds of it."""
        return await eventually(self.view, holds)

    async def delivered(self, number: int) -> Any:
        """Return its view once so many events were taken and none waits."""
        return await self.until(lambda one: one["delivered"] >= number and one["lag_events"] == 0)


def new_name() -> str:
    """Return the name of an area of events that nobody else has."""
    return f"shop{uuid4().hex[:8].translate(str.maketrans('0123456789', 'ghijklmnop'))}"


@asynccontextmanager
async def open_dock(connections: Connections, **settings: str) -> AsyncIterator[Dock]:
    """Serve the application, relay its events and carry them, all in this process."""
    async with running_app(connections, **SETTINGS | settings) as served:
        runtime = served.runtime
        duties = duties_of(runtime.modules, runtime.events)
        relay = Relay(runtime.database, runtime.queues, duties, runtime.observer, concurrency=10)
        async with relay.running(), in_worker(runtime):
            yield Dock(served)
