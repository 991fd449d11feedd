"""A search looks at little more than it finds, also where two common things never meet."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest

from modules.audit.paths import Place, Wanted, find_places

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncpg

    from tests.integration.audit.log import Log

ENTRIES: Final = 30_000
MOST_READ: Final = 800
"""Of twenty wanted: each action that there is may give that many, and what ends a scan is read too."""

FILL: Final = """
    insert into monohull.audit_entries (
        recorded_at, sequence, id, occurred_at, action, actor_kind, actor_id, object_kind, object_id,
        request_id, previous_hash, hash
    )
    select $1::timestamptz + n * interval '1 second', n, gen_random_uuid(), $1,
        case when n % 10 = 3 then 'storage.object_created'
             else (array['auth.user_signed_in', 'auth.user_updated', 'data.row_updated'])[1 + n % 3] end,
        'user',
        case when n % 10 = 3 then 'importer' else 'user-' || n % 7 end,
        case when n % 10 = 3 then 'object' when n % 2 = 0 then 'user' else 'public.orders' end,
        (n % 50)::text, 'request-' || n, '', ''
    from generate_series($2::integer, $3::integer) as n
"""
SOON: Final = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


@pytest.fixture
async def filled(log: Log) -> AsyncIterator[asyncpg.Connection]:
    """Two months of entries, that the planner knows about."""
    before = SOON - timedelta(days=20)
    async with log.runtime.database.connection() as connection:
        await connection.execute("select monohull.add_audit_partition($1)", before.date())
        await connection.execute(FILL, before, 1, ENTRIES // 2)
        await connection.execute(FILL, SOON, ENTRIES // 2 + 1, ENTRIES)
        await connection.execute("vacuum analyze monohull.audit_entries")
        yield connection


def rows_read(node: dict[str, Any]) -> float:
    """Return how many rows the scans of a plan looked at."""
    read = sum(rows_read(child) for child in node.get("Plans", ()))
    if "Relation Name" in node:
        ignored = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
        read += (node["Actual Rows"] + ignored) * node["Actual Loops"]
    return read


MIDDLE: Final = Place(SOON + timedelta(seconds=ENTRIES * 3 // 4), ENTRIES * 3 // 4)
SEARCHES: Final = (
    (Wanted(), 20),
    (Wanted(actor="user-1"), 20),
    (Wanted(actor="nobody"), 0),
    (Wanted(action="auth.*"), 20),
    (Wanted(action="webhooks.*"), 0),
    (Wanted(object="public.orders"), 20),
    (Wanted(object="public.orders:7"), 20),
    (Wanted(object="public.invoices:7"), 0),
    (Wanted(request_id="request-77"), 1),
    (Wanted(request_id="request-77", actor="nobody", action="auth.*"), 0),
    (Wanted(actor="user-1", action="auth.user_updated"), 20),
    (Wanted(actor="user-1", action="storage.object_created"), 0),
    (Wanted(actor="user-1", action="storage.*"), 0),
    (Wanted(actor="user-1", action="auth.*"), 20),
    (Wanted(actor="user-1", object="object"), 0),
    (Wanted(actor="user-1", object="user"), 20),
    (Wanted(actor="user-1", object="object", action="storage.object_created"), 0),
    (Wanted(actor="user-1", object="user", action="storage.*"), 0),
    (Wanted(action="auth.user_signed_in", object="object"), 0),
    (Wanted(action="auth.*", object="object"), 0),
    (Wanted(action="data.row_updated", object="public.orders"), 20),
    (Wanted(actor="user-1", until=datetime(2020, 1, 1, tzinfo=UTC)), 0),
    (Wanted(actor="user-1", since=SOON, until=MIDDLE.recorded_at), 20),
    (Wanted(actor="user-1", action="auth.*", since=MIDDLE.recorded_at), 20),
)


async def test_a_search_reads_little_more_than_it_finds(filled: asyncpg.Connection) -> None:
    for wanted, count in SEARCHES:
        for behind, oldest_first in ((None, False), (None, True), (MIDDLE, False), (MIDDLE, True)):
            query = find_places(wanted, limit=20, behind=behind, oldest_first=oldest_first)
            text = f"explain (analyze, format json) {query.text}"
            (plan,) = json.loads(await filled.fetchval(text, *query.values))
            says = (wanted, behind, oldest_first, plan["Plan"])
            assert rows_read(plan["Plan"]) <= MOST_READ, says
            if behind is None:
                assert plan["Plan"]["Actual Rows"] == count, says


async def test_a_search_finds_what_the_conditions_say_and_in_order(filled: asyncpg.Connection) -> None:
    for wanted, conditions in (
        (Wanted(actor="user-1", action="auth.*"), "actor_id = 'user-1' and action like 'auth.%'"),
        (Wanted(object="user", since=SOON), "object_kind = 'user' and recorded_at >= $1"),
        (Wanted(actor="user-3", object="public.orders", action="auth.*", until=SOON),
         "actor_id = 'user-3' and object_kind = 'public.orders' and action ~ '^auth' and recorded_at < $1"),
        (Wanted(object="user:8", actor="user-2"),
         "object_kind = 'user' and object_id = '8' and actor_id = 'user-2'"),
    ):  # fmt: skip
        expected = await filled.fetch(
            "select recorded_at, sequence from monohull.audit_entries "
            f"where {conditions} and $1::timestamptz is not null "
            "order by recorded_at desc, sequence desc",
            SOON,
        )
        assert expected
        found: list[Any] = []
        behind: Place | None = None
        while True:
            query = find_places(wanted, limit=700, behind=behind)
            page = await filled.fetch(query.text, *query.values)
            found += page
            if len(page) < 700:
                break
            behind = Place(*page[-1])
        assert found == expected, wanted
        query = find_places(wanted, limit=len(expected) + 1, oldest_first=True)
        assert list(reversed(await filled.fetch(query.text, *query.values))) == expected, wanted
