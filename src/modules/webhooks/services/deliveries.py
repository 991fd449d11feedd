"""What was delivered, and delivering it again.

A repetition is a delivery of its own: the same event, the same ``webhook-id``, and marked.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct
from sqlalchemy import text

from modules.webhooks.dtos import (
    AttemptView,
    DeliveryDetail,
    DeliveryView,
    Replayed,
)
from modules.webhooks.errors import WebhookDisabled
from modules.webhooks.events import WebhookDeliveriesReplayed
from modules.webhooks.repositories import EndpointRepository
from modules.webhooks.services.rules import NO_ENDPOINT
from monohull.kernel import clock, outbox
from monohull.kernel.errors import InvalidRequest, NotFound
from monohull.kernel.ids import uuid7

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import RowMapping
    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.webhooks.dtos import Replay
    from monohull.kernel.database.engine import Database

TEST_EVENT: Final = "webhooks.test"
NO_DELIVERY: Final = "There is no such delivery."

_SHOWN: Final = """
    d.id, d.endpoint_id, d.event_id, ev.name as event, ev.key, d.kind, d.replay_of, d.state, d.attempts,
    d.status, d.reason, d.created_at, d.finished_at, d.position,
    case when d.state in ('pending', 'sending') then d.due_at end as due_at
"""
_FROM: Final = """
    from monohull.webhook_deliveries as d join monohull.webhook_events as ev on ev.id = d.event_id
"""
_ONE: Final = text(f"select {_SHOWN}, ev.occurred_at, ev.payload::text as payload {_FROM} where d.id = :id")
_ATTEMPTS: Final = text(
    """
    select number, outcome, reason, message, started_at, duration_seconds, url,
           request_headers::text as request_headers, request_body, request_bytes, status,
           response_headers::text as response_headers, response_body
    from monohull.webhook_attempts where delivery_id = :id order by number
    """
)
_REPLAY: Final = """
    with chosen as (
        select d.* {source} join monohull.webhook_endpoints as e on e.id = d.endpoint_id
        where {conditions} and e.is_enabled
        order by d.position limit :limit
    ), made as (
        insert into monohull.webhook_deliveries (id, endpoint_id, event_id, kind, replay_of, order_key)
        select gen_random_uuid(), endpoint_id, event_id, 'replay', id, order_key from chosen order by position
        returning 1
    )
    select (select count(*) from made) as made, (select max(position) from chosen) as last
