"""Ask for a message: a link or code to sign in with, to set a new password, to confirm again.

None of these tells whether the address is somebody's, but the one that GoTrue's
wire has for it: ``create_user: false``.

Source: supabase/auth, ``internal/api/{otp,magic_link,recover,resend}.go``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from modules.auth import one_time
from modules.auth.errors import EmailProviderDisabled, PhoneProviderDisabled, SignupDisabled, ValidationFailed
from modules.auth.events import (
    ConfirmationRequested,
    EmailChangeRequested,
    PasswordRecoveryRequested,
    PhoneChangeRequested,
    SignInLinkRequested,
)
from modules.auth.flow_errors import OtpDisabled
from modules.auth.repositories import UserRepository
from modules.auth.rules import check_channel, check_domain, check_storable, normal_email, normal_phone
from modules.auth.services.new_users import Admission, create_user, refusals
from modules.auth.services.pace import even_pace
from modules.auth.services.pkce import CodeChallenge, begin_flow, challenge_of
from modules.auth.services.sending import CHANGE_CURRENT, CHANGE_NEW, CONFIRM, MAGIC_LINK, RECOVER, Target
from monohull.kernel import clock, outbox

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.auth.dtos import OtpBody, ResendBody
    from modules.auth.models import User
    from modules.auth.origin import Origin
    from modules.auth.services.sending import Sender
    from monohull.kernel.database.engine import Database
    from monohull.kernel.events import Event

RESENDABLE: Final = ("signup", "email_change", "sms", "phone_change")


class Passwordless:
    """Sends what was asked for."""

    def __init__(self, database: Database, sender: Sender) -> None:
        self._database = database
        self._sender = sender
        self._settings = sender.settings

    async def otp(self, body: OtpBody, origin: Origin, redirect_to: str) -> str | None:
        """Send a link or a code to sign in with; return the id of a text message.

        Raises:
            ValidationFailed: 400. OtpDisabled, SignupDisabled: 422.
            TooManyMails, TooManyTexts: 429.
        """
        if body.email and body.phone:
            raise ValidationFailed("Only an email address or phone number should be provided")
        if body.email and body.channel:
            raise ValidationFailed("Channel should only be specified with Phone OTP")
        check_storable(body.data)
        if body.email:
            await self.magic_link(body, origin, redirect_to)
            return None
        if not body.phone:
            raise ValidationFailed("One of email or phone must be set")
        return await self._text(body, origin)

    async def magic_link(self, body: OtpBody, origin: Origin, redirect_to: str) -> None:
        """Send a mail to sign in with, or one that confirms the sign-up of somebody new."""
        if not self._settings.external_email_enabled:
            raise EmailProviderDisabled("Email logins are disabled")
        challenge = challenge_of(body)
        check_storable(body.data)
        email = normal_email(body.email or "")
        if body.create_user:  # before anybody looks whose it is, so that it tells nothing
            check_domain(email, self._settings)
        self._sender.courier.require_mail()
        await self._sender.limits.mail("magiclink", email, origin)

        async def send(work: AsyncSession) -> None:
            confirms = self._sender.autoconfirms
            known = await UserRepository(work).find_by_email(email)
            user = known or await self._create(work, body, origin, email=email, confirms=confirms)
            purpose = CONFIRM if known is None and not confirms else MAGIC_LINK
            is_pkce = await begin_flow(work, user.id, challenge, purpose.method)
            await self._sender.mail(work, user, purpose, Target(email, redirect_to, is_pkce))
            await _tell(work, user, SignInLinkRequested(user_id=str(user.id), address=email))

        async with even_pace():
            with refusals():
                await self._sender.hooks.transact(self._database, send)

    async def recover(self, body: OtpBody, origin: Origin, redirect_to: str) -> None:
        """Send a mail to set a new password with, if the address is somebody's."""
        challenge = challenge_of(body)
        if not body.email:
            raise ValidationFailed("Password recovery requires an email")
        email = normal_email(body.email)
        self._sender.courier.require_mail()
        await self._sender.limits.mail("recovery", email, origin)
        async with even_pace(), self._database.unit_of_work() as work:
            if (user := await UserRepository(work).find_by_email(email)) is None:
                return
            is_pkce = await begin_flow(work, user.id, challenge, RECOVER.method)
            await self._sender.mail(work, user, RECOVER, Target(email, redirect_to, is_pkce))
            await _tell(work, user, PasswordRecoveryRequested(user_id=str(user.id)))

    async def resend(self, body: ResendBody, origin: Origin, redirect_to: str) -> str | None:
        """Send once more what was not answered, if there is something.

        Raises:
            ValidationFailed: 400, the type is not one of `RESENDABLE`, or does not fit the address.
        """
        if body.type not in RESENDABLE:
            raise ValidationFailed("Missing one of these types: " + ", ".join(RESENDABLE))
        if bool(body.email) == bool(body.phone):
            raise ValidationFailed("Type provided requires an email address or a phone number, not both")
        if bool(body.email) != (body.type in ("signup", "email_change")):
            wanted = "an email address" if body.phone else "a phone number"
            raise ValidationFailed(f"Type provided requires {wanted}")
        if body.email:
            await self._resend_mail(body.type, normal_email(body.email), body, origin, redirect_to)
            return None
        return await self._resend_text(body.type, normal_phone(body.phone or ""), origin)

    async def _text(self, body: OtpBody, origin: Origin) -> str | None:
        if not self._settings.external_phone_enabled:
            raise PhoneProviderDisabled("Unsupported phone provider")
        check_channel(body.channel)
        phone = normal_phone(body.phone or "")
        self._require_text(phone)
        await self._sender.limits.text("otp", phone, origin)
        async with even_pace():
            with refusals():
                return await self._sender.hooks.transact(
                    self._database, lambda work: self._text_to(work, phone, body, origin)
                )

    async def _text_to(self, work: AsyncSession, phone: str, body: OtpBody, origin: Origin) -> str | None:
        user = await UserRepository(work).find_by_phone(phone)
        if user is None:
            confirms = self._settings.sms_autoconfirm
            user = await self._create(work, body, origin, phone=phone, confirms=confirms)
        user.confirmation_sent_at = clock.now()
        await _tell(work, user, SignInLinkRequested(user_id=str(user.id), address=phone))
        sent = await self._sender.text(work, user, one_time.CONFIRMATION, to=phone, channel=body.channel)
        return None if sent is None else str(sent)

    async def _create(self, work: AsyncSession, body: OtpBody, origin: Origin, **columns: Any) -> User:
        if not body.create_user:
            raise OtpDisabled
        if self._settings.disable_signup:
            raise SignupDisabled
        admission = Admission(self._sender.hooks, origin)
        return await create_user(work, admission=admission, data=body.data or {}, **columns)

    def _require_text(self, phone: str) -> None:
        if not self._sender.secrets.is_test(phone):
            self._sender.courier.require_sms()

    async def _resend_mail(
        self, kind: str, email: str, body: ResendBody, origin: Origin, redirect_to: str
    ) -> None:
        challenge = challenge_of(body)
        self._sender.courier.require_mail()
        await self._sender.limits.mail(kind, email, origin)
        async with even_pace(), self._database.unit_of_work() as work:
            user = await UserRepository(work).find_by_email(email)
            if user is None:
                return
            if kind == "signup" and user.email_confirmed_at is None:
                is_pkce = await begin_flow(work, user.id, challenge, CONFIRM.method)
                await self._sender.mail(work, user, CONFIRM, Target(email, redirect_to, is_pkce))
                await _tell(work, user, ConfirmationRequested(user_id=str(user.id), address=email))
            elif kind == "email_change" and user.email_change:
                await send_email_change(self._sender, work, user, challenge, redirect_to)

    async def _resend_text(self, kind: str, phone: str, origin: Origin) -> str | None:
        if not self._settings.external_phone_enabled:
            raise PhoneProviderDisabled("Unsupported phone provider")
        self._require_text(phone)
        await self._sender.limits.text("otp" if kind == "sms" else kind, phone, origin)
        async with even_pace(), self._database.unit_of_work() as work:
            users = UserRepository(work)
            if kind == "sms":
                user = await users.find_by_phone(phone)
                if user is None or user.phone_confirmed_at is not None:
                    return None
                user.confirmation_sent_at = clock.now()
                event: Event = ConfirmationRequested(user_id=str(user.id), address=phone)
                token_type = one_time.CONFIRMATION
            else:
                user = next(iter(await users.list_changing_to(phone)), None)
                if user is None:
                    return None
                user.phone_change_sent_at = clock.now()
                event = PhoneChangeRequested(user_id=str(user.id), new_phone=phone)
                token_type = one_time.PHONE_CHANGE
            await _tell(work, user, event)
            sent = await self._sender.text(work, user, token_type, to=phone, channel=None)
            return None if sent is None else str(sent)


async def send_email_change(
    sender: Sender,
    work: AsyncSession,
    user: User,
    challenge: CodeChallenge | None,
    redirect_to: str,
) -> None:
    """Send what confirms ``user.email_change``, to the present address too where that is asked."""
    assert user.email_change
    is_pkce = await begin_flow(work, user.id, challenge, CHANGE_NEW.method)
    user.email_change_confirm_status = 0
    target = Target(user.email_change, redirect_to, is_pkce)
    if not sender.settings.mailer_secure_email_change_enabled or not user.email:
        await sender.mail(work, user, CHANGE_NEW, target)
    elif sender.hooks.has("send_email"):
        await sender.mail_both(work, user, target)
    else:
        await sender.mail(work, user, CHANGE_CURRENT, Target(user.email.lower(), redirect_to, is_pkce))
        await sender.mail(work, user, CHANGE_NEW, target)
    await _tell(work, user, EmailChangeRequested(user_id=str(user.id), new_email=user.email_change))


async def _tell(work: AsyncSession, user: User, event: Event) -> None:
    await outbox.publish(work, event, key=str(user.id))
