"""Every query of revocations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

CHANNEL: Final = "monohull_revocations"

_SINCE: Final = text(
    """
    select here.horizon, r.id, r.kind, r.subject::text as subject,
           extract(epoch from r.occurred_at)::float8 as at, r.state::text as state
    from (select pg_snapshot_xmin(pg_current_snapshot())::text::bigint as horizon) as here
    left join monohull.revocations as r
        on r.transaction_id >= :horizon
        and r.occurred_at > now() - make_interval(secs => :seconds)
    order by r.id
    """
)
"""What transactions that had not ended at the last look wrote, whatever order they end in."""

_PRUNE: Final = text(
    """
    delete from monohull.revocations where id in (
        select id from monohull.revocations
        where occurred_at < now() - make_interval(secs => :seconds) order by occurred_at limit :batch)
    """
)


class Entry(msgspec.Struct, frozen=True):
    """One revocation; ``at`` in unix seconds, ``state`` as `models.Revocation` has it."""

    id: int
    kind: str
    subject: str
    at: float
    state: Any = None


class RevocationRepository:
    """Reads what the triggers wrote."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def list_since(self, horizon: int, seconds: float) -> tuple[int, Sequence[Entry]]:
        """Return where to go on next time, and what is new since ``horizon``; an entry may come twice.

        Args:
            horizon: What the call before returned; 0 for everything.
            seconds: How far back an entry still matters.
        """
        rows = (await self._session.execute(_SINCE, {"horizon": horizon, "seconds": seconds})).all()
        entries = [
            Entry(
                row.id, row.kind, row.subject, row.at, msgspec.json.decode(row.state) if row.state else None
            )
            for row in rows
            if row.id is not None
        ]
        return rows[0].horizon, entries

    async def prune(self, seconds: float, batch: int) -> int:
        """Delete entries older than ``seconds``, ``batch`` at most; return how many there were."""
        result: Any = await self._session.execute(_PRUNE, {"seconds": seconds, "batch": batch})
        return int(result.rowcount)