"""
_TEST: Final = text(
    """
    with event as (
        insert into monohull.webhook_events (id, name, version, occurred_at, request_id, traceparent, payload)
        values (:event_id, :name, 1, :now, :request_id, :traceparent, cast(:payload as json))
        returning id
    )
    insert into monohull.webhook_deliveries (id, endpoint_id, event_id, kind)
    select :id, :endpoint_id, id, 'test' from event
    """
)


class Wanted(Struct, frozen=True, kw_only=True):
    """Which deliveries; times are the event's."""

    endpoint_id: UUID | None = None
    event_id: UUID | None = None
    state: str | None = None
    event: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class Deliveries:
    """Reads the log, and repeats.

    Args:
        database: Where it is.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self, wanted: Wanted, limit: int, behind: int | None
    ) -> tuple[Sequence[DeliveryView], str | None]:
        """Return a page, the newest first, and the cursor of the next.

        Raises:
            InvalidRequest: 400.
        """
        conditions, values = _conditions(wanted)
        if behind is not None:
            conditions, values = (*conditions, "d.position < :behind"), {**values, "behind": behind}
        where = f"where {' and '.join(conditions)}" if conditions else ""
        statement = text(f"select {_SHOWN} {_FROM} {where} order by d.position desc limit :limit")
        async with self._database.unit_of_work() as work:
            rows = (await work.execute(statement, {**values, "limit": limit + 1})).mappings().all()
        shown = rows[:limit]
        return [_view(row) for row in shown], str(shown[-1]["position"]) if len(rows) > limit else None

    async def get(self, delivery_id: UUID) -> DeliveryDetail:
        """Return a delivery with its event and attempts.

        Raises:
            NotFound: 404.
        """
        async with self._database.unit_of_work() as work:
            row = (await work.execute(_ONE, {"id": delivery_id})).mappings().one_or_none()
            if row is None:
                raise NotFound(NO_DELIVERY)
            attempts = (await work.execute(_ATTEMPTS, {"id": delivery_id})).mappings().all()
        return DeliveryDetail(
            delivery=_view(row),
            occurred_at=row["occurred_at"],
            payload=msgspec.Raw(row["payload"].encode()),
            attempts=tuple(_attempt(attempt) for attempt in attempts),
        )

    async def replay_one(self, delivery_id: UUID) -> DeliveryView:
        """Deliver again, whatever came of it.

        Raises:
            NotFound: 404. WebhookDisabled: 409.
        """
        async with self._database.unit_of_work() as work:
            endpoints = EndpointRepository(work)
            await endpoints.lock_place()
            row = (await work.execute(_ONE, {"id": delivery_id})).mappings().one_or_none()
            if row is None:
                raise NotFound(NO_DELIVERY)
            await _demand_enabled(endpoints, row["endpoint_id"])
            made = text(_REPLAY.format(source=_FROM, conditions="d.id = :id"))
            await work.execute(made, {"id": delivery_id, "limit": 1})
            told = WebhookDeliveriesReplayed(
                endpoint_id=str(row["endpoint_id"]), deliveries=1, delivery_id=str(delivery_id)
            )
            await outbox.publish(work, told, key=told.endpoint_id)
            newest = text(
                f"select {_SHOWN} {_FROM} where d.replay_of = :id and d.endpoint_id = :endpoint_id "
                "order by d.position desc limit 1"
            )
            found = await work.execute(newest, {"id": delivery_id, "endpoint_id": row["endpoint_id"]})
            if (again := found.mappings().one_or_none()) is None:
                # deleted since it was read, with its endpoint or past its retention
                raise NotFound(NO_DELIVERY)
            return _view(again)

    async def replay(self, wanted: Replay) -> Replayed:
        """Deliver again what was chosen, the oldest first; of endpoints that are disabled nothing.

        Raises:
            InvalidRequest: 400. NotFound: 404. WebhookDisabled: 409.
        """
        chosen = Wanted(
            endpoint_id=wanted.endpoint_id,
            state=wanted.state,
            event=wanted.event,
            since=wanted.since,
            until=wanted.until,
        )
        conditions, values = _conditions(chosen)
        conditions = (*conditions, "d.kind = 'event'", "d.finished_at is not null", "d.position > :after")
        statement = text(_REPLAY.format(source=_FROM, conditions=" and ".join(conditions)))
        values |= {"after": int(wanted.cursor or 0), "limit": wanted.limit}
        async with self._database.unit_of_work() as work:
            endpoints = EndpointRepository(work)
            await endpoints.lock_place()
            if wanted.endpoint_id is not None:
                await _demand_enabled(endpoints, wanted.endpoint_id)
            row = (await work.execute(statement, values)).one()
            if row.made:
                await _publish(work, wanted, row.made)
        return Replayed(
            deliveries=row.made, next=str(row.last) if row.made == wanted.limit and row.last else None
        )

    async def test(self, endpoint_id: UUID) -> DeliveryView:
        """Send an event that is about nothing.

        Raises:
            NotFound: 404. WebhookDisabled: 409.
        """
        event_id, delivery_id = uuid7(), uuid7()
        async with self._database.unit_of_work() as work:
            endpoints = EndpointRepository(work)
            # nobody disables or deletes the endpoint between the look and the row
            await endpoints.lock_place()
            await _demand_enabled(endpoints, endpoint_id)
            values = {
                "id": delivery_id,
                "event_id": event_id,
                "endpoint_id": endpoint_id,
                "name": TEST_EVENT,
                "now": clock.now(),
                "payload": msgspec.json.encode({"endpoint_id": endpoint_id, "is_test": True}).decode(),
                **outbox.cause(),
            }
            del values["actor"]
            await work.execute(_TEST, values)
        return (await self.get(delivery_id)).delivery


def parse_cursor(text_: str | None) -> int | None:
    """Read a cursor that an earlier page gave.

    Raises:
        InvalidRequest: 400, it is none.
    """
    if text_ is None:
        return None
    if re.fullmatch(r"[0-9]{1,18}", text_, re.ASCII) is None:
        raise InvalidRequest("The cursor is none that a page gave.", details=text_[:100])
    return int(text_)


def _conditions(wanted: Wanted) -> tuple[tuple[str, ...], dict[str, Any]]:
    conditions: list[str] = []
    values: dict[str, Any] = {}
    for name, condition in (
        ("endpoint_id", "d.endpoint_id = :endpoint_id"),
        ("event_id", "d.event_id = :event_id"),
        ("state", "d.state = :state"),
        ("since", "ev.occurred_at >= :since"),
        ("until", "ev.occurred_at < :until"),
    ):
        if (value := getattr(wanted, name)) is not None:
            conditions.append(condition)
            values[name] = value
    for moment in (wanted.since, wanted.until):
        if moment is not None and moment.tzinfo is None:
            raise InvalidRequest("A time needs its zone.", hint="Write Z behind it for UTC.")
    if wanted.event is not None and wanted.event != "*":
        if "\0" in wanted.event:
            raise InvalidRequest("The name of an event holds no zero byte.")
        is_prefix = wanted.event.endswith(".*")
        conditions.append("ev.name ^@ :event" if is_prefix else "ev.name = :event")
        values["event"] = wanted.event.removesuffix("*") if is_prefix else wanted.event
    return tuple(conditions), values


async def _demand_enabled(endpoints: EndpointRepository, endpoint_id: UUID) -> None:
    row = await endpoints.find_by_id(endpoint_id)
    if row is None:
        raise NotFound(NO_ENDPOINT)
    if not row.is_enabled:
        raise WebhookDisabled("The endpoint is disabled.", details=row.disabled_reason)


async def _publish(work: AsyncSession, wanted: Replay, made: int) -> None:
    told = WebhookDeliveriesReplayed(
        endpoint_id=None if wanted.endpoint_id is None else str(wanted.endpoint_id),
        deliveries=made,
        event=wanted.event,
        state=wanted.state,
        since=None if wanted.since is None else wanted.since.isoformat(),
        until=None if wanted.until is None else wanted.until.isoformat(),
    )
    await outbox.publish(work, told, key=told.endpoint_id)


def _view(row: RowMapping) -> DeliveryView:
    return DeliveryView(**{name: row[name] for name in DeliveryView.__struct_fields__})


def _attempt(row: RowMapping) -> AttemptView:
    fields: dict[str, Any] = {str(name): value for name, value in row.items()}
    for name in ("request_headers", "response_headers"):
        fields[name] = None if row[name] is None else msgspec.Raw(row[name].encode())
    return AttemptView(**fields)
