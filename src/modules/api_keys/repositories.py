"""Every query of api_keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, func, update

from modules.api_keys.models import ApiKey
from monohull.kernel.database.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID


class ApiKeyRepository(Repository[ApiKey]):
    """Keys, revoked ones too."""

    model_type = ApiKey

    async def find_by_hash(self, key_hash: str) -> ApiKey | None:
        return await self.find_by(hash=key_hash)

    async def list_all(self, *, with_revoked: bool) -> Sequence[ApiKey]:
        """Return keys, newest first."""
        conditions = () if with_revoked else (ApiKey.revoked_at.is_(None),)
        return await self.list_by(*conditions, order_by=[ApiKey.created_at.desc(), ApiKey.id.desc()])

    async def note_use(self, uses: Mapping[UUID, datetime]) -> None:
        """Write when keys were last used; never moves a time back."""
        statement = (
            update(ApiKey)
            .where(ApiKey.id == bindparam("key_id"))
            .values(last_used_at=func.greatest(ApiKey.last_used_at, bindparam("used_at")))
            .execution_options(synchronize_session=None)
        )
        connection = await self.session.connection()
        await connection.execute(
            statement, [{"key_id": key_id, "used_at": at} for key_id, at in sorted(uses.items())]
        )
