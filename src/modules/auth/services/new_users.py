"""Make users, and say what the database objects to."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct
from sqlalchemy.exc import DBAPIError, IntegrityError

from modules.auth.errors import SavingRefused, UserAlreadyExists
from modules.auth.events import UserSignedUp
from modules.auth.flow_errors import EmailExists, PhoneExists
from modules.auth.hooks import once
from modules.auth.models import Identity, User
from modules.auth.origin import Origin
from modules.auth.repositories import related_to
from modules.auth.views import view_user
from monohull.kernel import clock, outbox
from monohull.kernel.database.engine import driver_error
from monohull.kernel.database.repository import violated_constraint
from monohull.kernel.ids import uuid7

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.auth.dtos import UserView
    from modules.auth.errors import AuthProblem
    from modules.auth.hooks import Hooks

TAKEN: Final[Mapping[str | None, type[AuthProblem]]] = {
    "users_email_partial_key": UserAlreadyExists,
    "identities_provider_id_provider_unique": UserAlreadyExists,
    "pk_users": UserAlreadyExists,
    "uq_users_phone": UserAlreadyExists,
}
CHANGED: Final[Mapping[str | None, type[AuthProblem]]] = {
    **TAKEN,
    "users_email_partial_key": EmailExists,
    "uq_users_phone": PhoneExists,
}
"""The same for users who exist and want another address."""


class Admission(Struct, frozen=True):
    """Who is asked before a user comes to be, and from where the request for one comes."""

    hooks: Hooks
    origin: Origin = Origin()


async def create_user(  # noqa: PLR0913 columns, by name
    work: AsyncSession,
    *,
    admission: Admission | None,
    email: str | None = None,
    phone: str | None = None,
    encrypted_password: str | None = None,
    data: dict[str, Any],
    app_metadata: dict[str, Any] | None = None,
    confirms: bool = True,
    recognised_by: str | None = None,
    **columns: Any,
) -> User:
    """Add a user and what it is recognised by; without address and number it is anonymous.

    Args:
        work: The caller's unit of work.
        admission: Asks the hook ``before_user_created``; None where the project itself names the user.
        email: In lower case.
        phone: E.164 without its plus.
        encrypted_password: A hash, or None.
        data: The user's own metadata.
        app_metadata: Ours, beside ``provider`` and ``providers``.
        confirms: Whether address and number count as proven.
        recognised_by: A provider whose identity the caller adds; then address and number are none.
        **columns: Of ``auth.users``.

    Raises:
        HookRejected, HookTimeout, HookFailed: The project does not want this user, or cannot say.
    """
    at = clock.now()
    provider = recognised_by or ("email" if email else "phone" if phone else None)
    addresses = [name for name, value in (("email", email), ("phone", phone)) if value and not recognised_by]
    providers = [recognised_by] if recognised_by else addresses
    own = {"provider": provider, "providers": providers} if provider else {}
    verified = {"email_verified": True} if email and confirms else {}
    user = User(
        id=columns.pop("id", None) or once("user", uuid7),
        aud=columns.pop("aud", "authenticated"),
        role=columns.pop("role", "authenticated"),
        email=email,
        phone=phone,
        encrypted_password=encrypted_password,
        email_confirmed_at=at if email and confirms else None,
        phone_confirmed_at=at if phone and confirms else None,
        raw_app_meta_data={**own, **(app_metadata or {})},
        raw_user_meta_data={**data, **verified},
        created_at=at,
        updated_at=at,
        is_anonymous=provider is None,
        **columns,
    )
    if admission is not None and admission.hooks.has("before_user_created"):
        shown = msgspec.to_builtins(view_user(user, []))
        await admission.hooks.before_user_created(shown, admission.origin, work)
    work.add(user)
    await work.flush()
    for name in addresses:
        add_identity(work, user, name, data, is_verified=confirms)
    await work.flush()
    await outbox.publish(
        work,
        UserSignedUp(user_id=str(user.id), email=email, provider=provider or "anonymous"),
        key=str(user.id),
    )
    return user


def add_identity(
    work: AsyncSession, user: User, provider: str, data: dict[str, Any], *, is_verified: bool
) -> Identity:
    """Let ``user`` be recognised by its address (``email``) or its number (``phone``)."""
    address = user.email if provider == "email" else user.phone
    identity = Identity(
        id=uuid7(),
        provider_id=str(user.id),
        user_id=user.id,
        identity_data={
            **data,
            "sub": str(user.id),
            provider: address,
            "email_verified": is_verified and provider == "email",
            "phone_verified": is_verified and provider == "phone",
        },
        provider=provider,
        last_sign_in_at=clock.now(),
    )
    work.add(identity)
    return identity


async def view_of(work: AsyncSession, user: User) -> UserView:
    """Return what the wire shows of ``user``."""
    related = await related_to(work, user.id)
    return view_user(user, related.identities, related.factors)


@contextmanager
def refusals(taken: Mapping[str | None, type[AuthProblem]] = TAKEN) -> Iterator[None]:
    """Turn what the database says about a row of ``auth.users`` into an answer.

    Raises:
        UserAlreadyExists: 422, two sign-ups for one address raced and this one lost.
        EmailExists, PhoneExists: 422, with ``CHANGED``.
        SavingRefused: 422, a trigger or constraint of the project raised.
    """
    try:
        yield
    except IntegrityError as error:
        if (problem := taken.get(violated_constraint(error))) is not None:
            raise problem() from error  # type: ignore[call-arg]
        raise _refused(error) from error
    except DBAPIError as error:
        raise _refused(error) from error


def _refused(error: DBAPIError) -> SavingRefused:
    return SavingRefused(
        "Database error saving new user", details=str(driver_error(error)).partition("\n")[0]
    )
