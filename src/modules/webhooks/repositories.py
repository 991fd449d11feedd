"""Queries about endpoints and their secrets, within a unit of work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import func, or_, select, text

from modules.webhooks.dtos import RowProblem
from modules.webhooks.matching import watcher_of
from modules.webhooks.models import WebhookEndpoint, WebhookSecret
from monohull.kernel import clock
from monohull.kernel.database.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

_LOCK: Final = text("select sequence from monohull.webhook_fanout for update")
_END: Final = text(
    "select greatest(f.sequence, e.sequence) from monohull.webhook_fanout as f, monohull.feed_end as e"
)
_BURY: Final = text(
    """
    update monohull.webhook_deliveries
    set state = 'dead', finished_at = now(), reason = 'endpoint_disabled'
    where endpoint_id = :endpoint_id and state = 'pending'
    """
)
_EMAIL: Final = text("select email from auth.users where id = :user_id and deleted_at is null")
_FORGET: Final = text(
    """
    delete from monohull.webhook_deliveries where id in (
        select id from monohull.webhook_deliveries where endpoint_id = :endpoint_id limit :batch)
    """
)

_PROBLEMS: Final = text(
    """
    select w.watcher, n.nspname || '.' || c.relname as relation, w.problem
    from monohull.row_watches as w
    join pg_class as c on c.oid = w.relation join pg_namespace as n on n.oid = c.relnamespace
    where w.problem is not null and w.watcher = any(:watchers) order by 2
    """
)


class EndpointRepository(Repository[WebhookEndpoint]):
    """Endpoints."""

    model_type = WebhookEndpoint

    async def page(self, limit: int, behind: UUID | None) -> Sequence[WebhookEndpoint]:
        """Return a page, the oldest first."""
        conditions = () if behind is None else (WebhookEndpoint.id > behind,)
        return await self.list_by(*conditions, order_by=(WebhookEndpoint.id,), limit=limit)

    async def row_problems(self, *endpoint_ids: UUID) -> Mapping[UUID, Sequence[RowProblem]]:
        """Return what is wrong about the tables that these endpoints watch."""
        watchers = {watcher_of(id_): id_ for id_ in endpoint_ids}
        found: dict[UUID, list[RowProblem]] = {id_: [] for id_ in endpoint_ids}
        for row in await self.session.execute(_PROBLEMS, {"watchers": list(watchers)}):
            found[watchers[row.watcher]].append(RowProblem(row.relation, row.problem))
        return found

    async def count_all(self) -> int:
        return await self.session.scalar(select(func.count()).select_from(WebhookEndpoint)) or 0

    async def lock_place(self) -> int:
        """Keep the fan-out from going on until this is committed; return the number it has come to."""
        place: int = (await self.session.execute(_LOCK)).scalar_one()
        return place

    async def place_of_now(self) -> int:
        """Return the number in the feed after which comes what happens from now on; the place is locked."""
        place: int = (await self.session.execute(_END)).scalar_one()
        return place

    async def find_locked(self, endpoint_id: UUID) -> WebhookEndpoint | None:
        """Return an endpoint that nobody takes deliveries of until this is committed."""
        statement = select(WebhookEndpoint).where(WebhookEndpoint.id == endpoint_id)
        return (await self.session.scalars(statement.with_for_update(key_share=True))).one_or_none()

    async def bury_waiting(self, endpoint_id: UUID) -> int:
        """Give up what waits for an endpoint that is disabled; return how much that was."""
        result = await self.session.execute(_BURY, {"endpoint_id": endpoint_id})
        count: int = result.rowcount  # type: ignore[attr-defined]  # an UPDATE's result has it
        return count

    async def find_email(self, user_id: UUID) -> str | None:
        """Return the address of an endpoint's owner."""
        email: str | None = await self.session.scalar(_EMAIL, {"user_id": user_id})
        return email

    async def forget(self, endpoint_id: UUID, batch: int) -> int:
        """Delete at most ``batch`` deliveries of an endpoint with their log; return how many."""
        result = await self.session.execute(_FORGET, {"endpoint_id": endpoint_id, "batch": batch})
        count: int = result.rowcount  # type: ignore[attr-defined]  # a DELETE's result has it
        return count

    async def remove(self, endpoint: WebhookEndpoint) -> None:
        """Delete an endpoint with everything about it."""
        await self.session.delete(endpoint)
        await self.session.flush()


class SecretRepository(Repository[WebhookSecret]):
    """Secrets of endpoints. Those past their time hold no more, and are purged."""

    model_type = WebhookSecret

    async def list_holding(self, endpoint_id: UUID) -> Sequence[WebhookSecret]:
        """Return the secrets that hold, the newest first."""
        newest = (WebhookSecret.created_at.desc(), WebhookSecret.id.desc())
        holds = or_(WebhookSecret.expires_at.is_(None), WebhookSecret.expires_at > clock.now())
        return await self.list_by(holds, endpoint_id=endpoint_id, order_by=newest)

    async def remove(self, secret: WebhookSecret) -> None:
        await self.session.delete(secret)
        await self.session.flush()
