"""Nobody widens what they may see themselves: whoever is limited to some columns leaves those rules alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from modules.rbac.errors import BeyondOwnRoles
from modules.rbac.models import RoleAssignment, RoleColumns
from modules.rbac.repositories import ColumnsRepository

if TYPE_CHECKING:
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from monohull.kernel.principal import Principal


def demand_unlimited(by: Principal, schema: str, relation: str) -> None:
    """Let pass whoever sees all of a relation.

    Raises:
        BeyondOwnRoles: 403.
    """
    if by.columns is not None and by.columns.of(schema, relation) is not None:
        raise BeyondOwnRoles(f"You are limited to some columns of {schema}.{relation} yourself.")


async def demand_reach(
    work: AsyncSession, by: Principal, *, role_id: UUID | None = None, group_id: UUID | None = None
) -> None:
    """Let pass whoever sees all of every relation that a role, or the roles of a group, say something about.

    Raises:
        BeyondOwnRoles: 403.
    """
    if by.columns is None:
        return
    condition = RoleColumns.role_id == role_id
    if role_id is None:
        held = select(RoleAssignment.role_id).where(RoleAssignment.group_id == group_id)
        condition = RoleColumns.role_id.in_(held)
    for schema, relation in await ColumnsRepository(work).relations_of(condition):
        demand_unlimited(by, schema, relation)
