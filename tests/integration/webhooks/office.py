"""The application, the part of a worker that delivers, and a receiver: what these tests work with."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import msgspec

from modules.webhooks.working import in_worker
from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.dispatch import duties_of
from monohull.kernel.events import Event
from monohull.kernel.outbound import Outbound, destinations
from monohull.kernel.outbox import publish
from monohull.kernel.relay import Relay
from tests.application import running_app
from tests.integration.rbac.staff import Staff
from tests.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import httpx

    from monohull.kernel.home import Connections
    from tests.application import Served
    from tests.integration.auth.people import Person
    from tests.integration.webhooks.receiver import Receiver

QUICK = {
    "retry_window_seconds": 3600,
    "timeout_seconds": 60,
    "breaker_failures": 10_000,
}
SETTINGS = {
    "outbound_allowed": "127.0.0.1,inside.test",
    "auth_rate_limit_otp": "1000000",
    "auth_rate_limit_email_sent": "1000000",
    "webhooks_log_body_bytes": "1000",
    # shorter than the API lets anybody choose
    "webhooks_retry_base_seconds": "0.05",
    "webhooks_retry_max_seconds": "0.1",
}


def event_called(name: str) -> Any:
    """Return an event class of this name; what happened is in ``data``."""
    return msgspec.defstruct(
        "Happened", [("data", Any)], bases=(Event,), namespace={"name": name}, frozen=True, kw_only=True
    )


class Office:
    """Makes endpoints and has things happen."""

    def __init__(self, served: Served, receiver: Receiver, names: dict[str, list[list[str]]]) -> None:
        self.served = served
        self.receiver = receiver
        self.names = names
        self.staff = Staff(served)

    async def call(
        self, method: str, path: str, body: Any = None, *, by: Person | dict[str, str] | None = None
    ) -> httpx.Response:
        return await self.staff.call(method, f"/webhooks{path}", body, by=by)

    async def ask(self, path: str) -> Any:
        answer = await self.call("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def endpoint(self, *, by: Person | None = None, **body: Any) -> Listener:
        """Make an endpoint of our receiver with a path and a kind of event of its own."""
        name = f"shop.{uuid4().hex[:8].translate(str.maketrans('0123456789', 'ghijklmnop'))}"
        path = f"/{name}"
        body = {"name": name, "url": self.receiver.url(path), "events": [f"{name}.*"]} | QUICK | body
        answer = await self.call("POST", "/endpoints", body, by=by)
        assert answer.status_code == 201, answer.text
        made = answer.json()
        return Listener(self, made["endpoint"]["id"], made["secret"], name, path)

    async def happen(self, name: str, *data: Any, key: str | None = None) -> list[str]:
        """Have something happen, each in a transaction of its own; return the ids of the events."""
        ids = []
        for one in data:
            async with self.served.runtime.database.unit_of_work() as work:
                ids.append(str(await publish(work, event_called(name)(data=one), key=key)))
        return ids

    async def relayed(self, event_id: str) -> None:
        """Wait until the event has its place in the feed: what changes from then on comes after it."""
        query = "select 1 from monohull.outbox where id = $1::text::uuid and relayed_at is not null"
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await self.rows(query, event_id):  # noqa: ASYNC110 nothing tells of it
                await asyncio.sleep(0.02)

    async def rows(self, query: str, *arguments: Any) -> Sequence[Any]:
        return await self.staff.people.rows(query, *arguments)

    async def execute(self, query: str, *arguments: Any) -> None:
        await self.staff.people.execute(query, *arguments)


class Listener:
    """One endpoint of the receiver."""

    def __init__(self, office: Office, endpoint_id: str, secret: str, name: str, path: str) -> None:
        self.office = office
        self.id = endpoint_id
        self.secret = secret
        self.name = name
        self.path = path

    async def happen(self, *data: Any, key: str | None = None) -> list[str]:
        return await self.office.happen(f"{self.name}.happened", *data, key=key)

    async def deliveries(self, **wanted: str) -> list[Any]:
        """Return them, the oldest first."""
        query = "&".join(f"{name}={value}" for name, value in wanted.items())
        found = await self.office.ask(f"/deliveries?endpoint_id={self.id}&limit=200&{query}")
        return list(reversed(found["deliveries"]))

    async def settled(self, number: int = 1) -> list[Any]:
        """Return its deliveries once so many are finished and none waits."""
        deadline = monotonic_seconds() + PATIENCE_SECONDS
        while True:
            found = await self.deliveries()
            if len(found) >= number and all(one["finished_at"] for one in found):
                return found
            assert monotonic_seconds() < deadline, found
            await asyncio.sleep(0.05)

    async def detail(self, delivery_id: str) -> Any:
        return await self.office.ask(f"/deliveries/{delivery_id}")

    async def view(self) -> Any:
        return await self.office.ask(f"/endpoints/{self.id}")

    async def change(self, **patch: Any) -> Any:
        answer = await self.office.call("PATCH", f"/endpoints/{self.id}", patch)
        assert answer.status_code == 200, answer.text
        return answer.json()


@asynccontextmanager
async def open_office(connections: Connections, receiver: Receiver) -> AsyncIterator[Office]:
    """Serve the application, relay its events and deliver them, all in this process."""
    names: dict[str, list[list[str]]] = {}

    async def resolve(host: str, port: int) -> Sequence[str]:
        del port
        answers = names.get(host)
        if not answers:
            raise OSError(f"no such host: {host}")
        return answers.pop(0) if len(answers) > 1 else answers[0]

    async with running_app(connections, **SETTINGS) as served:
        runtime = served.runtime
        allowed = destinations(runtime.settings.core.outbound_allowed)
        runtime.outbound = Outbound(allowed, resolver=_or_literal(resolve), observer=runtime.observer)
        duties = duties_of(runtime.modules, runtime.events)
        relay = Relay(runtime.database, runtime.queues, duties, runtime.observer, concurrency=10)
        async with runtime.outbound.running(), relay.running(), in_worker(runtime):
            yield Office(served, receiver, names)


def _or_literal(resolve: Any) -> Any:
    async def resolver(host: str, port: int) -> Sequence[str]:
        return [host] if host[:1].isdigit() or ":" in host else await resolve(host, port)

    return resolver
