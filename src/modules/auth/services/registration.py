"""Sign up by e-mail and password."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy.exc import DBAPIError, IntegrityError

from modules.auth.errors import (
    AnonymousProviderDisabled,
    EmailProviderDisabled,
    MailUnavailable,
    PhoneProviderDisabled,
    SavingRefused,
    SignupDisabled,
    UserAlreadyExists,
    ValidationFailed,
)
from modules.auth.events import UserSignedUp
from modules.auth.models import Identity, User
from modules.auth.repositories import UserRepository
from modules.auth.rules import check_password, check_storable, normal_email
from monohull.kernel import clock, outbox
from monohull.kernel.database.engine import Database, driver_error
from monohull.kernel.database.repository import violated_constraint
from monohull.kernel.ids import uuid7

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.auth.dtos import SessionView, SignupBody
    from modules.auth.origin import Origin
    from modules.auth.passwords import Passwords
    from modules.auth.services.sessions import SessionIssuer
    from modules.auth.settings import AuthSettings

TAKEN: Final = frozenset({"users_email_partial_key", "identities_provider_id_provider_unique", "pk_users"})


class Registration:
    """Makes users who can sign in at once.

    Args:
        autoconfirms: Whether an address counts as confirmed without a mail.
    """

    def __init__(
        self,
        database: Database,
        passwords: Passwords,
        issuer: SessionIssuer,
        settings: AuthSettings,
        *,
        autoconfirms: bool,
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._issuer = issuer
        self._settings = settings
        self._autoconfirms = autoconfirms

    async def sign_up(self, body: SignupBody, origin: Origin) -> SessionView:
        """Create the user and open its first session.

        Raises:
            AuthProblem: What `_admit` refuses; UserAlreadyExists: 422, also for a user who never
                confirmed, since nothing here proves that the address is the caller's.
            SavingRefused: 422, a trigger of the project's own said no.
        """
        email, password = self._admit(body)
        hashed = await self._passwords.hash(password)
        with refusals():
            async with self._database.unit_of_work() as work:
                if await UserRepository(work).find_by_email(email) is not None:
                    raise UserAlreadyExists
                user = await create_user(work, email=email, encrypted_password=hashed, data=body.data or {})
                return await self._issuer.open(work, user, method="password", origin=origin)

    def _admit(self, body: SignupBody) -> tuple[str, str]:
        if not body.email and not body.phone:
            raise AnonymousProviderDisabled
        if self._settings.disable_signup:
            raise SignupDisabled
        if not body.password:
            raise ValidationFailed("Signup requires a valid password")
        if body.email and body.phone:
            raise ValidationFailed("Only an email address or phone number should be provided on signup.")
        if not body.email:
            raise PhoneProviderDisabled("Phone signups are disabled")
        if not self._settings.external_email_enabled:
            raise EmailProviderDisabled("Email signups are disabled")
        email = normal_email(body.email)
        check_password(body.password, self._settings)
        check_storable(body.data)
        if not self._autoconfirms:
            raise MailUnavailable(
                "Signing up takes a confirmation mail, and this version cannot send one yet"
            )
        return email, body.password


async def create_user(
    work: AsyncSession,
    *,
    email: str,
    encrypted_password: str,
    data: dict[str, Any],
    app_metadata: dict[str, Any] | None = None,
    **columns: Any,
) -> User:
    """Add a user with a confirmed address, and its identity."""
    at = clock.now()
    user = User(
        id=columns.pop("id", None) or uuid7(),
        aud="authenticated",
        role="authenticated",
        email=email,
        encrypted_password=encrypted_password,
        email_confirmed_at=at,
        raw_app_meta_data={"provider": "email", "providers": ["email"], **(app_metadata or {})},
        raw_user_meta_data={**data, "email_verified": True},
        created_at=at,
        updated_at=at,
        is_anonymous=False,
        **columns,
    )
    work.add(user)
    await work.flush()
    identity = {**data, "sub": str(user.id), "email": email, "email_verified": True, "phone_verified": False}
    work.add(
        Identity(
            id=uuid7(),
            provider_id=str(user.id),
            user_id=user.id,
            identity_data=identity,
            provider="email",
            last_sign_in_at=at,
        )
    )
    await outbox.publish(
        work, UserSignedUp(user_id=str(user.id), email=email, provider="email"), key=str(user.id)
    )
    return user


@contextmanager
def refusals() -> Iterator[None]:
    """Turn what the database says about a row of ``auth.users`` into an answer.

    Raises:
        UserAlreadyExists: 422, two sign-ups for one address raced and this one lost.
        SavingRefused: 422, a trigger or constraint of the project raised.
    """
    try:
        yield
    except IntegrityError as error:
        if violated_constraint(error) in TAKEN:
            raise UserAlreadyExists from error
        raise _refused(error) from error
    except DBAPIError as error:
        raise _refused(error) from error


def _refused(error: DBAPIError) -> SavingRefused:
    return SavingRefused(
        "Database error saving new user", details=str(driver_error(error)).partition("\n")[0]
    )
