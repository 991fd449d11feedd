"""`KeyRing`: the signing keys that one process knows at the moment.

Read at the start, again when the database says that they changed, every
`POLL_SECONDS` in case it could not say so, and at once when a token names a
key that this process has not heard of: another process may have rotated a
moment ago. So no token is refused for having come too early.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, ClassVar, Final

from sqlalchemy.exc import SQLAlchemyError

from modules.auth.keys.repository import SigningKeyRepository
from modules.auth.keys.vault import public_half
from monohull.kernel import clock
from monohull.kernel.crypto import DecryptionError
from monohull.kernel.errors import Unavailable
from monohull.kernel.observation import SILENT, Level, Observation
from monohull.kernel.tasks import beside

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from modules.auth.key_sets import SigningKey
    from modules.auth.keys.models import SigningKeyRow
    from modules.auth.keys.rotation import Rotation
    from modules.auth.keys.vault import Vault
    from monohull.kernel.database.engine import Database
    from monohull.kernel.observation import Observer

POLL_SECONDS: Final = 15.0
RETRY_SECONDS: Final = 0.5
LEARN_INTERVAL_SECONDS: Final = 0.25
"""However many tokens name keys that nobody has: so often is the database asked, and they all wait for it."""


class SigningUnavailable(Unavailable):
    """No token can be signed for now."""

    code = "signing_unavailable"
    hint = "If MONOHULL_JWT_SECRET was replaced, make keys under the new one: monohull keys rotate --now"


class SigningKeysLoaded(Observation, frozen=True):
    """This process knows these signing keys from now on."""

    event: ClassVar[str] = "auth.signing_keys_loaded"

    current: str | None
    keys: int


class SigningKeysUnreadable(Observation, frozen=True):
    """The signing keys could not be read; those that were known before are still in use."""

    event: ClassVar[str] = "auth.signing_keys_unreadable"
    level: ClassVar[Level] = "warning"

    reason: str


class KeyRing:
    """Knows the keys.

    Args:
        database: Where they are.
        vault: Opens their private halves.
        rotation: Makes the first ones; None where something else signs, and then none are made.
        observer: Told when they changed, and when they cannot be read.
    """

    def __init__(
        self, database: Database, vault: Vault, rotation: Rotation | None, observer: Observer = SILENT
    ) -> None:
        self._database = database
        self._vault = vault
        self._rotation = rotation
        self._observer = observer
        self._keys: tuple[SigningKey, ...] = ()
        self._signer: SigningKey | None = None
        self._states: tuple[tuple[str, str], ...] | None = None
        self._changed: list[Callable[[], None]] = []
        self._reading = asyncio.Lock()
        self._read_at = float("-inf")
        self._wanted = asyncio.Event()

    @property
    def signs(self) -> bool:
        """Whether new tokens are signed by a key of this ring."""
        return self._rotation is not None

    @property
    def keys(self) -> Sequence[SigningKey]:
        """The keys that verify: current, standby, previous."""
        return self._keys

    @property
    def signer(self) -> SigningKey:
        """The current key.

        Raises:
            SigningUnavailable: 503, it is not known yet, or was sealed under another secret.
        """
        if self._signer is None:
            raise SigningUnavailable("There is no key to sign tokens with at the moment.")
        return self._signer

    def on_change(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called each time that a key was added or changed its state."""
        self._changed.append(callback)

    def request_reload(self, _: str | None = None) -> None:
        """Have the keys read again soon."""
        self._wanted.set()

    async def ready(self) -> None:
        """Return once the keys were read.

        Raises:
            Unavailable: 503, they cannot be.
        """
        if self._states is None:
            async with self._reading:
                if self._states is None:
                    await self._read()

    async def learn(self) -> None:
        """Read the keys again, because a token names one that is not known.

        Raises:
            Unavailable: 503, nobody can say at the moment.
        """
        asked_at = clock.monotonic_seconds()
        async with self._reading:
            if self._read_at >= asked_at:
                return  # somebody read them while this one waited
            await asyncio.sleep(max(0.0, self._read_at + LEARN_INTERVAL_SECONDS - clock.monotonic_seconds()))
            await self._read()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the keys fresh while the block runs; a database that is away delays no start."""
        with suppress(Unavailable, SQLAlchemyError):
            await self.ready()
        async with beside(self._keep(), name="signing keys"):
            yield

    async def _keep(self) -> None:
        while True:
            pause = POLL_SECONDS if self._states is not None else RETRY_SECONDS
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wanted.wait()
            self._wanted.clear()
            try:
                async with self._reading:
                    await self._read()
            except (Unavailable, SQLAlchemyError) as error:
                self._observer.observe(SigningKeysUnreadable(reason=str(error).partition("\n")[0]))

    async def _read(self) -> None:
        began = clock.monotonic_seconds()
        async with self._database.unit_of_work() as work:
            rows = await SigningKeyRepository(work).list_usable()
        if self._rotation is not None and not any(row.state == "current" for row in rows):
            rows = await self._rotation.begin()
        self._read_at = began
        states = tuple((row.kid, row.state) for row in rows)
        if states == self._states:
            return
        self._signer = self._open(rows)
        self._keys = tuple(
            self._signer if self._signer is not None and row.state == "current" else public_half(row)
            for row in rows
        )
        self._states = states
        self._observer.observe(
            SigningKeysLoaded(
                current=next((kid for kid, s in states if s == "current"), None), keys=len(rows)
            )
        )
        for callback in self._changed:
            callback()

    def _open(self, rows: Sequence[SigningKeyRow]) -> SigningKey | None:
        current = next((row for row in rows if row.state == "current"), None)
        if current is None:
            return None
        try:
            return self._vault.open(current)
        except DecryptionError as error:
            self._observer.observe(SigningKeysUnreadable(reason=str(error)))
            return None
