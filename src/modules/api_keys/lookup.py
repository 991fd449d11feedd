"""A key by its id, for those who try what it may do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modules.api_keys import owners
from modules.api_keys.principals import Issue, principal_of
from modules.api_keys.repositories import ApiKeyRepository

if TYPE_CHECKING:
    from uuid import UUID

    from monohull.kernel.principal import Principal
    from monohull.kernel.runtime import Runtime


async def find_key_principal(runtime: Runtime, key_id: UUID) -> Principal | None:
    """Return whom a key stands for, ended or not; None where there is none."""
    async with runtime.database.unit_of_work() as work:
        row = await ApiKeyRepository(work).find_by_id(key_id)
        if row is None:
            return None
        owner = None if row.user_id is None else await owners.find_owner(work, row.user_id)
    return principal_of(row, owner, Issue.of(runtime))
