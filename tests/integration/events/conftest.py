"""A database a file, whose outbox is empty at the beginning of each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
import pytest_asyncio

from monohull.kernel.crypto import derive_password
from monohull.kernel.home import Connections, with_login
from monohull.kernel.module import Module
from monohull.kernel.settings import Secret
from tests.application import JWT_SECRET, on_database
from tests.workbench import Workbench

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.services import Services

EMPTY = """
    truncate monohull.outbox, monohull.row_changes, monohull.jobs, monohull.job_attempts,
        monohull.dead_letters, monohull.async_calls, monohull.feed_readers restart identity;
    update monohull.feed_end set sequence = 0;
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_bench(
    services: Services, template_database: str, worker_number: int
) -> AsyncIterator[Workbench]:
    """A process with a module that declares nothing, on a database of this file's own, and Redis."""
    name = f"events_{worker_number}"
    admin = await asyncpg.connect(services.postgres_url)
    try:
        await admin.execute(f"drop database if exists {name} with (force)")
        await admin.execute(f"create database {name} template {template_database}")
        url = on_database(services.postgres_url, name)
        data_url = with_login(url, "authenticator", derive_password(JWT_SECRET, "authenticator"))
        redis_url = f"{services.redis_url.rsplit('/', 1)[0]}/{worker_number}"
        bench = Workbench(Module(name="test"), Connections(Secret(url), Secret(data_url), Secret(redis_url)))
        async with bench.runtime.running():
            yield bench
        await admin.execute(f"drop database if exists {name} with (force)")
    finally:
        await admin.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_connection(shared_bench: Workbench) -> AsyncIterator[asyncpg.Connection]:
    """One connection of the owner for all tests of a file."""
    async with shared_bench.runtime.database.connection() as connection:
        yield connection


@pytest_asyncio.fixture(loop_scope="module")
async def empty(shared_connection: asyncpg.Connection) -> asyncpg.Connection:
    """That connection, on an outbox without events."""
    await shared_connection.execute(EMPTY)
    return shared_connection
