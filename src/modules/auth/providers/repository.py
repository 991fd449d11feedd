"""Every query about providers that were configured while the server ran."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from modules.auth.models import CustomProvider
from monohull.kernel.database.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Sequence


class CustomProviderRepository(Repository[CustomProvider]):
    """Custom providers."""

    model_type = CustomProvider

    async def find_by_identifier(self, identifier: str) -> CustomProvider | None:
        return await self.find_by(identifier=identifier)

    async def lock(self, identifier: str) -> CustomProvider | None:
        """Find and hold the row until the unit of work ends."""
        statement = select(CustomProvider).where(CustomProvider.identifier == identifier).with_for_update()
        return (await self.session.scalars(statement)).first()

    async def list_all(self, provider_type: str | None, *, limit: int) -> Sequence[CustomProvider]:
        """Return them in the order in which they were made; of one type if it is named."""
        conditions = [CustomProvider.provider_type == provider_type] if provider_type else []
        order = [CustomProvider.created_at, CustomProvider.id]
        return await self.list_by(*conditions, order_by=order, limit=limit)
