from __future__ import annotations

import asyncio
import time

from argon2 import PasswordHasher

from modules.auth.passwords import Passwords


async def test_a_hash_holds_for_its_password_alone() -> None:
    passwords = Passwords()
    stored = await passwords.hash("correct horse")
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await passwords.verify("correct horse", stored)
    assert not await passwords.verify("wrong horse", stored)
    assert not passwords.is_outdated(stored)


async def test_nobody_has_no_password() -> None:
    passwords = Passwords()
    for stored in (None, "", "$2a$10$abcdefghijklmnopqrstuv", "plain", "$argon2id$broken"):
        assert not await passwords.verify("", stored)
        assert not await passwords.verify("x", stored)


async def test_other_parameters_are_outdated_and_still_hold() -> None:
    stored = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash("x")
    assert Passwords.is_outdated(stored)
    assert await Passwords().verify("x", stored)


async def test_nobody_takes_as_long_as_somebody() -> None:
    passwords = Passwords()
    stored = await passwords.hash("x")

    async def fastest(of: str | None) -> float:
        times = []
        for _ in range(5):
            began = time.perf_counter()
            await passwords.verify("y", of)
            times.append(time.perf_counter() - began)
        return min(times)

    somebody, nobody = await fastest(stored), await fastest(None)
    assert 0.5 < nobody / somebody < 2


async def test_the_event_loop_goes_on_while_passwords_are_hashed() -> None:
    passwords = Passwords(slots=1)
    work = asyncio.gather(*(passwords.hash("x") for _ in range(8)))
    turns = 0
    while not work.done():
        await asyncio.sleep(0.001)
        turns += 1
    await work
    assert turns > 8
