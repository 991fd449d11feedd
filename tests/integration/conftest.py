"""Databases with the platform schema: one a worker, and a copy a test where a test changes it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import asyncpg
import pytest
import pytest_asyncio
from argon2 import PasswordHasher

from modules.auth import passwords
from monohull.kernel.crypto import derive_password
from monohull.kernel.database.engine import Database
from monohull.kernel.database.migrations import Login, upgrade
from monohull.kernel.home import Connections, with_login
from monohull.kernel.redis_connection import close_redis, open_redis
from monohull.kernel.settings import Secret
from tests.application import JWT_SECRET, Served, on_database, running_app
from tests.patience import PATIENT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.services import Services

TEMPLATE = "monohull_template"
MADE = pytest.StashKey[set[str]]()


async def _execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def template_database(services: Services, worker_number: int, pytestconfig: pytest.Config) -> str:
    """Name of a database of this worker with the platform schema, to copy and not to change."""
    name = f"{TEMPLATE}_{worker_number}"
    if name in pytestconfig.stash.setdefault(MADE, set()):  # for another folder that has this fixture
        return name
    await _execute(services.postgres_url, f"drop database if exists {name}", f"create database {name}")
    database = Database(on_database(services.postgres_url, name), application_name="tests")
    try:
        await upgrade(database, login=Login(derive_password(JWT_SECRET, "authenticator"), is_reset=True))
    finally:
        await database.close()
    pytestconfig.stash[MADE].add(name)
    return name


@pytest.fixture(scope="module", autouse=True)
def quick_passwords() -> Iterator[None]:
    """Let a hash of a password cost nothing; files that look at the hashes have their own of this name."""
    hasher = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_HASHER", hasher)
        patch.setattr(passwords, "_NOBODY", hasher.hash("nobody's"))
        yield


@pytest.fixture
async def platform_database(
    services: Services, template_database: str, worker_number: int
) -> AsyncIterator[str]:
    """Address (superuser) of a database with the platform schema that belongs to one test."""
    name = f"platform_{worker_number}"
    await _execute(
        services.postgres_url,
        f"drop database if exists {name} with (force)",
        f"create database {name} template {template_database} strategy file_copy",
    )
    yield on_database(services.postgres_url, name)
    await _execute(services.postgres_url, f"drop database if exists {name} with (force)")


@pytest.fixture
async def redis_url(services: Services, worker_number: int) -> str:
    """Address of an empty Redis database of this worker."""
    url = urlsplit(services.redis_url)._replace(path=f"/{worker_number}").geturl()
    client = open_redis(url, timeouts=PATIENT)
    await client.flushdb()
    await close_redis(client)
    return url


@pytest.fixture
def connections(platform_database: str, redis_url: str) -> Connections:
    """What an application of the test connects to."""
    data_url = with_login(platform_database, "authenticator", derive_password(JWT_SECRET, "authenticator"))
    return Connections(Secret(platform_database), Secret(data_url), Secret(redis_url))


@pytest.fixture
async def served(connections: Connections) -> AsyncIterator[Served]:
    """The application with the settings of the environment ``test``."""
    async with running_app(connections) as served:
        yield served
