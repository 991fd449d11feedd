"""Every kind of owner on every major: what it may not do is asked for, with SQL that then suffices."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from monohull.kernel.database.engine import Database
from monohull.kernel.database.errors import AdministratorNeeded, MigrationRefused
from monohull.kernel.database.migrations import Login, upgrade
from monohull.kernel.database.platform_version import current
from tests.integration.database.cluster import LOGIN, PASSWORD, ROLES, Cluster

BYPASSING_SINCE = 16
"""Before, BYPASSRLS could be given by superusers alone."""


async def attributes(cluster: Cluster) -> dict[str, asyncpg.Record]:
    rows = await cluster.rows("select * from pg_roles where rolname = any($1)", list(ROLES))
    return {row["rolname"]: row for row in rows}


async def demand_switching(cluster: Cluster, database: str) -> None:
    """The login of data requests and the owner get into every API role."""
    for url in (
        cluster.address(database, "authenticator", LOGIN.password),
        cluster.address(database, database),
    ):
        connection = await asyncpg.connect(url)
        for role in ("anon", "authenticated", "service_role"):
            async with connection.transaction():
                await connection.execute(f"set local role {role}")
                assert await connection.fetchval("select current_user") == role
                assert await connection.fetchval("select auth.uid()") is None
        await connection.close()


@pytest.mark.parametrize("bypass", ["NOBYPASSRLS", "BYPASSRLS"])
async def test_an_owner_with_createrole(pristine: Cluster, bypass: str) -> None:
    async with pristine.owned(attributes=f"CREATEROLE {bypass}") as database:
        await upgrade(database, LOGIN, target="0001")
    roles = await attributes(pristine)
    assert set(roles) == set(ROLES)
    assert roles["authenticator"]["rolcanlogin"]
    assert not any(role["rolinherit"] or role["rolsuper"] for role in roles.values())
    may_bypass = bypass == "BYPASSRLS" and pristine.major >= BYPASSING_SINCE
    assert roles["service_role"]["rolbypassrls"] is may_bypass
    assert not roles["anon"]["rolbypassrls"]
    await demand_switching(pristine, "shop")


async def test_an_owner_without_createrole_gets_the_sql_it_needs(pristine: Cluster) -> None:
    async with pristine.owned(attributes="NOCREATEROLE") as database:
        with pytest.raises(AdministratorNeeded) as caught:
            await upgrade(database, LOGIN, target="0001")
        assert "let a superuser run this once" in str(caught.value)
        assert LOGIN.password not in str(caught.value)
        assert await current(database) is None
        await pristine.run(*caught.value.sql)
        await upgrade(database, LOGIN, target="0001")
        await upgrade(database, LOGIN, target="0001")
    assert (await attributes(pristine))["service_role"]["rolbypassrls"]
    await demand_switching(pristine, "shop")


async def test_roles_made_for_another_database_and_no_membership(pristine: Cluster) -> None:
    async with pristine.owned("first") as database:
        await upgrade(database, LOGIN, target="0001")
    async with pristine.owned("second") as database:
        if pristine.major >= BYPASSING_SINCE:  # CREATEROLE reaches only what it made itself
            with pytest.raises(AdministratorNeeded) as caught:
                await upgrade(database, LOGIN, target="0001")
            assert list(caught.value.sql) == [
                'GRANT anon, authenticated, service_role TO "second" WITH INHERIT FALSE, SET TRUE'
            ]
            await pristine.run(*caught.value.sql)
        await upgrade(database, LOGIN, target="0001")
    await demand_switching(pristine, "first")
    await demand_switching(pristine, "second")


async def test_a_superuser_mends_what_owners_could_not(pristine: Cluster) -> None:
    async with pristine.owned(attributes="CREATEROLE NOBYPASSRLS") as database:
        await upgrade(database, LOGIN, target="0001")
        assert not (await attributes(pristine))["service_role"]["rolbypassrls"]
    await pristine.run("create database other", "alter role authenticator nologin inherit")
    database = Database(pristine.address("other"), pool_size=1)
    async with database.running():
        await upgrade(database, LOGIN, target="0001")
    roles = await attributes(pristine)
    assert roles["service_role"]["rolbypassrls"]
    assert roles["authenticator"]["rolcanlogin"]
    assert not roles["authenticator"]["rolinherit"]


async def test_a_client_role_that_bypasses_row_security_is_refused(pristine: Cluster) -> None:
    await pristine.run("create role anon bypassrls")
    async with pristine.owned(attributes="NOCREATEROLE") as database:
        with pytest.raises(AdministratorNeeded, match="ALTER ROLE anon NOSUPERUSER NOBYPASSRLS;"):
            await upgrade(database, LOGIN, target="0001")


async def test_an_owner_that_may_not_make_schemas(pristine: Cluster) -> None:
    await pristine.run(f"create role guest login createrole password '{PASSWORD}'", "create database lodge")
    database = Database(pristine.address("lodge", "guest"), pool_size=1)
    async with database.running():
        with pytest.raises(AdministratorNeeded) as caught:
            await upgrade(database, LOGIN, target="0001")
        assert list(caught.value.sql) == ['GRANT CREATE ON DATABASE "lodge" TO "guest"']
        await pristine.run(*caught.value.sql)
        await upgrade(database, LOGIN, target="0001")


async def test_a_password_is_altered_only_where_that_was_asked(pristine: Cluster) -> None:
    async with pristine.owned() as database:
        await upgrade(database, LOGIN, target="0001")
        await upgrade(database, Login("another-password"), target="0001")
        await demand_switching(pristine, "shop")
        await upgrade(database, Login("another-password", is_reset=True), target="0001")
        with pytest.raises(asyncpg.InvalidPasswordError):
            await demand_switching(pristine, "shop")
        await upgrade(database, Login(LOGIN.password, is_reset=True), target="0001")
        await demand_switching(pristine, "shop")


async def test_two_databases_of_one_cluster_at_the_same_moment(pristine: Cluster) -> None:
    names = ("one", "two", "three")
    await pristine.run(*(f"create database {name}" for name in names))
    databases = [Database(pristine.address(name), pool_size=1) for name in names for _ in range(2)]
    try:
        done = await asyncio.gather(*(upgrade(database, LOGIN, target="0001") for database in databases))
    finally:
        for database in databases:
            await database.close()
    assert sorted(len(revisions) for revisions in done) == [0, 0, 0, 1, 1, 1]
    assert set(await attributes(pristine)) == set(ROLES)


async def test_a_role_that_is_being_changed_elsewhere(pristine: Cluster) -> None:
    """PostgreSQL answers `tuple concurrently updated`, which only means to try again."""
    async with pristine.owned() as database:
        await upgrade(database, LOGIN, target="0001")
        other = await asyncpg.connect(pristine.url)
        transaction = other.transaction()
        await transaction.start()
        await other.execute("alter role authenticator connection limit 50")
        waiting = asyncio.create_task(
            upgrade(database, Login("the-new-password", is_reset=True), target="0001")
        )
        await asyncio.sleep(0.5)
        await transaction.commit()
        assert await waiting == ()
        await other.close()
        login = await asyncpg.connect(pristine.address("shop", "authenticator", "the-new-password"))
        await login.close()


async def test_a_server_that_is_too_old(pristine: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monohull.kernel.database.server.OLDEST_VERSION", 990000)
    async with pristine.owned() as database:
        with pytest.raises(MigrationRefused, match=rf"the server is PostgreSQL {pristine.major}\."):
            await upgrade(database, LOGIN)
