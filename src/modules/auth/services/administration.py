"""What administrators do with users: everything, at once, and without a mail.

Source: supabase/auth, ``internal/api/admin.go``.
"""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from modules.auth.errors import ValidationFailed
from modules.auth.events import (
    PasswordChanged,
    UserBanned,
    UserDeleted,
    UserModified,
    UserUnbanned,
)
from modules.auth.flow_errors import EmailExists, MalformedUserId, PhoneExists, UserNotFound
from modules.auth.models import User
from modules.auth.passwords import is_known
from modules.auth.repositories import (
    IdentityRepository,
    OneTimeTokenRepository,
    SessionRepository,
    UserRepository,
    related_to_each,
)
from modules.auth.rules import check_password, check_storable, normal_email, normal_phone
from modules.auth.services.confirmation import confirm_email, confirm_phone, move_email, move_phone
from modules.auth.services.new_users import CHANGED, Admission, create_user, refusals, view_of
from modules.auth.settings import duration_seconds
from modules.auth.views import view_user
from monohull.kernel import clock, outbox

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.auth.dtos import AdminUser, UserView
    from modules.auth.origin import Origin
    from modules.auth.passwords import Passwords
    from modules.auth.services.sending import Sender
    from monohull.kernel.database.engine import Database
    from monohull.kernel.pagination import Page

SORTABLE: Final = {
    "created_at": User.created_at,
    "updated_at": User.updated_at,
    "last_sign_in_at": User.last_sign_in_at,
    "email": User.email,
    "phone": User.phone,
    "id": User.id,
}
MAX_BAN_SECONDS: Final = 1000 * 365 * 86_400


class Administration:
    """Acts on anybody's account."""

    def __init__(self, database: Database, passwords: Passwords, sender: Sender) -> None:
        self._database = database
        self._passwords = passwords
        self._settings = sender.settings
        self._hooks = sender.hooks

    async def list_users(self, page: Page, sort: str, matching: str | None) -> tuple[Sequence[UserView], int]:
        """Return a page of the users, and how many there are.

        Raises:
            ValidationFailed: 400, ``sort`` is no column with or without a direction.
        """
        if matching is not None:
            check_storable(matching)
        order = _order(sort)
        async with self._database.unit_of_work() as work:
            users, total = await UserRepository(work).list_page(
                limit=page.limit, offset=page.offset, order_by=order, matching=matching
            )
            related = await related_to_each(work, [user.id for user in users])
            return [
                view_user(user, related[user.id].identities, related[user.id].factors) for user in users
            ], total

    async def show(self, user_id: str) -> UserView:
        """Return a user, or what soft deletion left of one.

        Raises:
            MalformedUserId, UserNotFound: 404, as all of these.
        """
        async with self._database.unit_of_work() as work:
            return await view_of(work, await lock_user(work, user_id, deleted_too=True))

    async def create(self, body: AdminUser, origin: Origin) -> UserView:
        """Create a user.

        Raises:
            ValidationFailed: 400. EmailExists, PhoneExists, UserAlreadyExists, SavingRefused: 422.
        """
        if not body.email and not body.phone:
            raise ValidationFailed("Cannot create a user without either an email or phone")
        email, phone, hashed = await self._read(body)
        columns: dict[str, Any] = {"banned_until": _banned_until(body.ban_duration)}
        columns |= {"role": body.role} if body.role else {}

        async def create(work: AsyncSession) -> UserView:
            await _check_free(work, email, phone)
            user = await create_user(
                work,
                admission=Admission(self._hooks, origin),
                email=email,
                phone=phone,
                encrypted_password=hashed,
                data=body.user_metadata or {},
                app_metadata=body.app_metadata,
                confirms=False,
                id=_uuid(body.id),
                **columns,
            )
            await self._confirm(work, user, body)
            await work.flush()
            return await view_of(work, user)

        with refusals(CHANGED):
            return await self._hooks.transact(self._database, create)

    async def update(self, user_id: str, body: AdminUser) -> UserView:
        """Change a user at once.

        Raises:
            ValidationFailed: 400. EmailExists, PhoneExists, SavingRefused: 422.
        """
        email, phone, hashed = await self._read(body)
        with refusals(CHANGED):
            async with self._database.unit_of_work() as work:
                user = await lock_user(work, user_id)
                changed = _merge(user, body)
                if email is not None and email != (user.email or "").lower():
                    await move_email(work, user, email)
                    changed.append("email")
                if phone is not None and phone != user.phone:
                    await move_phone(work, user, phone)
                    changed.append("phone")
                await self._confirm(work, user, body)
                if hashed is not None:
                    await _set_password(work, user, hashed)
                    changed.append("password")
                if body.ban_duration is not None:
                    await _ban(work, user, _banned_until(body.ban_duration))
                    changed.append("ban")
                event = UserModified(user_id=str(user.id), changed=tuple(changed))
                await outbox.publish(work, event, key=str(user.id))
                await work.flush()
                return await view_of(work, user)

    async def delete(self, user_id: str, *, softly: bool) -> None:
        """Delete a user and everything of theirs; ``softly`` leaves a row that says nothing about anybody.

        What a soft deletion left can be deleted for good later.
        """
        async with self._database.unit_of_work() as work:
            user = await lock_user(work, user_id, deleted_too=True)
            if softly and user.deleted_at is not None:
                return
            event = UserDeleted(user_id=str(user.id), soft=softly)
            await outbox.publish(work, event, key=str(user.id))
            if softly:
                await _obscure(work, user)
            else:
                await work.delete(user)
                await work.flush()
            # behind what the user's row brings with it: whoever changes roles locks sessions last too
            await SessionRepository(work).end(user.id)

    async def _read(self, body: AdminUser) -> tuple[str | None, str | None, str | None]:
        """Return address, number and hash of a body, as far as it has them."""
        check_storable([body.user_metadata, body.app_metadata, body.role])
        email = normal_email(body.email) if body.email else None
        phone = normal_phone(body.phone) if body.phone else None
        if body.password and body.password_hash:
            raise ValidationFailed("Only a password or a password hash should be provided")
        if body.password_hash:
            if "\0" in body.password_hash or not is_known(body.password_hash):
                raise ValidationFailed("The password hash is of a kind that cannot be compared with")
            return email, phone, body.password_hash
        if body.password:
            check_password(body.password, self._settings)
            return email, phone, await self._passwords.hash(body.password)
        return email, phone, None

    @staticmethod
    async def _confirm(work: AsyncSession, user: User, body: AdminUser) -> None:
        if body.email_confirm and user.email:
            await confirm_email(work, user, keeps_password=True)
        if body.phone_confirm and user.phone:
            await confirm_phone(work, user)


