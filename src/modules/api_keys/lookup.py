"""A key by its id, for those who try what it may do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modules.api_keys.repositories import ApiKeyRepository
from modules.api_keys.services import ANON
from monohull.kernel.principal import Principal, PrincipalKind

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession


async def find_key_principal(work: AsyncSession, key_id: UUID, anonymous_role: str) -> Principal | None:
    """Return whom a key stands for, ended or not; None where there is none."""
    row = await ApiKeyRepository(work).find_by_id(key_id)
    if row is None:
        return None
    role = anonymous_role if row.role == ANON else row.role
    return Principal(
        kind=PrincipalKind.KEY,
        role=role,
        claims={"role": role},
        permissions=frozenset(row.permissions),
        key_id=str(row.id),
    )
