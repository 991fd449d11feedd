"""Every query of single sign-on."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert

from modules.auth.models import (
    Identity,
    SamlAssertion,
    SamlProvider,
    SamlRelayState,
    Session,
    SsoDomain,
    SsoProvider,
)
from monohull.kernel.clock import now
from monohull.kernel.database.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession


class ProviderRepository(Repository[SsoProvider]):
    """Organisations, and the SAML they speak."""

    model_type = SsoProvider

    async def list_all(self) -> Sequence[tuple[SsoProvider, SamlProvider]]:
        """Return all of them, oldest first."""
        return await self._list()

    async def find(self, provider_id: UUID) -> tuple[SsoProvider, SamlProvider] | None:
        found = await self._list(SsoProvider.id == provider_id)
        return found[0] if found else None

    async def find_by_domain(self, domain: str) -> tuple[SsoProvider, SamlProvider] | None:
        """Find who vouches for a domain, which is in lower case."""
        owners = select(SsoDomain.sso_provider_id).where(func.lower(SsoDomain.domain) == domain)
        found = await self._list(SsoProvider.id.in_(owners))
        return found[0] if found else None

    async def find_by_entity_id(self, entity_id: str) -> tuple[SsoProvider, SamlProvider] | None:
        found = await self._list(SamlProvider.entity_id == entity_id)
        return found[0] if found else None

    async def _list(self, *conditions: object) -> Sequence[tuple[SsoProvider, SamlProvider]]:
        statement = (
            select(SsoProvider, SamlProvider)
            .join(SamlProvider, SamlProvider.sso_provider_id == SsoProvider.id)
            .where(*conditions)  # type: ignore[arg-type]
            .order_by(SsoProvider.created_at, SsoProvider.id)
        )
        return [(provider, saml) for provider, saml in await self.session.execute(statement)]


class DomainRepository(Repository[SsoDomain]):
    """Domains of organisations."""

    model_type = SsoDomain

    async def list_of(self, *provider_ids: UUID) -> Sequence[SsoDomain]:
        order = [SsoDomain.created_at, SsoDomain.id]
        return await self.list_by(SsoDomain.sso_provider_id.in_(provider_ids), order_by=order)


class RelayStateRepository(Repository[SamlRelayState]):
    """Requests that were not answered yet."""

    model_type = SamlRelayState

    async def take(self, relay_state_id: UUID) -> SamlRelayState | None:
        """Find a request and delete it, so that it is answered once."""
        statement = (
            delete(SamlRelayState).where(SamlRelayState.id == relay_state_id).returning(SamlRelayState)
        )
        return (await self.session.scalars(statement)).first()

    async def purge(self, *, older_than_seconds: float) -> None:
        """Delete requests that nobody answered."""
        oldest = now() - timedelta(seconds=older_than_seconds)
        await self.session.execute(delete(SamlRelayState).where(SamlRelayState.created_at < oldest))


class AssertionRepository(Repository[SamlAssertion]):
    """Assertions that were accepted."""

    model_type = SamlAssertion

    async def is_first(self, provider_id: UUID, assertion_id: str, expires_at: datetime) -> bool:
        """Remember an assertion, and say whether it had not come before."""
        statement = (
            insert(SamlAssertion)
            .values(sso_provider_id=provider_id, assertion_id=assertion_id, expires_at=expires_at)
            .on_conflict_do_nothing()
            .returning(SamlAssertion.assertion_id)
        )
        return (await self.session.scalar(statement)) is not None

    async def purge(self) -> None:
        """Forget assertions that have expired by themselves."""
        await self.session.execute(delete(SamlAssertion).where(SamlAssertion.expires_at < now()))


async def end_sessions(work: AsyncSession, provider: str) -> int:
    """End the sessions of everybody who is recognised by ``provider``."""
    people = select(Identity.user_id).where(Identity.provider == provider)
    statement = delete(Session).where(Session.user_id.in_(people)).returning(Session.id)
    return len((await work.scalars(statement)).all())