def _order(sort: str) -> list[Any]:
    name, _, direction = sort.strip().lower().partition(" ")
    if (column := SORTABLE.get(name)) is None or direction.strip() not in ("", "asc", "desc"):
        raise ValidationFailed(f"Bad Sort Parameters: {sort[:40]!r}; sort by " + ", ".join(SORTABLE))
    is_descending = direction.strip() == "desc"
    return [column.desc().nulls_last(), User.id] if is_descending else [column.asc().nulls_last(), User.id]


def _uuid(text: str | None) -> UUID | None:
    if not text:
        return None
    try:
        return UUID(text)
    except ValueError:
        raise ValidationFailed("ID must conform to the uuid v4 format") from None


async def lock_user(work: AsyncSession, user_id: str, *, deleted_too: bool = False) -> User:
    """Find a user by an id in a path, and hold the row; ``deleted_too`` as in the repository.

    Raises:
        MalformedUserId, UserNotFound: 404.
    """
    try:
        parsed = UUID(user_id)
    except ValueError:
        raise MalformedUserId from None
    if (user := await UserRepository(work).lock(parsed, deleted_too=deleted_too)) is None:
        raise UserNotFound
    return user


async def _check_free(work: AsyncSession, email: str | None, phone: str | None) -> None:
    users = UserRepository(work)
    if email is not None and await users.find_by_email(email) is not None:
        raise EmailExists
    if phone is not None and await users.find_by_phone(phone) is not None:
        raise PhoneExists("Phone number already registered by another user")


def _merge(user: User, body: AdminUser) -> list[str]:
    """Merge metadata, where null deletes a key, and set the role; return what was named."""
    changed = []
    if body.user_metadata is not None:
        user.raw_user_meta_data = _merged(user.raw_user_meta_data, body.user_metadata)
        changed.append("user_metadata")
    if body.app_metadata is not None:
        user.raw_app_meta_data = _merged(user.raw_app_meta_data, body.app_metadata)
        changed.append("app_metadata")
    if body.role:
        user.role = body.role
        changed.append("role")
    return changed


def _merged(old: dict[str, Any] | None, new: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**(old or {}), **new}.items() if value is not None}


def _banned_until(duration: str | None) -> datetime | None:
    if duration is None or duration == "none":
        return None
    length = duration_seconds(duration)
    if length is None or not 0 < length <= MAX_BAN_SECONDS:
        raise ValidationFailed("invalid format for ban duration: write 24h, 30m or none")
    return clock.now() + timedelta(seconds=length)


async def _ban(work: AsyncSession, user: User, until: datetime | None) -> None:
    user.banned_until = until
    user_id = str(user.id)
    event = (
        UserUnbanned(user_id=user_id)
        if until is None
        else UserBanned(user_id=user_id, until=until.isoformat())
    )
    await outbox.publish(work, event, key=user_id)


async def _set_password(work: AsyncSession, user: User, hashed: str) -> None:
    user.encrypted_password = hashed
    await OneTimeTokenRepository(work).void(user.id)
    await SessionRepository(work).end(user.id)
    await outbox.publish(work, PasswordChanged(user_id=str(user.id)), key=str(user.id))


async def _obscure(work: AsyncSession, user: User) -> None:
    """Leave nothing in the rows that tells who it was; the same person may sign up again."""
    user.email = _obscured(user, user.email)
    user.phone = (_obscured(user, user.phone) or "")[:15] or None
    user.encrypted_password = None
    user.email_change = user.phone_change = ""
    user.raw_user_meta_data = {}
    user.raw_app_meta_data = {}
    user.deleted_at = clock.now()
    await OneTimeTokenRepository(work).void(user.id)
    for identity in await IdentityRepository(work).list_of(user.id):
        identity.provider_id = _obscured(user, f"{identity.provider}:{identity.provider_id}") or ""
        identity.identity_data = {}
    await work.flush()


def _obscured(user: User, value: str | None) -> str | None:
    if not value:
        return None
    return urlsafe_b64encode(hashlib.sha256(f"{user.id}{value}".encode()).digest()).rstrip(b"=").decode()
