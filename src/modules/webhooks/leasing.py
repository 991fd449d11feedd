"""Take deliveries that are due, and write down what came of them. The state is in Postgres and only there.

A delivery that is taken is ``sending``, and its ``due_at`` says until when: what is not heard of by then
is due again, and the attempt is logged as lost. The number of the attempt is the fence: what a process
says about an attempt counts only while it is the last one.

The endpoint's row is locked while deliveries are taken for it, so that its limits hold across workers.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 msgspec reads it
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID  # noqa: TC003 msgspec reads it

import msgspec
from msgspec import Struct

from modules.webhooks.backoff import Retrying
from modules.webhooks.bodies import Told
from modules.webhooks.sending import Attempt, Delivery

if TYPE_CHECKING:
    from collections.abc import Sequence

    import asyncpg

GRACE_SECONDS: Final = 5
"""Beyond an endpoint's time-out a lease holds for so long, in which what came of it is written down."""

MAX_ENDPOINTS: Final = 100

_ENDPOINTS: Final = """
    select e.id from monohull.webhook_endpoints as e
    where e.is_enabled and (e.opened_until is null or e.opened_until <= now()) and exists (
        select from monohull.webhook_deliveries as d
        where d.endpoint_id = e.id and d.state in ('pending', 'sending') and d.due_at <= now()
    )
    order by random() limit $1
    for no key update skip locked
"""
_TAKE: Final = f"""
    with room as (
        select e.id, e.timeout_seconds, e.max_attempts, e.retry_window_seconds, least(
            e.concurrency - busy.count,
            case when e.consecutive_failures >= e.breaker_failures then 1 - busy.count else e.concurrency end,
            case when e.rate_per_second is null then e.concurrency else floor(least(
                e.rate_per_second,
                e.tokens + e.rate_per_second * extract(epoch from now() - e.tokens_at)
            ))::int end
        ) as free
        from monohull.webhook_endpoints as e cross join lateral (
            select count(*)::int as count from monohull.webhook_deliveries as s
            where s.endpoint_id = e.id and s.state = 'sending' and s.due_at > now()
        ) as busy
        where e.id = any ($1)
    ), picked as (
        select d.*, room.timeout_seconds, d.state = 'sending' and (
            d.attempts >= room.max_attempts
            or d.created_at + make_interval(secs => room.retry_window_seconds) < now()
        ) is true as is_over
        from (select * from room where free > 0 order by random()) as room cross join lateral (
            select d.id, d.state, d.attempts, d.due_at, d.created_at from monohull.webhook_deliveries as d
            where d.endpoint_id = room.id and d.state in ('pending', 'sending') and d.due_at <= now()
                and (d.order_key is null or not exists (
                    select from monohull.webhook_deliveries as earlier
                    where earlier.endpoint_id = d.endpoint_id and earlier.order_key = d.order_key
                        and earlier.state in ('pending', 'sending') and earlier.position < d.position
                ))
            order by d.due_at, d.position limit room.free
            for update of d skip locked
        ) as d
        limit $2
    ), lost as (
        insert into monohull.webhook_attempts (delivery_id, number, outcome, reason, message, started_at)
        select id, attempts, 'lost', 'worker_lost', 'The worker that made this attempt said no more.', due_at
        from picked where state = 'sending'
        on conflict do nothing
    ), taken as (
        update monohull.webhook_deliveries as d
        set state = case when picked.is_over then 'dead' else 'sending' end,
            attempts = d.attempts + (not picked.is_over)::int,
            due_at = now() + make_interval(secs => picked.timeout_seconds + {GRACE_SECONDS}),
            reason = case when picked.is_over then 'worker_lost' else d.reason end,
            finished_at = case when picked.is_over then now() end
        from picked where d.id = picked.id
        returning d.id, d.position, d.endpoint_id, d.event_id, d.state, d.attempts, d.kind, d.replay_of,
            d.created_at
    ), spent as (
        update monohull.webhook_endpoints as e
        set tokens_at = now(), tokens = least(
                e.rate_per_second, e.tokens + e.rate_per_second * extract(epoch from now() - e.tokens_at)
            ) - counted.number
        from (
            select endpoint_id, count(*) as number from taken where state = 'sending' group by endpoint_id
        ) as counted
        where e.id = counted.endpoint_id and e.rate_per_second is not null
    )
    select taken.*, 'worker_lost' as reason, e.url, e.payload as form, e.headers,
        e.timeout_seconds, e.max_attempts,
        e.retry_base_seconds, e.retry_max_seconds, e.retry_window_seconds,
        ev.name, ev.version, ev.key, ev.occurred_at, ev.request_id, ev.traceparent,
        ev.payload::text as payload,
        secrets.ids as secret_ids, secrets.texts as secret_texts
    from taken
    join monohull.webhook_endpoints as e on e.id = taken.endpoint_id
    join monohull.webhook_events as ev on ev.id = taken.event_id
    cross join lateral (
        select array_agg(s.id order by s.created_at desc, s.id desc) as ids,
               array_agg(s.secret order by s.created_at desc, s.id desc) as texts
        from monohull.webhook_secrets as s
        where s.endpoint_id = e.id and (s.expires_at is null or s.expires_at > now())
    ) as secrets
    order by taken.position
"""  # noqa: S608 a number of ours
_RECORD: Final = """
    with result as (
        select * from unnest(
            $1::uuid[], $2::int[], $3::text[], $4::text[], $5::float8[], $6::text[], $7::text[],
            $8::timestamptz[], $9::float8[], $10::text[], $11::text[], $12::text[], $13::int[], $14::int[],
            $15::text[], $16::text[]
        ) as r (delivery_id, number, state, outcome, delay, reason, message, started_at, duration, url,
                request_headers, request_body, request_bytes, status, response_headers, response_body)
    ), current as (
        update monohull.webhook_deliveries as d
        set state = decided.state, reason = r.reason, status = r.status,
            due_at = case when decided.state = 'pending' then now() + make_interval(secs => r.delay)
                          else d.due_at end,
            finished_at = case when decided.state <> 'pending' then now() end
        from result as r
        join monohull.webhook_deliveries as own on own.id = r.delivery_id
        join monohull.webhook_endpoints as e on e.id = own.endpoint_id
        cross join lateral (
            select case when r.state = 'pending' and not e.is_enabled then 'dead' else r.state end as state
        ) as decided
        where d.id = r.delivery_id and d.attempts = r.number and d.state = 'sending'
        returning d.id
    )
    insert into monohull.webhook_attempts
        (delivery_id, number, outcome, reason, message, started_at, duration_seconds, url, request_headers,
         request_body, request_bytes, status, response_headers, response_body)
    select r.delivery_id, r.number, r.outcome, r.reason, r.message, r.started_at, r.duration, r.url,
        r.request_headers::json, r.request_body, r.request_bytes, r.status, r.response_headers::json,
        r.response_body
    from result as r join current on current.id = r.delivery_id
    on conflict do nothing
    returning delivery_id
"""
_FAILURES: Final = "case when c.succeeded then c.streak else e.consecutive_failures + c.streak end"
_COUNT: Final = f"""
    update monohull.webhook_endpoints as e
    set consecutive_failures = {_FAILURES},
        failing_since = case when c.streak = 0 then null
                             when c.succeeded then now() else coalesce(e.failing_since, now()) end,
        opened_until = case when {_FAILURES} >= e.breaker_failures
                            then now() + make_interval(secs => e.breaker_seconds) end
    from unnest($1::uuid[], $2::bool[], $3::int[]) as c (id, succeeded, streak)
    where e.id = c.id and (c.streak > 0 or e.consecutive_failures > 0)
    returning e.id, extract(epoch from now() - e.failing_since)::float8 as failing_seconds
"""  # noqa: S608 an expression of ours
_LOCK: Final = """
    select from monohull.webhook_endpoints where id = any ($1) order by id for no key update
"""
_RELEASE: Final = """
    update monohull.webhook_deliveries as d
    set state = 'pending', attempts = d.attempts - 1, due_at = now()
    from unnest($1::uuid[], $2::int[]) as r (id, attempt)
    where d.id = r.id and d.attempts = r.attempt and d.state = 'sending'
"""


