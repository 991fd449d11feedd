"""How many deliveries a second one worker makes to a receiver on this machine, beside a hand-written loop.

    make load OF=webhooks
    python -m tests.load.webhooks [--deliveries 3000] [--rounds 3]

Starts a PostgreSQL and a Redis of its own and a receiver that answers at once, in a process of its own. The
loop posts the same signed bodies as often, as many at a time, and writes nothing down. Rounds take turns, and
the median counts.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

import httpx
import msgspec

from modules.webhooks.assembly import build_endpoints, build_vault
from modules.webhooks.dispatcher import Dispatcher
from modules.webhooks.dtos import CreateEndpoint
from modules.webhooks.fanout import fan_out
from modules.webhooks.sending import Sender
from modules.webhooks.settings import WebhooksSettings
from modules.webhooks.signing import new_secret, read_secret, sign
from monohull.kernel import clock
from monohull.kernel.clock import monotonic_seconds, now
from monohull.kernel.configuration import load
from monohull.kernel.crypto import derive_password
from monohull.kernel.database.migrations import Login, upgrade
from monohull.kernel.events import Envelope
from monohull.kernel.home import Connections
from monohull.kernel.ids import uuid7
from monohull.kernel.logs import configure_logging
from monohull.kernel.principal import SYSTEM
from monohull.kernel.runtime import Runtime
from monohull.kernel.settings import Secret
from tests.application import JWT_SECRET
from tests.integration.webhooks.receiver import Receiver
from tests.services import start_services

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from multiprocessing.connection import Connection

    from tests.services import Services

AT_A_TIME: Final = 50
BATCH: Final = 500
WARM: Final = 200
PAYLOAD: Final = b'{"order_id":"6f1c","total":12.5,"lines":[{"sku":"a-1","count":2},{"sku":"b-7","count":1}]}'
_LEFT: Final = "select count(*) from monohull.webhook_deliveries where state <> 'delivered'"


def receive(pipe: Connection) -> None:
    """Answer for ever, in a process of its own."""

    async def serve() -> None:
        async with Receiver().listening() as receiver:
            pipe.send(receiver.port)
            await asyncio.Event().wait()

    asyncio.run(serve())


async def by_hand(port: int, count: int) -> float:
    """Post in a loop; return deliveries a second."""
    key, left = read_secret(new_secret()), iter(range(count))
    limits = httpx.Limits(max_connections=AT_A_TIME, max_keepalive_connections=AT_A_TIME)

    async def post(client: httpx.AsyncClient) -> None:
        for _ in left:
            headers = sign(str(uuid7()), clock.unix_seconds(), PAYLOAD, [key])
            answer = await client.post(f"http://127.0.0.1:{port}/loop", content=PAYLOAD, headers=headers)
            assert answer.status_code == 200

    async with httpx.AsyncClient(limits=limits, trust_env=False) as client:
        began = monotonic_seconds()
        await asyncio.gather(*(post(client) for _ in range(AT_A_TIME)))
        return count / (monotonic_seconds() - began)


def envelopes(first: int, count: int) -> list[Envelope]:
    """Return events as the feed would give them."""
    return [
        Envelope(
            id=uuid7(), position=n, transaction=n, sequence=n, name="shop.order_paid", version=1,
            occurred_at=now(), payload=msgspec.Raw(PAYLOAD),
        )
        for n in range(first, first + count)
    ]  # fmt: skip


@asynccontextmanager
async def opened(services: Services, port: int) -> AsyncIterator[Runtime]:
    """Run a worker's runtime over a new schema with one endpoint."""
    where = Connections(*(Secret(services.postgres_url),) * 2, Secret(services.redis_url))
    environ = {"MONOHULL_ENV": "test", "MONOHULL_JWT_SECRET": JWT_SECRET, "MONOHULL_LOG_LEVEL": "error"}
    environ["MONOHULL_OUTBOUND_ALLOWED"] = "127.0.0.1"
    loaded = load(environ, project=Path("/"))
    configure_logging(loaded.settings.core, process="worker")
    runtime = Runtime(loaded.settings, loaded.modules, where, process="worker")
    async with runtime.running():
        password = derive_password(JWT_SECRET, "authenticator")
        await upgrade(runtime.database, login=Login(password, is_reset=True))
        wanted = CreateEndpoint(
            name="shop", url=f"http://127.0.0.1:{port}/hook", events=("shop.*",), concurrency=AT_A_TIME
        )
        await build_endpoints(runtime).create(wanted, SYSTEM)
        yield runtime


def dispatcher_of(runtime: Runtime) -> Dispatcher:
    """Return what sends in a worker."""
    own = runtime.settings.of(WebhooksSettings)
    sender = Sender(runtime.outbound, build_vault(runtime), own)
    return Dispatcher(runtime.database, sender, own, runtime.observer, build_endpoints(runtime).disable)


async def delivered(runtime: Runtime, first: int, count: int) -> tuple[float, float]:
    """Return how many deliveries a second are made of events, and then sent."""
    events = envelopes(first, count)
    async with runtime.database.connection() as connection:
        began = monotonic_seconds()
        for start in range(0, count, BATCH):
            async with connection.transaction():
                await fan_out(connection, events[start : start + BATCH])
        made = count / (monotonic_seconds() - began)
        began = monotonic_seconds()
        async with dispatcher_of(runtime).running():
            while await connection.fetchval(_LEFT):  # noqa: ASYNC110 the database says it
                await asyncio.sleep(0.02)
            return made, count / (monotonic_seconds() - began)


async def measure(services: Services, count: int, rounds: int) -> None:
    """Take turns and print medians."""
    here, there = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=receive, args=(there,), daemon=True)
    process.start()
    loops, made, sent = [], [], []
    try:
        port = await asyncio.to_thread(here.recv)
        async with opened(services, port) as runtime:
            await delivered(runtime, 1, WARM)
            for turn in range(rounds):
                loops.append(await by_hand(port, count))
                figures = await delivered(runtime, WARM + 1 + turn * count, count)
                made.append(figures[0])
                sent.append(figures[1])
    finally:
        process.kill()
    print(f"hand-written loop       {median(loops):8.0f} requests/s")
    print(f"deliveries from events  {median(made):8.0f} /s")
    print(f"deliveries sent         {median(sent):8.0f} /s, {median(sent) / median(loops):.2f} of the loop")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--deliveries", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="monohull-load-", ignore_cleanup_errors=True) as folder:
        services = start_services(Path(folder))
        try:
            asyncio.run(measure(services, arguments.deliveries, arguments.rounds))
        finally:
            services.stop()


if __name__ == "__main__":
    main()
