"""Guessing is slowed down from everywhere at once, and who knows the password is not locked out by it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from modules.auth import lockout as lockout_room
from modules.auth.lockout import Lockout
from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.errors import RateLimited, RedisUnavailable
from monohull.kernel.redis_connection import close_redis, open_redis
from tests.application import running_app
from tests.factories.auth import PASSWORD
from tests.integration.auth.people import V2, People
from tests.patience import PATIENT

if TYPE_CHECKING:
    import httpx

    from monohull.kernel.home import Connections
    from tests.application import Served

TRUSTED = {
    "trusted_proxies": "127.0.0.0/8",
    "auth_rate_limit_token_refresh": "1000000",
    "auth_rate_limit_otp": "1000000",
    "auth_rate_limit_account_failures": "3",
}


async def sign_in(served: Served, email: str, password: str, address: str) -> httpx.Response:
    return await served.client.post(
        "/auth/v1/token?grant_type=password",
        json={"email": email, "password": password},
        headers={**V2, "X-Forwarded-For": address},
    )


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the first wait last longer than a busy machine takes for a few passwords."""
    monkeypatch.setattr(lockout_room, "FIRST_WAIT_SECONDS", 600)


@pytest.mark.usefixtures("patient")
async def test_a_botnet_gets_as_many_guesses_as_one_machine(connections: Connections) -> None:
    """From many addresses and over two processes; the owner's address passes all the while."""
    async with running_app(connections, **TRUSTED) as one, running_app(connections, **TRUSTED) as two:
        owner = await People(one).sign_up()
        stranger = "nobody@example.com"
        assert (await sign_in(one, owner.email, PASSWORD, "192.0.2.1")).status_code == 200
        for email in (owner.email, stranger):
            answers = []
            for number in range(8):
                served = (one, two)[number % 2]
                answers.append(await sign_in(served, email, "wrong", f"198.51.100.{number}"))
            assert [answer.status_code for answer in answers] == [400] * 4 + [429] * 4, email
            assert answers[-1].json()["code"] == "over_request_rate_limit"
            assert int(answers[-1].headers["retry-after"]) >= 1
            assert (await sign_in(one, email, PASSWORD, "203.0.113.9")).status_code == 429, email
        for served in (one, two):
            assert (await sign_in(served, owner.email, PASSWORD, "192.0.2.1")).status_code == 200


@pytest.mark.usefixtures("patient")
async def test_a_thousand_at_once_are_not_a_thousand_guesses(connections: Connections) -> None:
    async with running_app(connections, **TRUSTED) as served:
        owner = await People(served).sign_up()
        answers = await asyncio.gather(
            *(sign_in(served, owner.email, "wrong", f"198.51.100.{number}") for number in range(40))
        )
        assert sum(answer.status_code == 400 for answer in answers) <= 5


async def test_waits_double_and_right_passwords_are_taken_back(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lockout_room, "FIRST_WAIT_SECONDS", 100)
    redis = open_redis(redis_url, timeouts=PATIENT)
    lockout = Lockout(redis, b"secret", free_failures=2)
    try:
        for _ in range(5):  # right ones from elsewhere cost nothing
            assert await lockout.attempt("a@example.com", "new") is False
            await lockout.succeed("a@example.com", "new", was_known=False)
            await redis.delete(*await redis.keys("*:known"))
        began = monotonic_seconds()
        for _ in range(3):  # the third is the first to cost something
            await lockout.attempt("a@example.com", "elsewhere")
        for expected in (100, 200, 400, 800):
            with pytest.raises(RateLimited) as refused:
                await lockout.attempt("a@example.com", "elsewhere")
            took = monotonic_seconds() - began
            assert expected - took - 1 <= int(refused.value.headers["Retry-After"]) <= expected + 1
            await redis.hset((await redis.keys("*:failures"))[0], "ends", "0")
            began = monotonic_seconds()
            await lockout.attempt("a@example.com", "elsewhere")
        assert all(b"a@example.com" not in key and b"elsewhere" not in key for key in await redis.keys("*"))
    finally:
        await close_redis(redis)


async def test_twenty_addresses_are_known(redis_url: str) -> None:
    redis = open_redis(redis_url, timeouts=PATIENT)
    lockout = Lockout(redis, b"secret")
    try:
        for number in range(25):
            await lockout.succeed("a@example.com", str(number), was_known=True)
            await redis.zincrby((await redis.keys("*:known"))[0], number - 100, lockout._hash(str(number)))
        assert [await lockout.attempt("a@example.com", str(number)) for number in (0, 4, 5, 24)] == [
            False,
            False,
            True,
            True,
        ]
    finally:
        await close_redis(redis)


async def test_without_redis_nobody_can_try() -> None:
    redis = open_redis("redis://127.0.0.1:1/0")
    try:
        with pytest.raises(RedisUnavailable):
            await Lockout(redis, b"secret").attempt("a@example.com", "here")
    finally:
        await close_redis(redis)
