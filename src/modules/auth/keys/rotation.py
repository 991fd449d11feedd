"""Make the next key current, retire those that are done, and say who still presents an old one."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from modules.auth.events import SigningKeyRetired, SigningKeysRotated
from modules.auth.keys.repository import SigningKeyRepository
from modules.auth.tokens import SKEW_SECONDS
from monohull.kernel import clock, outbox
from monohull.kernel.crypto import DecryptionError
from monohull.kernel.errors import Conflict, NotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.auth.keys.models import SigningKeyRow
    from modules.auth.keys.vault import SigningAlgorithm, Vault
    from monohull.kernel.database.engine import Database

PUBLISHED_SECONDS: Final = 600
"""As long as anybody may cache our public keys: ``max-age`` of the JWKS."""


class KeyTooNew(Conflict):
    """The next key was published so recently that somebody may not know it yet."""

    code = "signing_key_too_new"
    hint = "Wait, or pass --now if nobody outside verifies our tokens."


class KeyInUse(Conflict):
    """Tokens of this key may still be alive."""

    code = "signing_key_in_use"
    hint = "Wait until they are over; --force signs their holders out of whatever verifies tokens itself."


class KeyView(Struct, frozen=True, kw_only=True):
    """A key as lists show it. ``retirable_at`` is when the last token it signed is over."""

    kid: str
    algorithm: str
    state: str
    created_at: datetime
    current_at: datetime | None
    previous_at: datetime | None
    retired_at: datetime | None
    retirable_at: datetime | None


class Rotation:
    """Changes the states of keys; one change at a time, in one transaction.

    Args:
        database: Where they are.
        vault: Makes new ones.
        algorithm: Of new ones.
        lifetime_seconds: How long an access token lives.
    """

    def __init__(
        self, database: Database, vault: Vault, algorithm: SigningAlgorithm, *, lifetime_seconds: int
    ) -> None:
        self._database = database
        self._vault = vault
        self._algorithm = algorithm
        self._lifetime = timedelta(seconds=lifetime_seconds + 2 * SKEW_SECONDS)

    async def begin(self) -> Sequence[SigningKeyRow]:
        """Make the first two keys unless another process did; return those that verify."""
        async with self._database.unit_of_work() as work:
            keys = SigningKeyRepository(work)
            await keys.lock()
            if await keys.find_in("current") is None:
                await keys.add(await self._vault.generate(self._algorithm, "current"))
            if await keys.find_in("standby") is None:
                await keys.add(await self._vault.generate(self._algorithm, "standby"))
            await keys.announce()
            return await keys.list_usable()

    async def rotate(self, *, now: bool = False) -> Sequence[KeyView]:
        """Let the standby key sign from now on, make the next one, and return all of them.

        A standby key of another algorithm than is configured now, or one that
        was sealed under another secret, is replaced, and then counts as new.

        Raises:
            KeyTooNew: 409, the next key is not known everywhere yet and ``now`` is false.
        """
        async with self._database.unit_of_work() as work:
            keys = SigningKeyRepository(work)
            await keys.lock()
            standby = await self._standby(work)
            wait = PUBLISHED_SECONDS - (clock.now() - standby.created_at).total_seconds()
            if wait > 0 and not now:
                raise KeyTooNew(f"The next key may not be known everywhere for another {wait:.0f} s.")
            at = clock.now()
            if (current := await keys.find_in("current")) is not None:
                current.state, current.previous_at = "previous", at
            await work.flush()  # before the promotion: the index allows one current key
            standby.state, standby.current_at = "current", at
            await work.flush()
            await keys.add(await self._vault.generate(self._algorithm, "standby"))
            await outbox.publish(
                work, SigningKeysRotated(current=standby.kid, previous=current.kid if current else None)
            )
            await keys.announce()
            return [self._view(row) for row in await keys.list_all()]

    async def retire(self, kid: str | None = None, *, force: bool = False) -> Sequence[KeyView]:
        """Retire the key ``kid``, or every previous one whose tokens are over; return what was retired.

        Raises:
            NotFound: 404. KeyInUse: 409, it is no previous key, or its tokens may be alive and not ``force``.
        """
        async with self._database.unit_of_work() as work:
            keys = SigningKeyRepository(work)
            await keys.lock()
            if kid is not None:
                chosen = [self._admit(await keys.find_by(kid=kid), force=force)]
            else:
                chosen = [row for row in await keys.list_usable() if self._is_over(row)]
            for row in chosen:
                row.state, row.retired_at, row.private_key = "retired", clock.now(), None
                await outbox.publish(work, SigningKeyRetired(kid=row.kid))
            await keys.announce()
            return [self._view(row) for row in chosen]

    async def list_all(self) -> Sequence[KeyView]:
        """Return every key, the current one first."""
        async with self._database.unit_of_work() as work:
            return [self._view(row) for row in await SigningKeyRepository(work).list_all()]

    async def _standby(self, work: AsyncSession) -> SigningKeyRow:
        """Return a standby key that can be used, a new one if need be."""
        keys = SigningKeyRepository(work)
        standby = await keys.find_in("standby")
        if standby is not None and standby.algorithm == self._algorithm and self._opens(standby):
            return standby
        if standby is not None:
            standby.state, standby.retired_at, standby.private_key = "retired", clock.now(), None
            await work.flush()
        return await keys.add(await self._vault.generate(self._algorithm, "standby"))

    def _opens(self, row: SigningKeyRow) -> bool:
        try:
            self._vault.open(row)
        except DecryptionError:
            return False
        return True

    def _admit(self, row: SigningKeyRow | None, *, force: bool) -> SigningKeyRow:
        if row is None:
            raise NotFound("No signing key has this kid.")
        if row.state != "previous":
            raise KeyInUse(f"The key is {row.state}; only a previous one is retired.", hint="Rotate first.")
        if not self._is_over(row) and not force:
            raise KeyInUse(
                f"Tokens of this key may be alive until {self._over_at(row):%Y-%m-%d %H:%M:%S} UTC."
            )
        return row

    def _over_at(self, row: SigningKeyRow) -> datetime | None:
        return row.previous_at + self._lifetime if row.previous_at is not None else None

    def _is_over(self, row: SigningKeyRow) -> bool:
        over_at = self._over_at(row)
        return row.state == "previous" and over_at is not None and over_at <= clock.now()

    def _view(self, row: SigningKeyRow) -> KeyView:
        return KeyView(
            kid=row.kid,
            algorithm=row.algorithm,
            state=row.state,
            created_at=row.created_at,
            current_at=row.current_at,
            previous_at=row.previous_at,
            retired_at=row.retired_at,
            retirable_at=self._over_at(row) if row.state == "previous" else None,
        )
