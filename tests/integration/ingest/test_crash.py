"""``kill -9`` of workers in the middle: another takes over, and each message has its effect exactly once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import psutil
import pytest
import pytest_asyncio

from monohull.kernel.feed_reader import lock_of
from tests.application import running_app
from tests.crash_jobs.conftest import Fleet
from tests.integration.ingest.desk import PATIENCE_SECONDS, Desk, order
from tests.integration.ingest.senders import KafkaSender, NatsSender, RabbitMqSender

if TYPE_CHECKING:
    import subprocess
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from monohull.kernel.home import Connections
    from tests.brokers import Kafka, Nats, RabbitMq
    from tests.integration.ingest.desk import Tap
    from tests.integration.ingest.senders import RedisSender, Sender

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.broker,
    pytest.mark.crash,
    pytest.mark.slow,
    pytest.mark.timeout(900),
]

MESSAGES = 300
KILLS = 2


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def alone(shared_connections: Connections) -> AsyncIterator[Desk]:
    """The application, with nobody in this process who takes messages."""
    async with running_app(shared_connections) as served:
        yield Desk(served)


@pytest.fixture
def senders(rabbitmq: RabbitMq, nats: Nats, kafka: Kafka, redis_sender: RedisSender) -> list[Sender]:
    return [redis_sender, NatsSender(nats, ack_seconds=5), KafkaSender(kafka), RabbitMqSender(rabbitmq)]


async def slow_table(desk: Desk) -> str:
    """Make a table that takes its time, so that workers die in transactions and between them."""
    table = await desk.table()
    await desk.execute(f"""
        create function {table}_slow() returns trigger language plpgsql as $$
        begin perform pg_sleep(0.01); return new; end $$
    """)
    await desk.execute(
        f"create trigger slow before insert on {table} for each row execute function {table}_slow()"
    )
    return table


async def leader(desk: Desk, tap: Tap, workers: Sequence[subprocess.Popen[bytes]]) -> int:
    """Return which worker takes the messages of a source: the one whose connection has its lock."""
    key = lock_of(f"ingest.{tap.id}")
    rows = await desk.rows(
        "select a.client_port from pg_locks as l join pg_stat_activity as a on a.pid = l.pid "
        "where l.locktype = 'advisory' and l.granted and l.objsubid = 1 and a.datname = current_database() "
        "and (l.classid::bigint << 32) + l.objid::bigint = $1",
        key,
    )
    for place, worker in enumerate(workers):
        ports = {one.laddr.port for one in psutil.Process(worker.pid).net_connections("tcp")}
        if rows and rows[0]["client_port"] in ports:
            return place
    return 0


async def settled(sender: Sender) -> None:
    """Wait until everything is acknowledged."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await sender.left():  # noqa: ASYNC110 another process is waited for
            await asyncio.sleep(0.2)


async def test_each_effect_is_there_once(
    alone: Desk, senders: list[Sender], shared_connections: Connections, tmp_path: Path
) -> None:
    tables, taps = [await slow_table(alone) for _ in senders], []
    for sender, table in zip(senders, tables, strict=True):
        await sender.send(*[(str(number), order(number)) for number in range(MESSAGES)])
        taps.append(await alone.source(sender, table, batch_size=20))
    fleet = Fleet(shared_connections, tmp_path)
    try:
        workers = [fleet.start(), fleet.start()]
        for killed in range(KILLS):
            await taps[0].rows_of(tables[0], MESSAGES * (killed + 1) // (KILLS + 2))
            fleet.kill(workers.pop(await leader(alone, taps[0], workers)))
            workers.append(fleet.start())
        for tap, table, sender in zip(taps, tables, senders, strict=True):
            await tap.rows_of(table, MESSAGES)
            await settled(sender)
    finally:
        fleet.end()
    for tap, table, sender in zip(taps, tables, senders, strict=True):
        (counted,) = await alone.rows(f"select count(*) as rows, count(distinct id) as ids from {table}")
        assert (counted["rows"], counted["ids"]) == (MESSAGES, MESSAGES), sender
        assert await tap.letters() == []
        await tap.delete()
