"""Hash passwords and compare them, in threads of their own that give way to everything else.

Argon2id with m=19 MiB, t=4, p=1: twice OWASP's smallest number of passes, about
50 ms of a core. A storm of sign-ins queues here and not in the event loop:
hashing frees the GIL, no more than one hash a core runs at a time, and on Linux
the threads are nicer than the loop, so that it runs as soon as it has
something to do. A queue that is longer than anybody would wait is refused.

A sign-in for an address that nobody has costs the same as one for an address
that somebody has: it is compared with a hash of nothing. A hash that came from
elsewhere and is cheaper than ours takes as long as ours.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeVar

from argon2 import PasswordHasher

from modules.auth.errors import WeakPassword
from modules.auth.password_hashes import UnusableHash, check_usable, holds
from monohull.kernel.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from modules.auth.breaches import Breaches

T = TypeVar("T")

TIME_COST: Final = 4
MEMORY_KIB: Final = 19_456
PARALLELISM: Final = 1
MAX_WAITING: Final = 200
"""About ten seconds of one core."""

MAX_HASH_CHARACTERS: Final = 255
"""Of the column."""

NICENESS: Final = 10
SHARE_OF_NEWEST: Final = 0.2

_HASHER: Final = PasswordHasher(time_cost=TIME_COST, memory_cost=MEMORY_KIB, parallelism=PARALLELISM)
_NOBODY: Final = (
    "$argon2id$v=19$m=19456,t=4,p=1$bW9ub2h1bGwtbm9ib2R5IQ$nTWT6W2tWe0NMpTcTCZRAHEGdQbNrRZ9wS7zmRnhmkc"
)
"""A hash that no password has, of the same parameters."""


class TooManySignIns(Unavailable):
    """More passwords wait to be hashed than can be in a reasonable time."""

    code = "too_many_sign_ins"
    hint = "Repeat the request in a few seconds."


class Passwords:
    """The hashing threads of one process.

    Args:
        slots: Hashes at a time; as many as there are cores by default.
        breaches: Knows passwords that were leaked; None asks nobody.
        frequent: Those that too many people have.
    """

    def __init__(
        self,
        slots: int | None = None,
        breaches: Breaches | None = None,
        frequent: Container[str] | None = None,
    ) -> None:
        self._slots = slots or os.cpu_count() or 1
        self._threads = ThreadPoolExecutor(self._slots, "passwords", initializer=_give_way)
        self._breaches = breaches
        self._frequent: Container[str] = frequent if frequent is not None else ()
        self._waiting = 0
        self._usual_seconds = 0.0

    async def hash(self, password: str) -> str:
        """Return an Argon2id hash, in PHC format, of a password that somebody chose just now.

        Raises:
            WeakPassword: 422, it is known from a leak or one of the most frequent. TooManySignIns: 503.
        """
        if password in self._frequent or (self._breaches is not None and await self._breaches.know(password)):
            raise WeakPassword(
                "Password is known to be weak and easy to guess, please choose a different one.", ["pwned"]
            )
        return await self.rehash(password)

    async def rehash(self, password: str) -> str:
        """Return a hash of a password that is in use already.

        Raises:
            TooManySignIns: 503.
        """
        return await self._in_thread(lambda: _HASHER.hash(password))

    async def verify(self, password: str, stored: str | None) -> bool:
        """Say whether ``stored`` is a hash of ``password``; takes as long when ``stored`` is None.

        Raises:
            TooManySignIns: 503.
        """
        took, is_ours, found = await self._in_thread(lambda: _timed(password, stored))
        if is_ours:
            self._usual_seconds += SHARE_OF_NEWEST * (took - self._usual_seconds)
        elif took < self._usual_seconds:
            await asyncio.sleep(self._usual_seconds - took)
        return found

    @staticmethod
    def is_outdated(stored: str) -> bool:
        """Say whether ``stored`` was made with other parameters than ours, or in another way."""
        return not stored.startswith("$argon2id$") or _HASHER.check_needs_rehash(stored)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._waiting >= MAX_WAITING:
            raise TooManySignIns("Too many passwords are waiting to be checked.", retry_after_seconds=5)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1


def is_known(stored: str) -> bool:
    """Say whether ``stored`` is a hash that can be compared with, and in a reasonable time."""
    try:
        check_usable(stored)
    except UnusableHash:
        return False
    return len(stored) <= MAX_HASH_CHARACTERS


def _timed(password: str, stored: str | None) -> tuple[float, bool, bool]:
    """Return how many seconds it took, whether the hash is of our own parameters, and whether it holds."""
    began = time.perf_counter()
    found = False
    is_ours = stored is not None and stored.startswith(_NOBODY[:30])
    if stored:
        try:
            found = holds(password, stored)
        except UnusableHash:
            stored = None
    if not stored:
        is_ours = True
        with contextlib.suppress(UnusableHash):
            holds(password, _NOBODY)
    return time.perf_counter() - began, is_ours, found


def _give_way() -> None:
    """Let the event loop's thread go first wherever both could run."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
