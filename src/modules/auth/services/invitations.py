"""Invite people, and make the links that mails would carry.

Source: supabase/auth, ``internal/api/invite.go`` and ``mail.go: adminGenerateLink``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from modules.auth.errors import ValidationFailed
from modules.auth.events import UserInvited
from modules.auth.flow_errors import EmailExists, UserNotFound
from modules.auth.repositories import UserRepository
from modules.auth.rules import check_password, check_recipient, check_storable, normal_email
from modules.auth.services.new_users import Admission, create_user, refusals, view_of
from modules.auth.services.sending import (
    CHANGE_CURRENT,
    CHANGE_NEW,
    CONFIRM,
    INVITE,
    MAGIC_LINK,
    RECOVER,
    Purpose,
    Target,
)
from monohull.kernel import clock, outbox

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.auth.dtos import InviteBody, LinkBody, UserView
    from modules.auth.models import User
    from modules.auth.origin import Origin
    from modules.auth.passwords import Passwords
    from modules.auth.services.sending import Sender
    from monohull.kernel.database.engine import Database

PURPOSES: Final = {
    "signup": CONFIRM,
    "invite": INVITE,
    "magiclink": MAGIC_LINK,
    "recovery": RECOVER,
    "email_change_current": CHANGE_CURRENT,
    "email_change_new": CHANGE_NEW,
}
CREATING: Final = ("signup", "invite", "magiclink")


class Invitations:
    """Makes users who have still to come."""

    def __init__(self, database: Database, passwords: Passwords, sender: Sender) -> None:
        self._database = database
        self._passwords = passwords
        self._sender = sender

    async def invite(self, body: InviteBody, redirect_to: str, origin: Origin) -> UserView:
        """Send an invitation, again if there was one.

        Raises:
            ValidationFailed: 400. EmailExists, MailUnavailable, SavingRefused: 422.
        """
        email = normal_email(body.email or "")
        check_storable(body.data)
        check_recipient(email, self._sender.settings)
        self._sender.courier.require_mail()

        async def send(work: AsyncSession) -> UserView:
            user = await _invitee(work, email, body.data or {}, self._admission(origin))
            await self._sender.mail(work, user, INVITE, Target(email, redirect_to))
            await work.flush()
            return await view_of(work, user)

        with refusals():
            return await self._sender.hooks.transact(self._database, send)

    async def make_link(self, body: LinkBody, redirect_to: str, origin: Origin) -> dict[str, Any]:
        """Return the user, the link and the code that a mail would carry; send nothing.

        Raises:
            ValidationFailed: 400. UserNotFound: 404. EmailExists, WeakPassword, SavingRefused: 422.
        """
        kind = body.type or ""
        if kind not in PURPOSES:
            raise ValidationFailed("Invalid link type: it must be one of " + ", ".join(PURPOSES))
        email = normal_email(body.email or "")
        check_storable(body.data)
        hashed = await self._hash(body) if kind == "signup" else None

        async def make(work: AsyncSession) -> dict[str, Any]:
            user = await UserRepository(work).find_by_email(email)
            made = "signup" if user is None and kind == "magiclink" else kind
            if made == "invite":
                user = await _invitee(work, email, body.data or {}, self._admission(origin))
            elif made == "signup":
                user = await self._newcomer(work, user, body, hashed, origin)
            elif user is None:
                raise UserNotFound("User with this email not found")
            elif made.startswith("email_change"):
                await self._want(work, user, made, body)
            purpose = PURPOSES[made]
            to = user.email_change if purpose is CHANGE_NEW else email
            return await self._link(work, user, made, Target(to or email, redirect_to))

        with refusals():
            return await self._sender.hooks.transact(self._database, make)

    async def _hash(self, body: LinkBody) -> str:
        if not body.password:
            raise ValidationFailed("Signup requires a valid password")
        check_password(body.password, self._sender.settings)
        return await self._passwords.hash(body.password)

    def _admission(self, origin: Origin) -> Admission:
        return Admission(self._sender.hooks, origin)

    async def _newcomer(
        self, work: AsyncSession, user: User | None, body: LinkBody, hashed: str | None, origin: Origin
    ) -> User:
        """Return who signs up, made where there is none yet.

        Raises:
            EmailExists: 422, they have confirmed already.
        """
        if user is not None and user.email_confirmed_at is not None:
            raise EmailExists
        if user is None:
            return await create_user(
                work,
                admission=self._admission(origin),
                email=normal_email(body.email or ""),
                encrypted_password=hashed,
                data=body.data or {},
                confirms=False,
            )
        user.encrypted_password = hashed or user.encrypted_password
        return user

    async def _want(self, work: AsyncSession, user: User, kind: str, body: LinkBody) -> None:
        """Note the address that ``user`` shall have."""
        if kind == "email_change_current" and not self._sender.settings.mailer_secure_email_change_enabled:
            raise ValidationFailed("Enable secure email change to generate link for current email")
        new = normal_email(body.new_email or "")
        if await UserRepository(work).find_by_email(new) is not None:
            raise EmailExists
        if user.email_change != new:
            user.email_change = new
            user.email_change_confirm_status = 0

    async def _link(self, work: AsyncSession, user: User, kind: str, target: Target) -> dict[str, Any]:
        purpose: Purpose = PURPOSES[kind]
        issued = await self._sender.issue(work, user, purpose, to=target.to)
        await work.flush()
        shown: dict[str, Any] = msgspec.to_builtins(await view_of(work, user))
        return shown | {
            "action_link": self._sender.link(issued, purpose, target.redirect_to),
            "email_otp": issued.code,
            "hashed_token": issued.token,
            "verification_type": kind,
            "redirect_to": target.redirect_to,
        }


async def _invitee(work: AsyncSession, email: str, data: dict[str, Any], admission: Admission) -> User:
    """Return a user who is invited from now on.

    Raises:
        EmailExists: 422, somebody has confirmed this address.
    """
    user = await UserRepository(work).find_by_email(email)
    if user is not None and user.email_confirmed_at is not None:
        raise EmailExists
    if user is None:
        user = await create_user(work, admission=admission, email=email, data=data, confirms=False)
    user.invited_at = clock.now()
    await outbox.publish(work, UserInvited(user_id=str(user.id), email=email), key=str(user.id))
    return user
