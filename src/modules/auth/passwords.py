"""Hash passwords and compare them, in threads, a core's worth at a time.

Argon2id with OWASP's smallest parameters (t=2, m=19 MiB, p=1: about 20 ms of a
core). A storm of sign-ins queues here and not in the event loop: argon2 frees
the GIL, and no more than one hash a core runs at a time.

A sign-in for an address that nobody has costs the same as one for an address
that somebody has: it is compared with a hash of nothing.
"""

from __future__ import annotations

import os
from typing import Final

from anyio import CapacityLimiter, to_thread
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

TIME_COST: Final = 2
MEMORY_KIB: Final = 19_456
PARALLELISM: Final = 1

_HASHER: Final = PasswordHasher(time_cost=TIME_COST, memory_cost=MEMORY_KIB, parallelism=PARALLELISM)
_NOBODY: Final = (
    "$argon2id$v=19$m=19456,t=2,p=1$bW9ub2h1bGwtbm9ib2R5IQ$nTWT6W2tWe0NMpTcTCZRAHEGdQbNrRZ9wS7zmRnhmkc"
)
"""A hash that no password has, of the same parameters."""


class Passwords:
    """The hashing threads of one process."""

    def __init__(self, slots: int | None = None) -> None:
        self._limiter = CapacityLimiter(slots or os.cpu_count() or 1)

    async def hash(self, password: str) -> str:
        """Return an Argon2id hash in PHC format."""
        return await to_thread.run_sync(_HASHER.hash, password, limiter=self._limiter)

    async def verify(self, password: str, stored: str | None) -> bool:
        """Say whether ``stored`` is a hash of ``password``; takes as long when ``stored`` is None."""
        return await to_thread.run_sync(_verify, password, stored, limiter=self._limiter)

    @staticmethod
    def is_outdated(stored: str) -> bool:
        """Say whether ``stored`` was made with other parameters than ours."""
        return _HASHER.check_needs_rehash(stored)


def is_known(stored: str) -> bool:
    """Say whether ``stored`` is of a kind that we can compare with."""
    return stored.startswith("$argon2")


def _verify(password: str, stored: str | None) -> bool:
    known = stored is not None and is_known(stored)
    try:
        _HASHER.verify(stored if known and stored is not None else _NOBODY, password)
    except (VerificationError, InvalidHashError):
        return False
    return known
