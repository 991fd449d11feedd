"""``PUT /user`` and ``/reauthenticate``: what users change of their own account, and what that takes.

Source: supabase/auth, ``internal/api/user.go`` and ``reauthenticate.go``.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from modules.auth import one_time
from modules.auth.errors import (
    CurrentPasswordInvalid,
    NotAdmin,
    PhoneProviderDisabled,
    SamePassword,
    UnknownBearer,
    ValidationFailed,
)
from modules.auth.events import (
    PasswordChanged,
    PhoneChangeRequested,
    ReauthenticationRequested,
    UserUpdated,
)
from modules.auth.flow_errors import (
    CurrentPasswordRequired,
    EmailExists,
    InsufficientAal,
    PhoneExists,
    ReauthenticationNeeded,
    ReauthenticationNotValid,
    UserSsoManaged,
)
from modules.auth.repositories import (
    FactorRepository,
    OneTimeTokenRepository,
    SessionRepository,
    UserRepository,
)
from modules.auth.rules import (
    check_channel,
    check_domain,
    check_password,
    check_storable,
    normal_email,
    normal_phone,
)
from modules.auth.services.account import Bearer, bearer_of
from modules.auth.services.confirmation import set_email, set_phone
from modules.auth.services.new_users import CHANGED, refusals, view_of
from modules.auth.services.passwordless import send_email_change
from modules.auth.services.pkce import challenge_of
from modules.auth.services.sending import REAUTHENTICATE, Target
from monohull.kernel import clock, outbox
from monohull.kernel.principal import PrincipalKind

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.auth.dtos import UpdateBody, UserView
    from modules.auth.models import User
    from modules.auth.origin import Origin
    from modules.auth.passwords import Passwords
    from modules.auth.services.sending import Sender
    from monohull.kernel.database.engine import Database
    from monohull.kernel.principal import Principal

FRESH: Final = timedelta(hours=24)
"""How young a session has to be for a new password without a nonce, where nonces are asked for."""


class Changes:
    """Changes the caller's account."""

    def __init__(self, database: Database, passwords: Passwords, sender: Sender) -> None:
        self._database = database
        self._passwords = passwords
        self._sender = sender
        self._settings = sender.settings

    async def update(
        self, principal: Principal, body: UpdateBody, origin: Origin, redirect_to: str
    ) -> UserView:
        """Change metadata, password, address or number; a new password ends the other sessions.

        Raises:
            ValidationFailed, CurrentPasswordRequired, CurrentPasswordInvalid, ReauthenticationNeeded: 400.
            InsufficientAal: 401. NotAdmin: 403, ``app_metadata`` is not the user's to change.
            WeakPassword, SamePassword, EmailExists, PhoneExists, UserSsoManaged: 422.
            TooManyMails, TooManyTexts: 429.
        """
        async with self._database.unit_of_work() as work:
            bearer = await bearer_of(work, principal)
            await self._admit(work, body, bearer, principal)
        email, phone = self._wanted(body, bearer.user)
        if email is not None:
            await self._count_mail(bearer.user, email, origin)
        if phone is not None:
            await self._count_text(phone, origin)
        hashed = await self._new_password(body, bearer.user) if body.password is not None else None
        with refusals(CHANGED):
            async with self._database.unit_of_work() as work:
                if (user := await UserRepository(work).lock(bearer.user.id)) is None:
                    raise UnknownBearer
                changed = self._set_data(user, body.data)
                if hashed is not None:
                    changed += await self._set_password(work, user, bearer, body, hashed)
                if email is not None:
                    changed += await self._change_email(work, user, email, body, redirect_to)
                if phone is not None:
                    changed += await self._change_phone(work, user, phone, body.channel)
                if changed:
                    event = UserUpdated(user_id=str(user.id), changed=tuple(changed))
                    await outbox.publish(work, event, key=str(user.id))
                await work.flush()
                return await view_of(work, user)

    async def reauthenticate(self, principal: Principal, origin: Origin) -> None:
        """Send a nonce to the caller's address, or number when there is no address.

        Raises:
            ValidationFailed: 400, there is neither.
            TooManyMails, TooManyTexts: 429.
        """
        async with self._database.unit_of_work() as work:
            user = (await bearer_of(work, principal)).user
        by_mail = bool(user.email and user.email_confirmed_at)
        if by_mail:
            self._sender.courier.require_mail()
            await self._sender.limits.mail("reauthentication", user.email or "", origin)
        elif user.phone and user.phone_confirmed_at:
            await self._count_text(user.phone, origin)
        else:
            raise ValidationFailed("Reauthentication requires the user to have a confirmed email or phone")
        async with self._database.unit_of_work() as work:
            if (locked := await UserRepository(work).lock(user.id)) is None:
                raise UnknownBearer
            if by_mail:
                to = (locked.email or "").lower()
                await self._sender.mail(work, locked, REAUTHENTICATE, Target(to, ""))
            else:
                locked.reauthentication_sent_at = clock.now()
                await self._sender.text(
                    work, locked, one_time.REAUTHENTICATION, to=locked.phone or "", channel=None
                )
            event = ReauthenticationRequested(user_id=str(locked.id))
            await outbox.publish(work, event, key=str(locked.id))

    async def _admit(
        self, work: AsyncSession, body: UpdateBody, bearer: Bearer, principal: Principal
    ) -> None:
        if body.app_metadata is not None and principal.kind is not PrincipalKind.SERVICE:
            raise NotAdmin
        check_storable(body.data)
        check_channel(body.channel)
        challenge_of(body)
        if body.password is None and not body.email and not body.phone:
            return
        user = bearer.user
        if user.is_sso_user:
            raise UserSsoManaged
        if bearer.aal != "aal2" and await FactorRepository(work).has_verified(user.id):
            raise InsufficientAal
        if body.password is not None:
            if user.is_anonymous and not (body.email or body.phone):
                raise ValidationFailed(
                    "Updating password of an anonymous user without an email or phone is not allowed"
                )
            await self._check_fresh(work, body, bearer)

    async def _check_fresh(self, work: AsyncSession, body: UpdateBody, bearer: Bearer) -> None:
        """Ask for a nonce where the settings do and the session is old."""
        if not self._settings.security_update_password_require_reauthentication or body.nonce:
            return
        session = await SessionRepository(work).find_by_id(bearer.session_id) if bearer.session_id else None
        if session is None or session.created_at + FRESH < clock.now():
            raise ReauthenticationNeeded

    def _wanted(self, body: UpdateBody, user: User) -> tuple[str | None, str | None]:
        """Return address and number as far as they are to be others than now."""
        email = normal_email(body.email) if body.email else None
        phone = normal_phone(body.phone) if body.phone else None
        if phone is not None and phone != user.phone and not self._settings.external_phone_enabled:
            raise PhoneProviderDisabled("Phone numbers cannot be used here")
        if email is not None and email != (user.email or "").lower():
            check_domain(email, self._settings)
        return (
            email if email != (user.email or "").lower() else None,
            phone if phone != (user.phone or "") else None,
        )

    async def _count_mail(self, user: User, email: str, origin: Origin) -> None:
        if self._sender.autoconfirms and user.is_anonymous:
            return
        self._sender.courier.require_mail()
        await self._sender.limits.mail("email_change", email, origin)

    async def _count_text(self, phone: str, origin: Origin) -> None:
        if self._settings.sms_autoconfirm:
            return
        if not self._sender.secrets.is_test(phone):
            self._sender.courier.require_sms()
        await self._sender.limits.text("phone_change", phone, origin)

    async def _new_password(self, body: UpdateBody, user: User) -> str:
        assert body.password is not None
        check_password(body.password, self._settings)
        stored = user.encrypted_password or None
        if body.current_password is None:
            if stored and self._settings.security_update_password_require_current_password:
                raise CurrentPasswordRequired
        elif not await self._passwords.verify(body.current_password, stored):
            raise CurrentPasswordInvalid
        if stored is not None and await self._passwords.verify(body.password, stored):
            raise SamePassword
        return await self._passwords.hash(body.password)

    @staticmethod
    def _set_data(user: User, data: dict[str, Any] | None) -> list[str]:
        if not data:
            return []
        merged = {**(user.raw_user_meta_data or {}), **data}
        user.raw_user_meta_data = {name: value for name, value in merged.items() if value is not None}
        return ["user_metadata"]

    async def _set_password(
        self, work: AsyncSession, user: User, bearer: Bearer, body: UpdateBody, hashed: str
    ) -> list[str]:
        if body.nonce and self._settings.security_update_password_require_reauthentication:
            await self._spend_nonce(work, user, body.nonce)
        user.encrypted_password = hashed
        await OneTimeTokenRepository(work).void(user.id, one_time.RECOVERY, one_time.REAUTHENTICATION)
        await SessionRepository(work).end(user.id, but=bearer.session_id)
        await outbox.publish(work, PasswordChanged(user_id=str(user.id)), key=str(user.id))
        await self._sender.notify(work, user, "password_changed_notification")
        return ["password"]

    async def _spend_nonce(self, work: AsyncSession, user: User, nonce: str) -> None:
        addresses = filter(None, ((user.email or "").lower(), user.phone))
        hashes = [found for address in addresses for found in self._sender.secrets.hashes(address, nonce)]
        row = await OneTimeTokenRepository(work).take(hashes, [one_time.REAUTHENTICATION], user_id=user.id)
        if row is None or not self._sender.secrets.is_alive(row.relates_to, row.created_at):
            raise ReauthenticationNotValid

    async def _change_email(
        self, work: AsyncSession, user: User, email: str, body: UpdateBody, redirect_to: str
    ) -> list[str]:
        if await UserRepository(work).find_by_email(email) is not None:
            raise EmailExists
        if self._sender.autoconfirms and user.is_anonymous:
            await set_email(self._sender, work, user, email)
            return ["email"]
        user.email_change = email
        await send_email_change(self._sender, work, user, challenge_of(body), redirect_to)
        return ["email_change"]

    async def _change_phone(
        self, work: AsyncSession, user: User, phone: str, channel: str | None
    ) -> list[str]:
        if await UserRepository(work).find_by_phone(phone) is not None:
            raise PhoneExists
        if self._settings.sms_autoconfirm:
            await set_phone(self._sender, work, user, phone)
            return ["phone"]
        user.phone_change = phone
        user.phone_change_sent_at = clock.now()
        await self._sender.text(work, user, one_time.PHONE_CHANGE, to=phone, channel=channel)
        event = PhoneChangeRequested(user_id=str(user.id), new_phone=phone)
        await outbox.publish(work, event, key=str(user.id))
        return ["phone_change"]
