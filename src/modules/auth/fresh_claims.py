"""The claims that a fresh token of a user would have, for those who try what the user may do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modules.auth.repositories import UserRepository

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession


async def claims_of_user(work: AsyncSession, user_id: UUID) -> dict[str, Any] | None:
    """Return the claims, None for a user who is not there; what sessions and hooks add is not among them."""
    user = await UserRepository(work).find_alive(user_id)
    if user is None:
        return None
    return {
        "sub": str(user.id),
        "aud": user.aud or "authenticated",
        "role": user.role or "authenticated",
        "email": user.email or "",
        "phone": user.phone or "",
        "app_metadata": user.raw_app_meta_data or {},
        "user_metadata": user.raw_user_meta_data or {},
        "aal": "aal1",
        "is_anonymous": user.is_anonymous,
    }
