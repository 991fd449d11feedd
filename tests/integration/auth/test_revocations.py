"""Ended sessions and deleted, banned or changed users: refused everywhere within a second, whoever did it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from modules.auth.revocations import denylist
from modules.auth.revocations.denylist import Denylist
from modules.auth.revocations.jobs import prune_revocations
from monohull.kernel.home import Connections
from monohull.kernel.settings import Secret
from tests.application import running_app
from tests.integration.auth.people import V2, People
from tests.patience import PATIENCE_SECONDS, eventually

if TYPE_CHECKING:
    from tests.application import Served
    from tests.integration.auth.people import Person

RELAXED = {"auth_rate_limit_otp": "100000", "auth_rate_limit_token_refresh": "100000"}


async def status(served: Served, person: Person) -> tuple[int, str]:
    """What the data API says, which asks no table of auth."""
    answer = await served.client.get("/rest/v1/rpc/no_such_function", headers=person.bearer)
    return answer.status_code, answer.json()["code"]


async def refused(served: Served, person: Person) -> None:
    """Wait until the data API refuses the person's token."""
    await eventually(lambda: status(served, person), lambda found: found[0] == 401)


@pytest.fixture
def by_notification(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have nobody look unless told: whoever hears of something heard the notification."""
    monkeypatch.setattr(denylist, "POLL_SECONDS", 10 * PATIENCE_SECONDS)


WAYS = {
    "sign-out": "delete from auth.sessions where user_id = $1",
    "deleted": "delete from auth.users where id = $1",
    "soft deleted": "update auth.users set deleted_at = now() where id = $1",
    "banned": "update auth.users set banned_until = now() + interval '1 hour' where id = $1",
    "banned for ever": "update auth.users set banned_until = 'infinity' where id = $1",
}


@pytest.mark.usefixtures("by_notification")
async def test_two_processes_refuse_what_ended(connections: Connections) -> None:
    async with running_app(connections, **RELAXED) as one, running_app(connections, **RELAXED) as two:
        people = People(one)
        for sql in WAYS.values():
            person, bystander = await people.sign_up(), await people.sign_up()
            for served in (one, two):
                assert (await status(served, person))[0] == (await status(served, bystander))[0] == 404
            await people.execute(sql, person.id)
            await asyncio.gather(refused(one, person), refused(two, person))
            for served in (one, two):
                assert await status(served, person) == (401, "PGRST303")
                assert (await status(served, bystander))[0] == 404


async def test_the_wire_of_auth_says_which(connections: Connections) -> None:
    codes = ("session_not_found", "user_not_found", "user_not_found", "user_banned", "user_banned")
    async with running_app(connections, **RELAXED) as served:
        people = People(served)
        for sql, code in zip(WAYS.values(), codes, strict=True):
            person = await people.sign_up()
            await people.execute(sql, person.id)
            await refused(served, person)
            answer = await served.client.get("/auth/v1/user", headers=person.bearer)
            assert (answer.status_code, answer.json()["code"]) == (403, code)


async def test_without_notifications_it_takes_less_than_a_second(
    connections: Connections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Denylist, "request_reload", lambda *_: None)
    async with running_app(connections) as served:
        person = await People(served).sign_up()
        await People(served).execute(WAYS["sign-out"], person.id)
        await refused(served, person)
    assert denylist.POLL_SECONDS < 1


@pytest.mark.usefixtures("by_notification")
async def test_transactions_that_end_out_of_order_are_all_seen(connections: Connections) -> None:
    async with running_app(connections, **RELAXED) as served:
        people = People(served)
        slow, fast = await people.sign_up(), await people.sign_up()
        async with served.runtime.database.connection() as connection:
            async with connection.transaction():
                await connection.execute(WAYS["sign-out"], slow.id)
                await people.execute(WAYS["sign-out"], fast.id)
                await refused(served, fast)
                assert (await status(served, slow))[0] == 404
            await refused(served, slow)


async def test_a_process_that_starts_later_knows(connections: Connections) -> None:
    async with running_app(connections) as served:
        person = await People(served).sign_up()
        await served.client.post("/auth/v1/logout", headers=person.bearer)
    async with running_app(connections) as served:
        assert await status(served, person) == (401, "PGRST303")


async def test_without_redis_too(connections: Connections) -> None:
    async with running_app(connections) as served:
        person, ended = await People(served).sign_up(), await People(served).sign_up()
    lost = Connections(connections.owner_url, connections.data_url, Secret("redis://127.0.0.1:1/0"))
    async with running_app(lost) as served:
        assert (await served.client.post("/auth/v1/logout", headers=ended.bearer)).status_code == 204
        await refused(served, ended)
        assert (await status(served, person))[0] == 404
        again = await People(served).refresh(ended.refresh_token)
        assert (again.status_code, again.json()["code"]) == (503, "redis_unavailable")


async def test_a_changed_user_has_its_new_claims_at_once(connections: Connections) -> None:
    async with running_app(connections) as served:
        people = People(served)
        person = await people.sign_up()
        await people.execute(
            "update auth.users set raw_app_meta_data = raw_app_meta_data || $2 where id = $1",
            person.id,
            '{"plan": "pro"}',
        )
        claims: dict[str, Any] = {}
        async with asyncio.timeout(PATIENCE_SECONDS):
            while "plan" not in claims.get("app_metadata", {}):
                claims = dict(await people.claims(person.tokens["access_token"]))
                await asyncio.sleep(0.01)
        assert claims["app_metadata"] == {"provider": "email", "providers": ["email"], "plan": "pro"}
        assert (await served.client.get("/auth/v1/user", headers=person.bearer)).status_code == 200


async def test_a_lifted_ban_lets_tokens_pass_again(connections: Connections) -> None:
    async with running_app(connections) as served:
        people = People(served)
        person = await people.sign_up()
        await people.execute(WAYS["banned"], person.id)
        await refused(served, person)
        await people.execute("update auth.users set banned_until = null where id = $1", person.id)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (await status(served, person))[0] == 401:  # noqa: ASYNC110 as above
                await asyncio.sleep(0.01)


async def test_sign_ins_and_new_providers_revoke_nothing(connections: Connections) -> None:
    async with running_app(connections) as served:
        people = People(served)
        person = await people.sign_up()
        await people.sign_in(person.email)
        await people.execute(
            "update auth.users set raw_user_meta_data = '{}', last_sign_in_at = now(), raw_app_meta_data ="
            ' raw_app_meta_data || \'{"providers": ["email", "google"]}\' where id = $1',
            person.id,
        )
        assert await people.rows("select 1 from monohull.revocations") == []


async def test_old_entries_are_deleted(connections: Connections) -> None:
    async with running_app(connections) as served:
        people = People(served)
        person = await people.sign_up()
        await people.execute(WAYS["deleted"], person.id)
        await people.execute(
            "update monohull.revocations set occurred_at = now() - interval '9 days' where kind = 'user'"
        )
        await prune_revocations(served.runtime)
        assert [row["kind"] for row in await people.rows("select kind from monohull.revocations")] == [
            "session"
        ]


async def test_the_cache_and_the_denylist_are_measured(connections: Connections) -> None:
    async with running_app(connections) as served:
        person = await People(served).sign_up()
        for _ in range(5):
            await served.client.get("/auth/v1/settings", headers={**person.bearer, **V2})
        lines = (await served.client.get("/metrics")).text.splitlines()
        for name in ("token_cache_entries", "token_cache_hits", "token_cache_misses", "denylist_entries"):
            assert any(line.startswith(f"monohull_{name}") for line in lines), name