class Lost(Struct, frozen=True, kw_only=True):
    """A delivery that was given up because nobody will say what came of its last attempt."""

    id: UUID
    endpoint_id: UUID
    event_id: UUID
    attempts: int
    reason: str
    request_id: str | None


class Taken(Struct, frozen=True):
    """What is to be sent, and what was past its limits when its lease ended."""

    deliveries: tuple[Delivery, ...] = ()
    lost: tuple[Lost, ...] = ()


class Recorded(Struct, frozen=True):
    """What was written down.

    Attributes:
        attempts: Those that decided about their delivery; another's lease had ended.
        failing: Endpoints whose last attempt failed, with the seconds since one of theirs succeeded.
    """

    attempts: tuple[Attempt, ...]
    failing: Mapping[UUID, float]


async def take(connection: asyncpg.Connection, limit: int) -> Taken:
    """Lease what is due and has room, the oldest first; the endpoints take turns by lot."""
    async with connection.transaction():
        endpoints = [row["id"] for row in await connection.fetch(_ENDPOINTS, MAX_ENDPOINTS)]
        if not endpoints:
            return Taken()
        # a statement of its own: it has to see what other workers took before the locks were ours
        rows = await connection.fetch(_TAKE, endpoints, limit)
    return Taken(
        tuple(_delivery(row) for row in rows if row["state"] == "sending"),
        tuple(lost_of(row) for row in rows if row["state"] == "dead"),
    )


