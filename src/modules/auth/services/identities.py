"""Identities of one's own: add one at a provider, remove one.

Source: supabase/auth, ``internal/api/identity.go``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from modules.auth.errors import UnknownBearer
from modules.auth.events import EmailChanged, IdentityUnlinked
from modules.auth.flow_errors import InsufficientAal, UserSsoManaged
from modules.auth.providers.errors import (
    EmailConflictIdentityNotDeletable,
    IdentityNotFound,
    MalformedIdentityId,
    ManualLinkingDisabled,
    SingleIdentityNotDeletable,
)
from modules.auth.repositories import (
    FactorRepository,
    IdentityRepository,
    OneTimeTokenRepository,
    UserRepository,
)
from modules.auth.services.account import bearer_of
from modules.auth.services.provider_users import set_providers
from monohull.kernel import clock, outbox

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.auth.models import Identity, User
    from modules.auth.services.external import ExternalSignIn, Wish
    from modules.auth.services.sending import Sender
    from monohull.kernel.database.engine import Database
    from monohull.kernel.principal import Principal


class Identities:
    """The caller's identities."""

    def __init__(self, database: Database, external: ExternalSignIn, sender: Sender) -> None:
        self._database = database
        self._external = external
        self._sender = sender
        self._settings = sender.settings

    async def begin_link(self, principal: Principal, wish: Wish) -> str:
        """Return where the caller's browser goes to get another identity.

        Raises:
            AuthProblem: What `linking_user` refuses, and what `ExternalSignIn.begin` does.
            ManualLinkingDisabled: 404.
        """
        self._require_linking()
        async with self._database.unit_of_work() as work:
            user_id = (await linking_user(work, principal)).id
        return await self._external.begin(wish, linking=user_id)

    async def unlink(self, principal: Principal, identity_id: str) -> None:
        """Remove one of several identities; the address moves to one that is left.

        Raises:
            AuthProblem: What `linking_user` refuses. ManualLinkingDisabled, MalformedIdentityId: 404.
            SingleIdentityNotDeletable, IdentityNotFound, EmailConflictIdentityNotDeletable: 422.
        """
        self._require_linking()
        try:
            parsed = UUID(identity_id)
        except ValueError:
            raise MalformedIdentityId from None
        async with self._database.unit_of_work() as work:
            bearer = await linking_user(work, principal)
            user = await UserRepository(work).lock(bearer.id)
            if user is None:
                raise UnknownBearer
            identities = await IdentityRepository(work).list_of(user.id)
            if len(identities) <= 1:
                raise SingleIdentityNotDeletable
            gone = next((identity for identity in identities if identity.id == parsed), None)
            if gone is None:
                raise IdentityNotFound
            await self._remove(
                work, user, gone, [identity for identity in identities if identity is not gone]
            )

    async def _remove(self, work: AsyncSession, user: User, gone: Identity, left: Sequence[Identity]) -> None:
        address = user.email if user.email_confirmed_at is not None else None
        await work.delete(gone)
        await work.flush()
        if gone.provider == "phone":
            user.phone = None
            user.phone_confirmed_at = None
        else:
            if gone.provider == "email":
                user.encrypted_password = None
            await _move_address(work, user, left)
        await set_providers(work, user)
        event = IdentityUnlinked(user_id=str(user.id), provider=gone.provider)
        await outbox.publish(work, event, key=str(user.id))
        variables = self._sender.variables(user, email=address or "", provider=gone.provider)
        await self._sender.courier.notify(work, "identity_unlinked_notification", address, variables)

    def _require_linking(self) -> None:
        if not self._settings.security_manual_linking_enabled:
            raise ManualLinkingDisabled


async def linking_user(work: AsyncSession, principal: Principal) -> User:
    """Return the caller, if this session may change how they sign in.

    Raises:
        AuthProblem: What `bearer_of` refuses. InsufficientAal: 401, there is a second factor and it was not
            used. UserSsoManaged: 422.
    """
    bearer = await bearer_of(work, principal)
    user = bearer.user
    if user.is_sso_user:
        raise UserSsoManaged
    if bearer.aal != "aal2" and await FactorRepository(work).has_verified(user.id):
        raise InsufficientAal
    return user


async def _move_address(work: AsyncSession, user: User, left: Sequence[Identity]) -> None:
    """Give the user an address that one of the identities that are left has proven.

    Raises:
        EmailConflictIdentityNotDeletable: 422, somebody else has it.
    """
    old = user.email
    told = [row.email for row in left if row.email]
    if not old or old.lower() in told:
        return
    proven = [row.email for row in left if row.email and row.identity_data.get("email_verified")]
    email = proven[0] if proven else None
    if email is not None and await UserRepository(work).find_by_email(email) is not None:
        raise EmailConflictIdentityNotDeletable
    user.email = email
    user.email_confirmed_at = clock.now() if email is not None else None
    user.encrypted_password = None if email is None else user.encrypted_password
    await OneTimeTokenRepository(work).void(user.id)
    if email is not None:
        event = EmailChanged(user_id=str(user.id), old_email=old, email=email)
        await outbox.publish(work, event, key=str(user.id))
