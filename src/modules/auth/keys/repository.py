"""Every query of signing keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import case, text

from modules.auth.keys.models import STATES, SigningKeyRow
from monohull.kernel.database.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modules.auth.keys.models import KeyState

CHANNEL: Final = "monohull_signing_keys"
"""Notified when a key was added or changed its state."""

_LOCK: Final = text("select pg_advisory_xact_lock(hashtextextended('monohull.signing_keys', 0))")
_NOTIFY: Final = text(f"select pg_notify('{CHANNEL}', '')")


class SigningKeyRepository(Repository[SigningKeyRow]):
    """Keys of every state."""

    model_type = SigningKeyRow

    async def lock(self) -> None:
        """Let nobody else change keys until the unit of work ends."""
        await self.session.execute(_LOCK)

    async def announce(self) -> None:
        """Tell every process, once this is committed."""
        await self.session.execute(_NOTIFY)

    async def list_usable(self) -> Sequence[SigningKeyRow]:
        """Return the keys that verify, the current one first."""
        return await self._list(SigningKeyRow.state != "retired")

    async def list_all(self) -> Sequence[SigningKeyRow]:
        """Return every key there ever was."""
        return await self._list()

    async def find_in(self, state: KeyState) -> SigningKeyRow | None:
        """Return the one key that is ``standby`` or ``current``."""
        return await self.find_by(SigningKeyRow.state == state)

    async def _list(self, *conditions: object) -> Sequence[SigningKeyRow]:
        order = case(*((SigningKeyRow.state == state, place) for place, state in enumerate(STATES)))
        newest = SigningKeyRow.created_at.desc()
        return await self.list_by(*conditions, order_by=[order, newest, SigningKeyRow.id.desc()])  # type: ignore[arg-type]
