"""Every query of api_keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, func, or_, text, update

from modules.api_keys.models import ApiKey
from monohull.kernel.database.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from monohull.kernel.data_permissions import Named


_RELATION: Final = text(
    """
    select exists (
        select from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where c.relname = :name and c.relkind in ('r', 'p', 'v', 'm', 'f')
            and case when cast(:schema as text) is null
                then n.nspname not in ('pg_catalog', 'information_schema', 'auth', 'monohull')
                else n.nspname = :schema end)
    """
)
_ROUTINE: Final = text(
    """
    select exists (
        select from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
        where p.proname = :name
            and case when cast(:schema as text) is null
                then n.nspname not in ('pg_catalog', 'information_schema', 'auth', 'monohull')
                else n.nspname = :schema end)
    """
)


class ApiKeyRepository(Repository[ApiKey]):
    """Keys, revoked ones too."""

    model_type = ApiKey

    async def find_by_hash(self, key_hash: str) -> ApiKey | None:
        """Return the key of a text, or the key that had it before its last rotation."""
        return await self.find_by(or_(ApiKey.hash == key_hash, ApiKey.previous_hash == key_hash))

    async def lock(self, key_id: UUID) -> ApiKey:
        """Return a key that nobody else changes meanwhile.

        Raises:
            NotFound: 404.
        """
        found = await self.session.get(ApiKey, key_id, with_for_update=True)
        if found is None:
            raise self.absent(f"no {self.noun} has the id {key_id}")
        return found

    async def list_all(self, *, with_revoked: bool) -> Sequence[ApiKey]:
        """Return keys, newest first."""
        conditions = () if with_revoked else (ApiKey.revoked_at.is_(None),)
        return await self.list_by(*conditions, order_by=[ApiKey.created_at.desc(), ApiKey.id.desc()])

    async def has(self, named: Named) -> bool:
        """Say whether the database has what a data permission names, in any schema where it names none."""
        statement = _ROUTINE if named.is_routine else _RELATION
        found = await self.session.scalar(statement, {"schema": named.schema, "name": named.name})
        return bool(found)

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