async def record(connection: asyncpg.Connection, attempts: Sequence[Attempt]) -> Recorded:
    """Write down what came of attempts."""
    async with connection.transaction():
        # before the deliveries, as everybody does
        await connection.execute(_LOCK, list({one.delivery.endpoint_id for one in attempts}))
        rows = await connection.fetch(
            _RECORD,
            [one.delivery.id for one in attempts],
            [one.delivery.attempt for one in attempts],
            [one.state for one in attempts],
            [one.outcome for one in attempts],
            [one.delay_seconds for one in attempts],
            [one.reason for one in attempts],
            [one.message for one in attempts],
            [one.started_at for one in attempts],
            [one.duration_seconds for one in attempts],
            [one.delivery.url for one in attempts],
            [_json(one.request_headers) for one in attempts],
            [one.request_body for one in attempts],
            [one.request_bytes for one in attempts],
            [one.status for one in attempts],
            [_json(one.response_headers) for one in attempts],
            [one.response_body for one in attempts],
        )
        ids = {row["delivery_id"] for row in rows}
        counted = tuple(one for one in attempts if one.delivery.id in ids)
        return Recorded(counted, await _count(connection, counted))


async def release(connection: asyncpg.Connection, deliveries: Sequence[Delivery]) -> None:
    """Give back what was taken and not sent, or broken off by us: that counts as no attempt."""
    await connection.execute(_RELEASE, [one.id for one in deliveries], [one.attempt for one in deliveries])


async def _count(connection: asyncpg.Connection, attempts: Sequence[Attempt]) -> Mapping[UUID, float]:
    """Count failures in a row, endpoint by endpoint, and open or close the breakers."""
    succeeded: dict[UUID, bool] = {}
    streak: dict[UUID, int] = {}
    for one in attempts:
        if one.is_refused_by_us:
            continue
        endpoint = one.delivery.endpoint_id
        is_good = one.outcome == "delivered"
        succeeded[endpoint] = succeeded.get(endpoint, False) or is_good
        streak[endpoint] = 0 if is_good else streak.get(endpoint, 0) + 1
    ids = sorted(succeeded)
    if not ids:
        return {}
    rows = await connection.fetch(_COUNT, ids, [succeeded[one] for one in ids], [streak[one] for one in ids])
    return {row["id"]: row["failing_seconds"] for row in rows if row["failing_seconds"] is not None}


def lost_of(row: Mapping[str, Any]) -> Lost:
    """Read a delivery that was given up out of a row with its fields."""
    return Lost(**{name: row[name] for name in Lost.__struct_fields__})


def _json(value: Mapping[str, str] | None) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()


def _delivery(row: Mapping[str, Any]) -> Delivery:
    return Delivery(
        id=row["id"],
        endpoint_id=row["endpoint_id"],
        attempt=row["attempts"],
        kind=row["kind"],
        replay_of=row["replay_of"],
        created_at=row["created_at"],
        url=row["url"],
        payload=row["form"],
        headers=row["headers"],
        secrets=tuple(zip(row["secret_ids"] or (), row["secret_texts"] or (), strict=True)),
        timeout_seconds=row["timeout_seconds"],
        retrying=Retrying(
            base_seconds=row["retry_base_seconds"],
            max_seconds=row["retry_max_seconds"],
            window_seconds=row["retry_window_seconds"],
            max_attempts=row["max_attempts"],
        ),
        event=Told(
            id=row["event_id"],
            name=row["name"],
            version=row["version"],
            key=row["key"],
            occurred_at=row["occurred_at"],
            payload=msgspec.Raw(row["payload"].encode()),
            request_id=row["request_id"],
            traceparent=row["traceparent"],
        ),
    )
