"""The whole product on a database whose owner is no superuser and may not pass row security."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
import pytest

from monohull.kernel.crypto import derive_password
from monohull.kernel.database.engine import Database
from monohull.kernel.database.migrations import Login, upgrade
from monohull.kernel.diagnosis import examine
from monohull.kernel.home import Connections, with_login
from monohull.kernel.settings import Secret
from tests.application import JWT_SECRET, anon_key, on_database, running_app, service_key
from tests.integration.data.conftest import ROLES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.services import Services

OWNER_PASSWORD = "owners-own-password"


@pytest.fixture
async def owners(services: Services, redis_url: str, worker_number: int) -> AsyncIterator[Connections]:
    """A database that belongs to a plain CREATEROLE login, with the platform schema."""
    owner, name = f"plain_owner_{worker_number}", f"plain_{worker_number}"
    admin = await asyncpg.connect(services.postgres_url)
    await admin.execute(f"drop database if exists {name} with (force)")
    await admin.execute(f"drop role if exists {owner}")
    await admin.execute(f"create role {owner} login createrole password '{OWNER_PASSWORD}'")
    await admin.execute(f"create database {name} owner {owner}")
    # tests of other databases make the roles at any moment: here they are there, and their maker lends them
    await admin.execute(ROLES)
    await admin.execute(f"grant anon, authenticated, service_role to {owner} with admin option")
    owner_url = with_login(on_database(services.postgres_url, name), owner, OWNER_PASSWORD)
    database = Database(owner_url, application_name="tests")
    try:
        await upgrade(database, login=Login(derive_password(JWT_SECRET, "authenticator")))
    finally:
        await database.close()
    data_url = with_login(owner_url, "authenticator", derive_password(JWT_SECRET, "authenticator"))
    yield Connections(Secret(owner_url), Secret(data_url), Secret(redis_url))
    await admin.execute(f"drop database if exists {name} with (force)")
    await admin.execute(f"drop owned by {owner}")
    await admin.execute(f"drop role if exists {owner}")
    await admin.close()


async def test_rows_by_role(owners: Connections) -> None:
    connection = await asyncpg.connect(owners.owner_url)
    await connection.execute(
        "create table secrets (id int primary key); alter table secrets enable row level security; "
        "insert into secrets values (1); "
        "create table notices (id int primary key); comment on table notices is 'Board.\n@public'; "
        "insert into notices values (7)"
    )
    assert await connection.fetchval("select rolsuper from pg_roles where rolname = current_user") is False
    await connection.close()
    async with running_app(owners) as served:
        anon, service = {"apikey": anon_key()}, {"apikey": service_key()}
        get = served.client.get
        assert (await get("/rest/v1/notices", headers=anon)).json() == [{"id": 7}]
        assert (await get("/rest/v1/secrets", headers=anon)).json() == []
        assert (await get("/rest/v1/secrets", headers=service)).json() == [{"id": 1}]
        assert (await get("/rest/v1/notices", headers=service)).json() == [{"id": 7}]


async def test_the_doctor_says_that_ddl_has_to_be_told_of(owners: Connections) -> None:
    async with running_app(owners) as served:
        found = {one.name: one async for one in examine(served.runtime)}["schema changes"]
        assert found.state == "advice"
        assert "the owner may not have event triggers" in found.message
        assert "NOTIFY pgrst, 'reload schema'" in found.message
        assert found.message.endswith("see docs/decisions/0007-ddl-notices.md")
