"""Which role data requests log in as."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from monohull.kernel.database.data import DataPool, PostgresError, data_pool, open_data_pool
from monohull.kernel.database.login import Login
from monohull.kernel.embedded import EmbeddedPostgres, discard
from monohull.kernel.errors import DatabaseUnavailable
from tests.patience import PATIENCE_SECONDS, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

ANON = (("role", "anon"),)
SERVICE = (("role", "service_role"),)


async def first(pool: DataPool, sql: str, settings: Any = ()) -> bytes | None:
    return (await pool.run(sql, settings=settings)).rows[0][0]


@pytest.fixture
def own_server(tmp_path: Any) -> Iterator[EmbeddedPostgres]:
    """A server whose roles nobody else needs."""
    server = EmbeddedPostgres(tmp_path, password="own", durable=False)
    server.start()
    yield server
    server.stop()
    discard(tmp_path)


class Both:
    def __init__(self, data_url: str, owner_url: str) -> None:
        self.data_url, self.owner_url = data_url, owner_url


@pytest.mark.usefixtures("admin")
async def test_the_login_is_the_authenticator_where_it_works(place: Any) -> None:
    pool = await open_data_pool(
        Both(place.login_url, place.superuser_url), size=1, timeout_seconds=PATIENCE_SECONDS
    )
    assert (pool.login, pool.login_reason, pool.effective_role("service_role")) == (
        "authenticator",
        None,
        "service_role",
    )
    await pool.close()


@pytest.mark.parametrize("wrong", ["password", "user", "database"])
@pytest.mark.usefixtures("admin")
async def test_the_owner_logs_in_when_the_authenticator_cannot(place: Any, wrong: str) -> None:
    url = {
        "password": place.login_url.replace(":data@", ":wrong@"),
        "user": place.login_url.replace(place.login, "nobody_there"),
        "database": place.login_url + "_missing",
    }[wrong]
    pool = data_pool(Both(url, place.superuser_url), size=1, timeout_seconds=PATIENCE_SECONDS)
    assert (pool.login, pool.effective_role("service_role")) == (None, "service_role")
    async with pool.running():
        assert pool.login == "owner"
        assert "refuses the login" in (pool.login_reason or "")
        assert await first(pool, "select current_user", settings=ANON) == b"anon"
        assert await first(pool, "select current_user", settings=SERVICE) == b"service_role"


async def test_the_owner_stands_in_for_a_service_role_that_row_security_binds(
    own_server: EmbeddedPostgres,
) -> None:
    admin = await asyncpg.connect(own_server.url)
    await admin.execute(
        "create role anon; create role authenticated; create role service_role;"
        "create role gate login noinherit password 'data'; create role shop login password 'data';"
        "grant anon, authenticated, service_role to gate, shop"
    )
    server = own_server.url.rsplit("@", 1)[1]
    both = Both(f"postgresql://gate:data@{server}", f"postgresql://shop:data@{server}")
    async with data_pool(both, size=1, timeout_seconds=PATIENCE_SECONDS).running() as pool:
        assert (pool.login, pool.login_reason) == ("owner", "service_role does not bypass row security")
        assert pool.effective_role("service_role") == "shop"
        assert await first(pool, "select current_user", settings=SERVICE) == b"shop"
        assert await first(pool, "select current_user", settings=ANON) == b"anon"
    await admin.execute("alter role service_role bypassrls")
    async with data_pool(both, size=1, timeout_seconds=PATIENCE_SECONDS).running() as pool:
        assert pool.login == "authenticator"
    await admin.close()


async def test_the_owner_logs_in_when_the_authenticator_may_not_switch(
    place: Any, admin: asyncpg.Connection[Any]
) -> None:
    await admin.execute(f"revoke authenticated from {place.login}")
    async with data_pool(
        Both(place.login_url, place.superuser_url), size=1, timeout_seconds=PATIENCE_SECONDS
    ).running() as pool:
        assert pool.login == "owner"
        assert "not a member" in (pool.login_reason or "")


@pytest.mark.usefixtures("admin")
async def test_a_database_that_refuses_both(place: Any) -> None:
    wrong = place.login_url.replace(":data@", ":wrong@")
    with pytest.raises(DatabaseUnavailable):
        await open_data_pool(Both(wrong, wrong), size=1, timeout_seconds=PATIENCE_SECONDS)
    async with DataPool(wrong, size=1, timeout_seconds=PATIENCE_SECONDS).running() as pool:
        with pytest.raises(DatabaseUnavailable):
            await pool.run("select 1")


async def test_a_password_that_changes_while_we_run(place: Any, admin: asyncpg.Connection[Any]) -> None:
    both = Both(place.login_url, place.superuser_url)
    async with data_pool(both, size=1, timeout_seconds=PATIENCE_SECONDS).running() as pool:
        before = pool.login

        async def one_is_found() -> bytes | None:
            try:
                return await first(pool, "select 1")
            except DatabaseUnavailable:  # until the time between two tries has passed
                return None

        await admin.execute(f"alter role {place.login} password 'other'")
        try:
            pid = int(await first(pool, "select pg_backend_pid()") or 0)
            await admin.execute("select pg_terminate_backend($1, 60000)", pid)
            with pytest.raises(DatabaseUnavailable):
                await pool.run("select 1")
            assert await eventually(one_is_found) == b"1"
            assert (before, pool.login) == ("authenticator", "owner")
        finally:
            await admin.execute(f"alter role {place.login} password 'data'")


def test_a_login_does_not_show_its_url() -> None:
    assert "secret" not in repr(Login("owner", "postgresql://x:secret@h/d"))
    assert issubclass(PostgresError, Exception)
