from __future__ import annotations

import asyncio
import os
import sys
import threading
import time

import bcrypt
import pytest
from argon2 import PasswordHasher

from modules.auth import passwords as module
from modules.auth.errors import WeakPassword
from modules.auth.frequent import FrequentPasswords
from modules.auth.passwords import NICENESS, Passwords, TooManySignIns


async def test_a_hash_holds_for_its_password_alone() -> None:
    passwords = Passwords()
    stored = await passwords.hash("correct horse")
    assert stored.startswith("$argon2id$v=19$m=19456,t=4,p=1$")
    assert await passwords.verify("correct horse", stored)
    assert not await passwords.verify("wrong horse", stored)
    assert not passwords.is_outdated(stored)


def test_frequent_passwords() -> None:
    known = FrequentPasswords()
    assert len(known) > 25_000
    for frequent in ("password", "12345678", "Password123", "QWERTYUI", "iloveyou1"):
        assert frequent in known
    for other in ("correct-horse", "analytical-engine", "", "passwordpassword-1"):
        assert other not in known


async def test_a_frequent_password_is_not_hashed_anew() -> None:
    passwords = Passwords(frequent=FrequentPasswords())
    with pytest.raises(WeakPassword) as caught:
        await passwords.hash("Password123")
    assert list(caught.value.reasons) == ["pwned"]
    stored = await passwords.rehash("Password123")  # who has it already goes on signing in
    assert await passwords.verify("Password123", stored)


async def test_nobody_has_no_password() -> None:
    passwords = Passwords()
    for stored in (None, "", "$2a$10$abcdefghijklmnopqrstuv", "plain", "$argon2id$broken"):
        assert not await passwords.verify("", stored)
        assert not await passwords.verify("x", stored)


@pytest.mark.parametrize(
    "stored",
    [
        PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash("x"),
        bcrypt.hashpw(b"x", bcrypt.gensalt(4)).decode(),
    ],
    ids=["argon2", "bcrypt"],
)
async def test_other_hashes_are_outdated_and_still_hold(stored: str) -> None:
    assert Passwords.is_outdated(stored)
    assert await Passwords().verify("x", stored)


async def test_nobody_costs_as_much_as_somebody() -> None:
    stored = await Passwords().hash("x")

    def cheapest(of: str | None) -> float:
        """Processor time, which a busy machine does not change much."""
        times = []
        for _ in range(5):
            began = time.thread_time()
            module._timed("y", of)
            times.append(time.thread_time() - began)
        return min(times)

    assert 0.5 < cheapest(None) / cheapest(stored) < 2


async def test_a_cheap_hash_takes_as_long_as_ours() -> None:
    passwords = Passwords()
    passwords._usual_seconds = 0.2
    began = time.perf_counter()
    assert not await passwords.verify("y", bcrypt.hashpw(b"x", bcrypt.gensalt(4)).decode())
    assert time.perf_counter() - began > 0.19


def test_which_hashes_can_be_compared_with() -> None:
    assert module.is_known(bcrypt.hashpw(b"x", bcrypt.gensalt(4)).decode())
    assert not module.is_known("md5")
    assert not module.is_known("$argon2id$")
    assert not module.is_known("$scrypt$ln=4,r=8,p=1$c2FsdA$" + "A" * 300)


async def test_the_event_loop_goes_on_while_passwords_are_hashed() -> None:
    passwords = Passwords(slots=1)
    work = asyncio.gather(*(passwords.hash("x") for _ in range(8)))
    turns = 0
    while not work.done():
        await asyncio.sleep(0.001)
        turns += 1
    await work
    assert turns > 8


async def test_no_more_threads_than_slots_and_all_of_them_give_way() -> None:
    passwords = Passwords(slots=2)

    def look() -> tuple[int, int]:
        time.sleep(0.01)
        native = threading.get_native_id()
        return native, os.getpriority(os.PRIO_PROCESS, native) if sys.platform == "linux" else NICENESS

    seen = await asyncio.gather(*(passwords._in_thread(look) for _ in range(10)))
    assert len({native for native, _ in seen}) <= 2
    assert {nice for _, nice in seen} == {NICENESS}


async def test_a_queue_that_nobody_would_wait_for_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 3)
    passwords = Passwords(slots=1)
    answers = await asyncio.gather(*(passwords.verify("x", None) for _ in range(5)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [bool, bool, bool, TooManySignIns, TooManySignIns]
    assert await passwords.verify("x", None) is False
