"""The feed: every event that was relayed, numbered in the order of commits, to be read in bulk.

    after = await feed_end(connection)
    while batch := await read_feed(connection, after=after, limit=500):
        ...
        after = batch[-1].sequence

Numbers have no gaps and become visible in their order, so whoever has read up
to one has missed nothing below it. A reader keeps its number in a table and
moves it in the transaction that does its work: then the effect is there once,
however often the reader is cut off. `feed_reader.FeedReader` does that.

The worker says ``NOTIFY monohull_feed`` when there is more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from monohull.kernel.events import Envelope
from monohull.kernel.origin import Origin

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    import asyncpg

CHANNEL: Final = "monohull_feed"
"""What readers listen to. The message says for whom there is more (`is_concerned`), and the table what."""
MESSAGE_BYTES: Final = 4000
"""PostgreSQL carries no message that is twice as long. One that would be longer is empty."""

BATCH: Final = 500
BATCH_BYTES: Final = 4 * 1024 * 1024
"""A batch holds no more payload than this, as text or as it is stored, unless its first event alone does."""

COLUMNS: Final = (
    "id, position, transaction_id::text as transaction, sequence, name, version, occurred_at, key, actor, "
    "request_id, traceparent, payload::text as payload, origin::text as origin, watchers"
)

_READ: Final = f"""
    select {COLUMNS} from (
        select *, sum(size) over (order by sequence) - size as before
        from (
            select *, greatest(pg_column_size(payload), octet_length(payload::text)) as size
            from monohull.outbox
            where sequence > $1 and ($4::text[] is null or name = any ($4) or name ^@ any ($5::text[]))
                and ($6::text is null or watchers is null
                     or exists (select from unnest(watchers) as one where one ^@ $6))
            order by sequence limit $2
        ) as next
    ) as counted
    where before < $3
    order by sequence
"""  # noqa: S608 names of our own columns
_END: Final = "select sequence from monohull.feed_end"
_AT: Final = "select min(sequence) - 1 from monohull.outbox where relayed_at >= $1"


async def read_feed(  # noqa: PLR0913 each narrows what is read
    connection: asyncpg.Connection,
    *,
    after: int,
    limit: int = BATCH,
    patterns: Iterable[str] = ("*",),
    max_bytes: int = BATCH_BYTES,
    watcher: str | None = None,
) -> list[Envelope]:
    """Return the next events in order: at least one when there is one.

    Args:
        connection: Of the owner, in a transaction or not.
        after: The number of the last event that was read; 0 reads all that is kept.
        limit: At most so many events.
        patterns: Names, or patterns such as ``auth.*`` and ``*``.
        max_bytes: Payloads of a batch, as text; fewer events come when they are large.
        watcher: How those are called for whom events of rows are read, or how their names begin; None reads
            those for everybody.
    """
    names, prefixes = _parted(patterns)
    rows = await connection.fetch(_READ, after, limit, max_bytes, names, prefixes, watcher)
    return [envelope_of(row) for row in rows]


async def feed_end(connection: asyncpg.Connection) -> int:
    """Return the number of the last event that was relayed; 0 before the first.

    What was committed and not yet relayed will have a greater one.
    """
    end: int = await connection.fetchval(_END)
    return end


async def feed_sequence_at(connection: asyncpg.Connection, at: datetime) -> int:
    """Return the number after which everything comes that happened at ``at`` or later.

    Some that happened just before it may come, too: the time is that of relaying. Before the oldest event
    that is kept it is the number below that one, and later than all of them the end.

    Args:
        connection: Of the owner.
        at: Aware.
    """
    found: int | None = await connection.fetchval(_AT, at)
    return await feed_end(connection) if found is None else found


def is_concerned(message: str, *, watcher: str | None, patterns: Iterable[str]) -> bool:
    """Return whether a reader finds something after a notification; others look when they would anyway.

    A message that is not empty names the modules to whose watchers events of rows are told, where there is
    nothing else.

    Args:
        message: Of the notification.
        watcher: As for `read_feed`.
        patterns: As for `read_feed`.

    >>> is_concerned("webhooks,load", watcher="webhooks:", patterns=("*",))
    True
    >>> is_concerned("load", watcher="webhooks:", patterns=("*",))
    False
    >>> is_concerned("load", watcher=None, patterns=("auth.*",))
    False
    >>> is_concerned("", watcher="webhooks:", patterns=("auth.*",))
    True
    """
    if not message:
        return True
    if not any(pattern == "*" or pattern.startswith("rows.") for pattern in patterns):
        return False
    if watcher is None:
        return True
    begins = [f"{module}:" for module in message.split(",")]
    return any(watcher.startswith(begin) or begin.startswith(watcher) for begin in begins)


def envelope_of(row: Mapping[str, Any]) -> Envelope:
    """Return the event in a row that was selected with `COLUMNS`."""
    columns = dict(row)
    columns["transaction"] = int(columns["transaction"])
    columns["payload"] = msgspec.Raw(columns["payload"].encode())
    if (came_from := columns["origin"]) is not None:
        columns["origin"] = msgspec.json.decode(came_from, type=Origin)
    if (watchers := columns["watchers"]) is not None:
        columns["watchers"] = tuple(watchers)
    return Envelope(**columns)


def _parted(patterns: Iterable[str]) -> tuple[list[str] | None, list[str]]:
    """Part patterns into whole names and beginnings; None for the names means that any will do.

    >>> _parted(["auth.*", "rows.inserted"]), _parted(["rows.inserted", "*"])
    ((['rows.inserted'], ['auth.']), (None, []))
    """
    wanted = list(patterns)
    if "*" in wanted:
        return None, []
    return (
        [pattern for pattern in wanted if not pattern.endswith(".*")],
        [pattern[:-1] for pattern in wanted if pattern.endswith(".*")],
    )
