"""``grant_type=password``: compare, then open a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modules.auth.errors import (
    EmailNotConfirmed,
    EmailProviderDisabled,
    InvalidCredentials,
    PhoneNotConfirmed,
    PhoneProviderDisabled,
    UserBanned,
    ValidationFailed,
)
from modules.auth.hooks import Hooks
from modules.auth.repositories import IdentityRepository, UserRepository
from modules.auth.rules import normal_phone
from monohull.kernel import clock

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.auth.dtos import PasswordGrant, SessionView
    from modules.auth.limits import Gate
    from modules.auth.models import User
    from modules.auth.origin import Origin
    from modules.auth.passwords import Passwords
    from modules.auth.services.sessions import SessionIssuer
    from modules.auth.settings import AuthSettings
    from monohull.kernel.database.engine import Database


class SignIn:
    """Opens sessions for people who know their password."""

    def __init__(  # noqa: PLR0913, PLR0917 everything that a sign-in asks
        self,
        database: Database,
        passwords: Passwords,
        issuer: SessionIssuer,
        gate: Gate,
        settings: AuthSettings,
        hooks: Hooks | None = None,
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._issuer = issuer
        self._gate = gate
        self._settings = settings
        self._hooks = hooks or Hooks()

    async def open_session(self, grant: PasswordGrant, origin: Origin) -> SessionView:
        """Open a session.

        Whether the account exists, is banned or unconfirmed is told only to who knows its password.

        Raises:
            InvalidCredentials: 400, and never says whether the account exists.
            EmailNotConfirmed, UserBanned: 400.
            RateLimited: 429, too many wrong passwords.
        """
        address = self._address(grant)
        password = grant.password or ""
        user = await self._check(address, password, origin)
        stored = user.encrypted_password or ""
        renewed = await self._passwords.rehash(password) if self._passwords.is_outdated(stored) else stored

        async def open_(work: AsyncSession) -> SessionView:
            locked = await UserRepository(work).lock(user.id)
            if locked is None or locked.encrypted_password != stored:
                raise InvalidCredentials
            locked.encrypted_password = renewed
            await IdentityRepository(work).touch(locked.id, "phone" if grant.phone else "email", clock.now())
            return await self._issuer.open(work, locked, method="password", origin=origin)

        return await self._hooks.transact(self._database, open_)

    def _address(self, grant: PasswordGrant) -> str:
        if grant.email and grant.phone:
            raise ValidationFailed("Only an email address or phone number should be provided on login.")
        if grant.phone:
            if not self._settings.external_phone_enabled:
                raise PhoneProviderDisabled("Phone logins are disabled")
            return normal_phone(grant.phone)
        if not grant.email:
            raise ValidationFailed("missing email or phone")
        if not self._settings.external_email_enabled:
            raise EmailProviderDisabled("Email logins are disabled")
        return grant.email.strip().lower()

    async def _check(self, address: str, password: str, origin: Origin) -> User:
        """Return the user whose password this is. No connection is held while hashing."""
        was_known = await self._gate.admit_password(address, origin)
        user = None
        is_phone = "@" not in address and address.isdigit()
        if "\0" not in address:
            async with self._database.unit_of_work() as work:
                users = UserRepository(work)
                user = await (users.find_by_phone if is_phone else users.find_by_email)(address)
        holds = await self._passwords.verify(password, user.encrypted_password if user else None)
        if user is not None:
            await self._hooks.password_verification_attempt(str(user.id), valid=holds)
        if user is None or not holds:
            await self._gate.count_failure(address, origin, None if user is None else user.id)
            raise InvalidCredentials
        await self._gate.password_held(address, origin, was_known=was_known)
        if user.is_banned:
            raise UserBanned
        if is_phone and user.phone_confirmed_at is None:
            raise PhoneNotConfirmed
        if not is_phone and user.email_confirmed_at is None:
            raise EmailNotConfirmed
        return user
