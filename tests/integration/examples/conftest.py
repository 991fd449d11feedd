"""Databases filled with the examples once a worker; tests only read them, or roll back."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
import pytest_asyncio

from modules.auth.seed import seed_users
from monohull.kernel.database.apply import apply
from monohull.kernel.database.engine import Database
from monohull.kernel.database.seeding import seed_project
from monohull.kernel.settings import read_project
from tests.application import on_database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.services import Services

EXAMPLES = Path(__file__).parents[3] / "examples"


async def fill(url: str, example: str) -> None:
    """Do what `monohull migrate` does for a project, the platform's own migrations aside."""
    project = EXAMPLES / example
    document = read_project(project)
    database = Database(url, application_name="tests")
    try:
        await apply(database, project, example)
        await seed_project(database, project, example, document=document, modules=[("auth", seed_users)])
    finally:
        await database.close()


@asynccontextmanager
async def filled(services: Services, template: str, example: str) -> AsyncIterator[str]:
    """Lend the address of a database with ``example`` in it."""
    name = f"{example}_{template}"
    server = await asyncpg.connect(services.postgres_url)
    try:
        await server.execute(f"drop database if exists {name} with (force)")
        await server.execute(f"create database {name} template {template} strategy file_copy")
        url = on_database(services.postgres_url, name)
        await fill(url, example)
        yield url
        await server.execute(f"drop database {name} with (force)")
    finally:
        await server.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def storefront_url(services: Services, template_database: str) -> AsyncIterator[str]:
    async with filled(services, template_database, "storefront") as url:
        yield url


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def flights_url(services: Services, template_database: str) -> AsyncIterator[str]:
    async with filled(services, template_database, "flights") as url:
        yield url


@pytest.fixture
async def shop(storefront_url: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(storefront_url)
    yield connection
    await connection.close()
