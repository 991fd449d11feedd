"""Opaque key → `Principal`.

A key is looked up by its hash and remembered for `CACHE_SECONDS`, which is
also how long a revoked one lives on in other processes. Unknown keys are
remembered as well, so that a client which repeats one costs no query each time.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from modules.api_keys.opaque import is_well_formed, looks_opaque
from modules.api_keys.repositories import ApiKeyRepository
from modules.api_keys.services import ANON
from monohull.kernel import clock
from monohull.kernel.errors import InvalidCredential
from monohull.kernel.ids import hash_token
from monohull.kernel.principal import Principal, PrincipalKind

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from modules.api_keys.models import ApiKey
    from modules.api_keys.usage import Usage
    from monohull.kernel.authentication import Credentials
    from monohull.kernel.database.engine import Database

CACHE_SECONDS: Final = 3.0
CACHE_ENTRIES: Final = 1000


class Found(Struct, frozen=True):
    """What the database said about a key, and until when that counts."""

    until: float
    key_id: UUID | None = None
    principal: Principal | None = None
    expires_at: datetime | None = None
    is_revoked: bool = False


class KeyAuthenticator:
    """Knows opaque keys, in ``Authorization: Bearer`` and in ``apikey``.

    Args:
        anonymous_role: Gives the database role of publishable keys.
        usage: Told of each use.
    """

    def __init__(self, database: Database, usage: Usage, *, anonymous_role: Callable[[], str]) -> None:
        self._database = database
        self._usage = usage
        self._anonymous_role = anonymous_role
        self._found: OrderedDict[str, Found] = OrderedDict()

    async def authenticate(self, credentials: Credentials) -> Principal | None:
        """Return the key's principal, or None when the request is spoken for by something else.

        Raises:
            InvalidCredential: The key is malformed, unknown, revoked or expired.
            DatabaseUnavailable: 503, nobody can say.
        """
        key = credentials.bearer if credentials.bearer is not None else credentials.apikey
        if key is None or not looks_opaque(key):
            return None
        if not is_well_formed(key):
            raise InvalidCredential("The API key is malformed", reason="malformed")
        found = await self._find(hash_token(key))
        if found.principal is None or found.key_id is None:
            raise InvalidCredential("The API key is not known", reason="unknown")
        if found.is_revoked:
            raise InvalidCredential("The API key was revoked", reason="revoked")
        if found.expires_at is not None and found.expires_at <= clock.now():
            raise InvalidCredential("The API key expired", reason="expired")
        self._usage.note(found.key_id)
        return found.principal

    def standing(self, credentials: Credentials) -> None:
        """Nothing: each use of a key is noted, and looked up here."""
        del credentials

    async def _find(self, key_hash: str) -> Found:
        at = clock.monotonic_seconds()
        known = self._found.get(key_hash)
        if known is not None and at < known.until:
            return known
        async with self._database.unit_of_work() as work:
            row = await ApiKeyRepository(work).find_by_hash(key_hash)
        found = self._describe(row, at + CACHE_SECONDS)
        self._found[key_hash] = found
        self._found.move_to_end(key_hash)
        while len(self._found) > CACHE_ENTRIES:
            self._found.popitem(last=False)
        return found

    def _describe(self, row: ApiKey | None, until: float) -> Found:
        if row is None:
            return Found(until)
        role = self._anonymous_role() if row.role == ANON else row.role
        principal = Principal(
            kind=PrincipalKind.KEY,
            role=role,
            claims={"role": role},
            permissions=frozenset(row.permissions),
            key_id=str(row.id),
        )
        return Found(until, row.id, principal, row.expires_at, row.revoked_at is not None)
