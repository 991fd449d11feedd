"""Passkeys by who keeps the users."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modules.auth.factors.administration import lock_user
from modules.auth.passkeys.services import find_passkey, list_passkeys, remove_passkey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modules.auth.passkeys.dtos import PasskeyView
    from modules.auth.passkeys.services import Passkeys
    from modules.auth.services.sending import Sender
    from monohull.kernel.database.engine import Database


class PasskeyAdministration:
    """Acts on anybody's passkeys.

    Args:
        database: Where they are.
        passkeys: Says whether there are any.
        sender: Tells people by mail.
    """

    def __init__(self, database: Database, passkeys: Passkeys, sender: Sender) -> None:
        self._database = database
        self._passkeys = passkeys
        self._sender = sender

    async def show_all(self, user_id: str) -> Sequence[PasskeyView]:
        """Return a user's passkeys, oldest first.

        Raises:
            PasskeyDisabled, MalformedUserId, UserNotFound: 404, as all of these.
        """
        self._passkeys.check_enabled()
        async with self._database.unit_of_work() as work:
            return await list_passkeys(work, await lock_user(work, user_id))

    async def delete(self, user_id: str, passkey_id: str) -> None:
        """Take a passkey away from somebody.

        Raises:
            PasskeyNotFound, MalformedPasskeyId: 404.
        """
        self._passkeys.check_enabled()
        async with self._database.unit_of_work() as work:
            user = await lock_user(work, user_id)
            await remove_passkey(self._sender, work, user, await find_passkey(work, user, passkey_id))
