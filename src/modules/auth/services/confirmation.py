"""What it means for a user that an address or a number was proven."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modules.auth import one_time
from modules.auth.events import (
    EmailChanged,
    EmailConfirmed,
    InvitationAccepted,
    PhoneChanged,
    PhoneConfirmed,
    UserConverted,
)
from modules.auth.flow_errors import EmailExists, OtpExpired, PhoneExists
from modules.auth.repositories import IdentityRepository, OneTimeTokenRepository, UserRepository
from modules.auth.services.new_users import add_identity
from monohull.kernel import clock, outbox

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.auth.models import OneTimeToken, User
    from modules.auth.services.sending import Sender
    from monohull.kernel.events import Event


async def confirm_email(work: AsyncSession, user: User, *, keeps_password: bool) -> None:
    """Note that the user reads the mail of its address.

    Args:
        work: The caller's unit of work.
        user: Locked.
        keeps_password: Whether what was sent belongs to the sign-up that set the password.
    """
    if user.email_confirmed_at is not None:
        return
    if not keeps_password:
        user.encrypted_password = None
    user.email_confirmed_at = clock.now()
    await _verified(work, user, "email")
    await _tell(work, user, EmailConfirmed(user_id=str(user.id), email=user.email or ""))
    if user.invited_at is not None:
        await _tell(work, user, InvitationAccepted(user_id=str(user.id)))


async def confirm_phone(work: AsyncSession, user: User) -> None:
    """Note that the user reads the messages of its number."""
    if user.phone_confirmed_at is not None:
        return
    user.phone_confirmed_at = clock.now()
    await _verified(work, user, "phone")
    await _tell(work, user, PhoneConfirmed(user_id=str(user.id), phone=user.phone or ""))


async def change_email(sender: Sender, work: AsyncSession, user: User, row: OneTimeToken) -> bool:
    """Take one confirmation of ``user.email_change``; return whether that was the last that was needed.

    Raises:
        OtpExpired: 403, the user wants another address by now. EmailExists: 422, somebody else has it.
    """
    is_new = row.token_type == one_time.EMAIL_CHANGE_NEW
    wanted = user.email_change if is_new else user.email
    if not user.email_change or row.relates_to != (wanted or "").lower():
        raise OtpExpired("Email link is invalid or has expired")
    if (
        sender.settings.mailer_secure_email_change_enabled
        and user.email
        and not user.email_change_confirm_status
    ):
        user.email_change_confirm_status = 1
        return False
    await set_email(sender, work, user, user.email_change)
    return True


async def set_email(sender: Sender, work: AsyncSession, user: User, email: str) -> None:
    """Give the user another address, which is proven; tell the old one.

    Raises:
        EmailExists: 422.
    """
    old = user.email or None
    await move_email(work, user, email)
    if old is not None:
        variables = sender.variables(user, old_email=old)
        await sender.courier.notify(work, "email_changed_notification", old, variables)


async def move_email(work: AsyncSession, user: User, email: str) -> None:
    """Give the user another address, which counts as proven; what was sent to the old one is void.

    Raises:
        EmailExists: 422.
    """
    other = await UserRepository(work).find_by_email(email)
    if other is not None and other.id != user.id:
        raise EmailExists
    old = user.email or None
    user.email = email
    user.email_change = ""
    user.email_change_confirm_status = 0
    user.email_confirmed_at = clock.now()
    await OneTimeTokenRepository(work).void(user.id)
    await _verified(work, user, "email")
    await _convert(work, user)
    await _tell(work, user, EmailChanged(user_id=str(user.id), old_email=old, email=email))


async def change_phone(sender: Sender, work: AsyncSession, user: User, phone: str) -> None:
    """Give the user the number it asked for and has proven.

    Raises:
        OtpExpired: 403, the user wants another number by now. PhoneExists: 422, somebody else has it.
    """
    if user.phone_change != phone:
        raise OtpExpired
    await set_phone(sender, work, user, phone)


async def set_phone(sender: Sender, work: AsyncSession, user: User, phone: str) -> None:
    """Give the user another number, which is proven; tell the address.

    Raises:
        PhoneExists: 422.
    """
    had_one = bool(user.phone)
    await move_phone(work, user, phone)
    if had_one and user.email_confirmed_at is not None:
        await sender.notify(work, user, "phone_changed_notification")


async def move_phone(work: AsyncSession, user: User, phone: str) -> None:
    """Give the user another number, which counts as proven.

    Raises:
        PhoneExists: 422.
    """
    other = await UserRepository(work).find_by_phone(phone)
    if other is not None and other.id != user.id:
        raise PhoneExists
    old = user.phone or None
    user.phone = phone
    user.phone_change = ""
    user.phone_confirmed_at = clock.now()
    await _verified(work, user, "phone")
    await _convert(work, user)
    await _tell(work, user, PhoneChanged(user_id=str(user.id), old_phone=old, phone=phone))


async def _verified(work: AsyncSession, user: User, provider: str) -> None:
    """Write into metadata and identity that the address of ``provider`` is proven."""
    address = user.email if provider == "email" else user.phone
    known = await IdentityRepository(work).find_of(user.id, provider)
    is_told = known is None and await _is_recognised_by(work, user, address)
    if known is None and not is_told:
        add_identity(work, user, provider, {}, is_verified=True)
    elif known is not None:
        proven: dict[str, Any] = {provider: address, f"{provider}_verified": True}
        known.identity_data = {**known.identity_data, **proven}
    if provider == "email":
        user.raw_user_meta_data = {**(user.raw_user_meta_data or {}), "email_verified": True}
    own = user.raw_app_meta_data or {}
    providers = [*own.get("providers", [])]
    if provider not in providers and not is_told:
        providers.append(provider)
    user.raw_app_meta_data = {"provider": provider, **own, "providers": providers}
    await work.flush()


async def _is_recognised_by(work: AsyncSession, user: User, address: str | None) -> bool:
    """Say whether a provider told us this address: then it is no identity of its own."""
    told = [row.email for row in await IdentityRepository(work).list_of(user.id)]
    return address is not None and address.lower() in told


async def _convert(work: AsyncSession, user: User) -> None:
    if user.is_anonymous:
        user.is_anonymous = False
        await _tell(work, user, UserConverted(user_id=str(user.id)))


async def _tell(work: AsyncSession, user: User, event: Event) -> None:
    await outbox.publish(work, event, key=str(user.id))
