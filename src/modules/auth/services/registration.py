"""Sign up: by address, by number, or without either.

Whether an address is somebody's is told to nobody: where a mail is needed, who
signs up for an address that is taken sees what everybody sees, as long after
the request as everybody does.

Source: supabase/auth, ``internal/api/signup.go`` and ``anonymous.go``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct

from modules.auth.errors import (
    AnonymousProviderDisabled,
    EmailProviderDisabled,
    PhoneProviderDisabled,
    SignupDisabled,
    UserAlreadyExists,
    ValidationFailed,
)
from modules.auth.events import ConfirmationRequested, SignUpRepeated
from modules.auth.models import User
from modules.auth.one_time import CONFIRMATION
from modules.auth.repositories import UserRepository
from modules.auth.rules import (
    check_channel,
    check_domain,
    check_password,
    check_storable,
    normal_email,
    normal_phone,
)
from modules.auth.services.new_users import Admission, create_user, refusals, view_of
from modules.auth.services.pace import even_pace
from modules.auth.services.pkce import CodeChallenge, begin_flow, challenge_of
from modules.auth.services.sending import CONFIRM, CONFIRM_AGAIN, Purpose, Target
from modules.auth.views import view_user
from monohull.kernel import clock, outbox
from monohull.kernel.ids import uuid7

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.auth.dtos import SessionView, SignupBody, UserView
    from modules.auth.origin import Origin
    from modules.auth.passwords import Passwords
    from modules.auth.services.sending import Sender
    from modules.auth.services.sessions import SessionIssuer
    from monohull.kernel.database.engine import Database


class Application(Struct, frozen=True, kw_only=True):
    """A sign-up that may go on. Either ``email`` or ``phone`` is set."""

    email: str | None
    phone: str | None
    password: str
    data: dict[str, Any]
    channel: str | None
    challenge: CodeChallenge | None


class Registration:
    """Makes users."""

    def __init__(
        self, database: Database, passwords: Passwords, issuer: SessionIssuer, sender: Sender
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._issuer = issuer
        self._sender = sender
        self._settings = sender.settings

    async def sign_up(self, body: SignupBody, origin: Origin, redirect_to: str) -> SessionView | UserView:
        """Create the user; return its first session, or the user that has still to be confirmed.

        Raises:
            AuthProblem: What `admit` refuses; UserAlreadyExists: 422, where nothing has to be confirmed.
            TooManyMails, TooManyTexts: 429.
            SavingRefused: 422, a trigger of the project's own said no.
        """
        if not body.email and not body.phone:
            return await self._anonymous(body, origin)
        application = self.admit(body)
        if self._sender.autoconfirms if application.email else self._settings.sms_autoconfirm:
            return await self._at_once(application, origin)
        async with even_pace():
            return await self._to_be_confirmed(application, origin, redirect_to)

    def admit(self, body: SignupBody) -> Application:
        """Check what does not depend on who has signed up already.

        Raises:
            ValidationFailed, EmailAddressInvalid: 400. SignupDisabled, WeakPassword: 422.
            EmailProviderDisabled, PhoneProviderDisabled: 400.
        """
        if self._settings.disable_signup:
            raise SignupDisabled
        if not body.password:
            raise ValidationFailed("Signup requires a valid password")
        if body.email and body.phone:
            raise ValidationFailed("Only an email address or phone number should be provided on signup.")
        challenge = challenge_of(body)
        email = phone = None
        if body.email:
            if not self._settings.external_email_enabled:
                raise EmailProviderDisabled("Email signups are disabled")
            email = normal_email(body.email)
            check_domain(email, self._settings)
        else:
            phone = self._number(body)
            if challenge is not None:
                raise ValidationFailed("PKCE not supported for phone signups")
        check_password(body.password, self._settings)
        check_storable(body.data)
        return Application(
            email=email,
            phone=phone,
            password=body.password,
            data=body.data or {},
            channel=body.channel,
            challenge=challenge,
        )

    def _number(self, body: SignupBody) -> str:
        if not self._settings.external_phone_enabled:
            raise PhoneProviderDisabled("Phone signups are disabled")
        check_channel(body.channel)
        return normal_phone(body.phone or "")

    async def _anonymous(self, body: SignupBody, origin: Origin) -> SessionView:
        if not self._settings.external_anonymous_users_enabled:
            raise AnonymousProviderDisabled
        if self._settings.disable_signup:
            raise SignupDisabled
        check_storable(body.data)
        await self._sender.limits.anonymous(origin)

        async def create(work: AsyncSession) -> SessionView:
            user = await create_user(
                work, admission=Admission(self._sender.hooks, origin), data=body.data or {}
            )
            return await self._issuer.open(work, user, method="anonymous", origin=origin)

        with refusals():
            return await self._sender.hooks.transact(self._database, create)

    async def _at_once(self, application: Application, origin: Origin) -> SessionView:
        """Create a user who may sign in at once; whoever exists, confirmed or not, is refused."""
        hashed = await self._passwords.hash(application.password)

        async def create(work: AsyncSession) -> SessionView:
            if await self._find(work, application) is not None:
                raise UserAlreadyExists
            user = await self._create(work, application, hashed, origin, confirms=True)
            return await self._issuer.open(work, user, method="password", origin=origin)

        with refusals():
            return await self._sender.hooks.transact(self._database, create)

    async def _to_be_confirmed(self, application: Application, origin: Origin, redirect_to: str) -> UserView:
        """Send what confirms the sign-up; a user who has confirmed already gets nothing."""
        if application.email:
            self._sender.courier.require_mail()
            await self._sender.limits.mail("signup", application.email, origin)
        else:
            assert application.phone is not None
            if not self._sender.secrets.is_test(application.phone):
                self._sender.courier.require_sms()
            await self._sender.limits.text("signup", application.phone, origin)
        hashed = await self._passwords.hash(application.password)
        async with self._database.unit_of_work() as work:
            known = await self._find(work, application)
            stored = known.encrypted_password if known else None
        is_same = await self._passwords.verify(application.password, stored)

        async def create(work: AsyncSession) -> UserView:
            user = await self._find(work, application)
            if user is not None and _is_confirmed(user, application):
                await outbox.publish(work, SignUpRepeated(user_id=str(user.id)), key=str(user.id))
                return _nobody(application)
            purpose = CONFIRM if user is None or is_same else CONFIRM_AGAIN
            user = user or await self._create(work, application, hashed, origin, confirms=False)
            await self._send(work, user, application, purpose, redirect_to)
            await work.flush()
            return await view_of(work, user)

        with refusals():
            return await self._sender.hooks.transact(self._database, create)

    async def _send(
        self, work: AsyncSession, user: User, application: Application, purpose: Purpose, redirect_to: str
    ) -> None:
        address = application.email or application.phone or ""
        if application.email:
            is_pkce = await begin_flow(work, user.id, application.challenge, purpose.method)
            await self._sender.mail(work, user, purpose, Target(address, redirect_to, is_pkce))
        else:
            user.confirmation_sent_at = clock.now()
            await self._sender.text(work, user, CONFIRMATION, to=address, channel=application.channel)
        await outbox.publish(
            work, ConfirmationRequested(user_id=str(user.id), address=address), key=str(user.id)
        )

    @staticmethod
    async def _find(work: AsyncSession, application: Application) -> User | None:
        users = UserRepository(work)
        if application.email:
            return await users.find_by_email(application.email)
        return await users.find_by_phone(application.phone or "")

    async def _create(
        self, work: AsyncSession, application: Application, hashed: str, origin: Origin, *, confirms: bool
    ) -> User:
        return await create_user(
            work,
            admission=Admission(self._sender.hooks, origin),
            email=application.email,
            phone=application.phone,
            encrypted_password=hashed,
            data=application.data,
            confirms=confirms,
        )


def _is_confirmed(user: User, application: Application) -> bool:
    confirmed_at = user.email_confirmed_at if application.email else user.phone_confirmed_at
    return confirmed_at is not None


def _nobody(application: Application) -> UserView:
    """Return what a new user looks like, for who signs up with an address that is taken.

    GoTrue's clients know it by its empty list of identities.
    """
    at = clock.now()
    provider = "email" if application.email else "phone"
    user = User(
        id=uuid7(),
        aud="authenticated",
        role="",
        email=application.email,
        phone=application.phone,
        confirmation_sent_at=at,
        raw_app_meta_data={"provider": provider, "providers": [provider]},
        raw_user_meta_data=application.data,
        created_at=at,
        updated_at=at,
        is_anonymous=False,
    )
    return view_user(user, [])
