"""Forget deliveries that are long finished and secrets that hold no more; leave tables nobody is told of."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from sqlalchemy import text

from modules.webhooks.events import WebhookEndpointDisabled
from modules.webhooks.settings import WebhooksSettings
from monohull.kernel.events import Envelope, Subscriber
from monohull.kernel.queues import Cron, job
from monohull.kernel.runtime import Runtime

PURGE_BATCH: Final = 2000

_PURGES: Final = (
    text(
        """
        delete from monohull.webhook_deliveries where id in (
            select id from monohull.webhook_deliveries
            where finished_at < now() - make_interval(days => :days)
            order by finished_at limit :batch)
        """
    ),
    text(
        """
        delete from monohull.webhook_events where id in (
            select id from monohull.webhook_events as ev
            where ev.occurred_at < now() - make_interval(days => :days)
                and not exists (select from monohull.webhook_deliveries as d where d.event_id = ev.id)
            order by ev.occurred_at limit :batch)
        """
    ),
    text(
        """
        delete from monohull.webhook_secrets where id in (
            select id from monohull.webhook_secrets
            where expires_at < now() - make_interval(days => :days) limit :batch)
        """
    ),
)


@job("webhooks.purge", max_attempts=3, timeout_seconds=600)
async def purge(runtime: Runtime) -> None:
    """Delete what is past its retention, in batches that each lock little and briefly."""
    values = {"days": runtime.settings.of(WebhooksSettings).retention_days, "batch": PURGE_BATCH}
    for statement in _PURGES:
        deleted = PURGE_BATCH
        while deleted == PURGE_BATCH:
            async with runtime.database.unit_of_work() as work:
                result = await work.execute(statement, values)
                deleted = result.rowcount  # type: ignore[attr-defined]  # a DELETE's result has it


async def leave_tables(runtime: Runtime, envelope: Envelope) -> None:
    """Undo the watches of an endpoint that was disabled by itself, so that writers pay for nobody."""
    from modules.webhooks.services.watching import fit_watches, watching  # noqa: PLC0415 start-up time

    disabled = runtime.events.decode(envelope)
    if isinstance(disabled, WebhookEndpointDisabled):
        async with watching(runtime.database) as work:
            await fit_watches(work, UUID(disabled.endpoint_id), {}, None)


SUBSCRIBER: Final = Subscriber(
    name="webhooks.tables", events=(WebhookEndpointDisabled.name,), handle=leave_tables
)
CRONS: Final = (Cron(job=purge, schedule="41 3 * * *"),)
