"""What is shown with a user: identities and second factors, read together in one statement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Struct
from sqlalchemy import select

from modules.auth.models import Factor, Identity, User

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession


class Related(Struct):
    """Rows that belong to one user, oldest first."""

    identities: list[Identity] = []
    factors: list[Factor] = []


async def related_to(work: AsyncSession, user_id: UUID) -> Related:
    """Return what belongs to one user; nothing for a user who is not there."""
    return (await related_to_each(work, [user_id]))[user_id]


async def related_to_each(work: AsyncSession, user_ids: Sequence[UUID]) -> Mapping[UUID, Related]:
    """Return what belongs to each of several users.

    The join multiplies identities by factors; both are a handful, and one
    round trip costs more than the rows that come twice.
    """
    statement = (
        select(User.id, Identity, Factor)
        .outerjoin(Identity, Identity.user_id == User.id)
        .outerjoin(Factor, Factor.user_id == User.id)
        .where(User.id.in_(user_ids))
        .order_by(Identity.created_at, Identity.id, Factor.created_at, Factor.id)
    )
    found = {user_id: Related([], []) for user_id in user_ids}
    rows: Sequence[Any] = (await work.execute(statement)).all()
    for user_id, identity, factor in rows:  # an outer join: both may be None
        related = found[user_id]
        if identity is not None and identity not in related.identities:
            related.identities.append(identity)
        if factor is not None and factor not in related.factors:
            related.factors.append(factor)
    return found
