"""The user that a key acts as: whether it still may, and the claims that its token would have.

Read from ``auth.users`` each time the key is looked up, so that a ban, a
deletion and new metadata count within `authenticator.CACHE_SECONDS`. The hook
that may rewrite claims of tokens is not asked: no token is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import UUID  # noqa: TC003 msgspec reads it

import msgspec
from msgspec import Struct
from sqlalchemy import text

from monohull.kernel.errors import InvalidCredential

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy.ext.asyncio import AsyncSession

AUTHENTICATED: Final = "authenticated"

_OWNER: Final = text(
    """
    select id, aud, role, email, phone, raw_app_meta_data::text as app_metadata,
           raw_user_meta_data::text as user_metadata, is_anonymous,
           coalesce(banned_until > now(), false) as is_banned
    from auth.users where id = :user_id and deleted_at is null
    """
)


class Owner(Struct, frozen=True):
    """A user who was not deleted."""

    id: UUID
    aud: str | None
    role: str | None
    email: str | None
    phone: str | None
    app_metadata: dict[str, Any]
    user_metadata: dict[str, Any]
    is_anonymous: bool
    is_banned: bool

    @property
    def database_role(self) -> str:
        return self.role or AUTHENTICATED


async def find_owner(session: AsyncSession, user_id: UUID) -> Owner | None:
    """Return the user; None when there is none, or none any more."""
    row = (await session.execute(_OWNER, {"user_id": user_id})).one_or_none()
    if row is None:
        return None
    return Owner(
        row.id,
        row.aud,
        row.role,
        row.email,
        row.phone,
        _object(row.app_metadata),
        _object(row.user_metadata),
        row.is_anonymous,
        row.is_banned,
    )


def claims_of(owner: Owner, *, issuer: str, audience: str | None, since: datetime) -> dict[str, Any]:
    """Return what an access token of ``owner`` says, but for session, times and sign-in methods.

    A key is one factor (``aal1``), there since ``since``.
    """
    return {
        "iss": issuer,
        "sub": str(owner.id),
        "aud": audience or owner.aud or AUTHENTICATED,
        "role": owner.database_role,
        "email": owner.email or "",
        "phone": owner.phone or "",
        "app_metadata": owner.app_metadata,
        "user_metadata": owner.user_metadata,
        "aal": "aal1",
        "amr": [{"method": "api_key", "timestamp": int(since.timestamp())}],
        "is_anonymous": owner.is_anonymous,
    }


def refusal(owner: Owner | None) -> InvalidCredential | None:
    """Return why a key of ``owner`` holds no more; None while it does."""
    if owner is None:
        return InvalidCredential("The owner of this API key was deleted", reason="deleted")
    if owner.is_banned:
        return InvalidCredential("The owner of this API key is banned", reason="banned")
    return None


def _object(encoded: str | None) -> dict[str, Any]:
    decoded = msgspec.json.decode(encoded) if encoded else None
    return decoded if isinstance(decoded, dict) else {}
