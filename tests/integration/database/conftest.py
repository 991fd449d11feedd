"""A cluster of its own for each major this machine has, because roles belong to a cluster."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import asyncpg
import pytest

from monohull.kernel.database.engine import Database
from monohull.kernel.embedded import EmbeddedPostgres, new_password
from tests.integration.database.cluster import Cluster
from tests.postgres_versions import MAJORS, find, why_not

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@pytest.fixture(scope="session", params=MAJORS, ids=lambda major: f"pg{major}")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A server of each major, with nothing in it but its superuser."""
    major: int = request.param
    if (bin_dir := find(major)) is None:
        pytest.skip(why_not(major))
    with tempfile.TemporaryDirectory(prefix=f"monohull-pg{major}-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)
        server = EmbeddedPostgres(Path(folder), password=new_password(), durable=False, bin_dir=bin_dir)
        server.start()
        yield Cluster(server.url, major)
        server.stop()


@pytest.fixture
async def pristine(cluster: Cluster) -> AsyncIterator[Cluster]:
    """The cluster without the platform's roles and without databases of other tests."""
    await cluster.wipe()
    yield cluster
    await cluster.wipe()


@pytest.fixture
async def database(services: object, platform_database: str) -> AsyncIterator[Database]:
    """The owner's connections to a database of this test with the platform schema."""
    del services
    database = Database(platform_database, pool_size=3, application_name="tests")
    async with database.running():
        yield database


@pytest.fixture
async def empty_url(
    services: object, worker_number: int, request: pytest.FixtureRequest
) -> AsyncIterator[str]:
    """Address (superuser) of an empty database on the session's server."""
    url: str = request.getfixturevalue("services").postgres_url
    del services
    name = f"empty_{worker_number}"
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"drop database if exists {name} with (force)")
        await connection.execute(f"create database {name}")
        yield urlsplit(url)._replace(path=f"/{name}").geturl()
        await connection.execute(f"drop database if exists {name} with (force)")
    finally:
        await connection.close()
