"""What clients see while PostgreSQL or Redis is away, and that nobody has to restart anything afterwards."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from modules.api_keys.opaque import generate
from monohull.kernel.crypto import derive_password
from monohull.kernel.database.engine import Database
from monohull.kernel.database.migrations import Login, upgrade
from monohull.kernel.embedded import EmbeddedPostgres, EmbeddedRedis, discard, new_password
from monohull.kernel.home import Connections, with_login
from monohull.kernel.settings import Secret
from tests.application import JWT_SECRET, Served, anon_key, running_app, service_key
from tests.patience import PATIENCE_SECONDS, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    import httpx

PASSWORD = "correct-horse-battery"


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(tmp_path / "postgres", password=new_password())
    server.start()
    yield server
    server.stop()
    discard(tmp_path / "postgres")


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    server = EmbeddedRedis(tmp_path / "redis", password=new_password(), durable=False)
    server.start()
    yield server
    server.stop()
    discard(tmp_path / "redis")


async def migrate(url: str) -> None:
    database = Database(url, application_name="tests")
    try:
        await upgrade(database, login=Login(derive_password(JWT_SECRET, "authenticator"), is_reset=True))
    finally:
        await database.close()


def connections_to(postgres_url: str, redis_url: str) -> Connections:
    data_url = with_login(postgres_url, "authenticator", derive_password(JWT_SECRET, "authenticator"))
    return Connections(Secret(postgres_url), Secret(data_url), Secret(redis_url))


@pytest.fixture
async def own(postgres: EmbeddedPostgres, redis: EmbeddedRedis) -> AsyncIterator[Served]:
    """An application on servers of its own, with a table that anybody may read."""
    await migrate(postgres.url)
    connection = await asyncpg.connect(postgres.url)
    await connection.execute(
        "create table things (id int primary key); comment on table things is '@public'; "
        "insert into things values (1)"
    )
    await connection.close()
    async with running_app(connections_to(postgres.url, redis.url), auth_mailer_autoconfirm="true") as served:
        await until_ready(served)
        yield served


async def until_ready(served: Served) -> None:
    await eventually(lambda: served.client.get("/health/ready"), lambda found: found.status_code == 200)


async def read_things(served: Served) -> httpx.Response:
    return await served.client.get("/rest/v1/things", headers={"apikey": anon_key()})


async def sign_up(served: Served, email: str) -> httpx.Response:
    return await served.client.post(
        "/auth/v1/signup", headers={"apikey": anon_key()}, json={"email": email, "password": PASSWORD}
    )


async def failing_checks(served: Served) -> dict[str, Any]:
    response = await served.client.get("/health/ready")
    assert response.status_code == 503
    return {name: check["message"] for name, check in response.json()["checks"].items() if not check["ok"]}


async def test_the_database_goes_away_and_comes_back(own: Served, postgres: EmbeddedPostgres) -> None:
    assert (await read_things(own)).json() == [{"id": 1}]
    postgres.stop()
    for _ in range(3):
        read = await read_things(own)
        assert (read.status_code, read.json()["code"]) == (503, "PGRST001")
        assert int(read.headers["retry-after"]) >= 1
        write = await sign_up(own, "a@example.com")
        assert write.status_code == 503, write.text
        assert int(write.headers["retry-after"]) >= 1
    assert "database" in await failing_checks(own)
    assert (await own.client.get("/health/live")).status_code == 200
    assert (await own.client.get("/metrics")).status_code == 200
    postgres.start()
    await until_ready(own)
    assert (await read_things(own)).json() == [{"id": 1}]
    assert (await sign_up(own, "a@example.com")).status_code == 200


async def test_a_key_that_nobody_can_look_up(own: Served, postgres: EmbeddedPostgres) -> None:
    """It is refused by whoever wants to know who asks, and by nobody else."""
    postgres.stop()
    headers = {"apikey": generate("secret")}
    assert (await own.client.get("/health/live", headers=headers)).status_code == 200
    assert (await own.client.get("/metrics", headers=headers)).status_code == 200
    for path in ("/platform/v1/whoami", "/platform/v1/api-keys", "/rest/v1/things", "/auth/v1/admin/users"):
        answer = await own.client.get(path, headers=headers)
        assert answer.status_code == 503, (path, answer.text)
        assert int(answer.headers["retry-after"]) >= 1


async def test_the_old_catalog_serves_while_the_database_is_away(
    own: Served, postgres: EmbeddedPostgres
) -> None:
    async def known(name: str) -> httpx.Response:
        return await own.client.get(f"/rest/v1/{name}", headers={"apikey": service_key()})

    assert (await known("things")).status_code == 200
    postgres.stop()
    assert (await known("things")).status_code == 503
    unknown = await known("thing")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "PGRST205")
    assert "public.things" in unknown.json()["hint"]
    options = await own.client.options("/rest/v1/things", headers={"apikey": anon_key()})
    assert options.headers["allow"] == "OPTIONS,GET,HEAD,POST,PUT,PATCH,DELETE"
    postgres.start()
    connection = await asyncpg.connect(postgres.url)
    await connection.execute("drop table things; create table others (id int primary key)")
    await connection.close()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (await known("things")).json().get("code") != "PGRST205":  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert (await known("others")).json() == []


async def test_redis_goes_away_and_comes_back(own: Served, redis: EmbeddedRedis) -> None:
    redis.stop()
    assert (await read_things(own)).json() == [{"id": 1}], "reads go on without Redis"
    refused = await sign_up(own, "b@example.com")
    assert refused.status_code == 503, "limits that guard passwords fail closed"
    assert int(refused.headers["retry-after"]) >= 1
    await eventually(lambda: failing_checks(own), lambda found: list(found) == ["redis"])
    redis.start()
    await until_ready(own)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while (answer := await sign_up(own, "b@example.com")).status_code == 503:  # noqa: ASYNC110
            await asyncio.sleep(0.2)
    assert answer.status_code == 200, answer.text


async def test_the_database_is_down_at_the_start(postgres: EmbeddedPostgres, redis: EmbeddedRedis) -> None:
    await migrate(postgres.url)
    postgres.stop()
    async with running_app(connections_to(postgres.url, redis.url)) as served:
        assert (await served.client.get("/health/startup")).status_code == 503
        response = await read_things(served)
        assert response.status_code == 503
        assert int(response.headers["retry-after"]) >= 1
        postgres.start()
        await until_ready(served)
        assert (await served.client.get("/health/startup")).status_code == 200
        assert (await read_things(served)).status_code == 404


async def test_pending_migrations_are_said_and_applying_them_is_noticed(
    postgres: EmbeddedPostgres, redis: EmbeddedRedis
) -> None:
    async with running_app(connections_to(postgres.url, redis.url)) as served:
        response = await read_things(served)
        assert response.status_code == 503
        assert "monohull migrate" in response.json()["message"]
        assert "migrations" in await failing_checks(served)
        await migrate(postgres.url)
        await until_ready(served)
        status = await served.client.get("/platform/v1/status", headers={"apikey": service_key()})
        assert status.status_code == 200


async def test_a_schema_from_the_future_is_not_touched(connections: Connections) -> None:
    connection = await asyncpg.connect(connections.owner_url)
    await connection.execute("update monohull.platform_version set version_num = '9999'")
    await connection.close()
    async with running_app(connections) as served:
        response = await served.client.get("/platform/v1/status", headers={"apikey": service_key()})
        assert (response.status_code, response.json()["code"]) == (503, "schema_outdated")
        assert "newer version" in response.json()["detail"]


async def test_a_wrong_password_is_named_and_not_shown(connections: Connections) -> None:
    wrong = with_login(connections.owner_url, "monohull", "not-the-password")
    async with running_app(Connections(Secret(wrong), connections.data_url, connections.redis_url)) as served:
        checks = await eventually(
            lambda: failing_checks(served),
            lambda found: "password authentication failed" in found["database"],
        )
        message = checks["database"]
        assert "not-the-password" not in message
