"""Which tables are cached: those with the trigger `facts.TRIGGER`, which tells of each commit to them.

The trigger is the mark: nothing else is written down that could say otherwise, a dump brings it along, and
whoever drops it has taken the mark away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import asyncpg
from msgspec import Struct
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from modules.rest.cache.errors import NoSuchTable, TableNotCacheable
from modules.rest.cache.facts import TRIGGER, Facts, read_facts
from modules.rest.cache.line import CHANNEL, MARKS
from modules.rest.events import TableCached, TableUncached
from monohull.kernel import outbox
from monohull.kernel.database import ddl
from monohull.kernel.database.engine import driver_error
from monohull.kernel.database.server import API_ROLES
from monohull.kernel.row_refusals import giving_up

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.rest.cache.facts import CachedTable
    from monohull.kernel.database.engine import Database

LOCK_SECONDS: Final = 5

_FIND: Final = text(
    """
    select c.oid, n.nspname as schema, c.relname as name,
        c.relkind::text as kind, c.relpersistence::text as stay,
        format('%I.%I', n.nspname, c.relname) as quoted,
        exists (select from pg_inherits where inhrelid = c.oid or inhparent = c.oid) as inherits,
        exists (select from pg_subscription_rel where srrelid = c.oid) as is_subscribed,
        exists (select from pg_trigger where tgrelid = c.oid and tgname = :trigger) as is_marked
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.oid = to_regclass(:table)
    """
)
_NOTIFY: Final = text("select pg_notify(:channel, :payload)")
_LOCK: Final = text(f"set local lock_timeout = '{LOCK_SECONDS}s'")
_OURS: Final = frozenset({"monohull", "auth", "storage", "pg_catalog", "information_schema"})
_NO_NAME: Final = (
    asyncpg.InvalidNameError,
    asyncpg.PostgresSyntaxError,
    asyncpg.FeatureNotSupportedError,
    asyncpg.CharacterNotInRepertoireError,
)


class RoleView(Struct, frozen=True, kw_only=True):
    """How reads of one role are cached.

    ``claims`` are those that answers are kept apart by, ``*`` for all; ``reason`` says why none is kept.
    """

    role: str
    is_cached: bool
    claims: tuple[str, ...]
    reason: str | None


class CachedTableView(Struct, frozen=True, kw_only=True):
    """A table that is marked, and what that means to roles.

    ``reason`` says why no answer is kept of it, whoever asks.
    """

    table: str
    max_age_seconds: int
    is_cached: bool
    reason: str | None
    roles: tuple[RoleView, ...]


class CachedTables:
    """Marks tables.

    Args:
        database: Where, as the owner.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self) -> Sequence[CachedTableView]:
        """Return the tables that are marked, by name."""
        facts = await self._facts()
        return [_view(table, facts) for table in facts.tables.values()]

    async def mark(self, table: str, max_age_seconds: int) -> CachedTableView:
        """Have answers about a table kept from now on.

        Args:
            table: As SQL says it, ``public.products``.
            max_age_seconds: So long at most, whatever happens.

        Raises:
            NoSuchTable: 404. TableNotCacheable: 400. RowsInUse: 503.
        """
        with _refusing(), giving_up():
            async with self._database.unit_of_work() as work:
                found = await _find(work, table)
                _demand(found)
                await work.execute(_LOCK)
                connection = await work.connection()
                for statement in _statements(found.quoted, max_age_seconds):
                    await connection.exec_driver_sql(statement)  # a colon in a name is no parameter
                await _tell(work)
                event = TableCached(relation=found.quoted, max_age_seconds=max_age_seconds)
                await outbox.publish(work, event, key=found.quoted)
        facts = await self._facts()
        return _view(facts.tables[found.schema, found.name], facts)

    async def unmark(self, table: str) -> None:
        """Have no answers about a table kept any more.

        Raises:
            NoSuchTable: 404, it is not there or not marked. RowsInUse: 503.
        """
        with _refusing(), giving_up():
            async with self._database.unit_of_work() as work:
                found = await _find(work, table)
                if not found.is_marked:
                    raise NoSuchTable(f"The table {found.quoted} is not cached.")
                await work.execute(_LOCK)
                connection = await work.connection()
                await connection.exec_driver_sql(f"drop trigger {TRIGGER} on {found.quoted}")
                await _tell(work)
                await outbox.publish(work, TableUncached(relation=found.quoted), key=found.quoted)

    async def _facts(self) -> Facts:
        async with self._database.connection() as connection:
            return await read_facts(connection)


async def _find(work: AsyncSession, table: str) -> Any:
    try:
        row = (await work.execute(_FIND, {"table": table, "trigger": TRIGGER})).one_or_none()
    except DBAPIError as error:
        if not isinstance(driver_error(error), _NO_NAME):
            raise
        row = None
    if row is None:
        raise NoSuchTable(f"There is no table {table!r}.")
    return row


def _demand(found: Any) -> None:
    """Refuse what no trigger can tell everything of."""
    if found.inherits or found.kind == "p":
        why = "it is, or has, a partition or a child, which can be written to by another name"
    elif found.kind != "r" or found.stay == "t":
        why = "it is no table that lasts"
    elif found.schema in _OURS:
        why = "it is not yours"
    elif found.is_subscribed:
        why = "a subscription writes to it, and tells nobody"
    else:
        return
    raise TableNotCacheable(f"{found.quoted} cannot be cached: {why}.")


def _statements(name: str, max_age_seconds: int) -> Sequence[str]:
    return (
        f"drop trigger if exists {TRIGGER} on {name}",
        (
            f"create trigger {TRIGGER} after insert or update or delete or truncate on {name} "
            f"for each statement execute function monohull.tell_of_rows('{max_age_seconds:d}')"
        ),
        # also where a session says that it replicates
        f"alter table {name} enable always trigger {TRIGGER}",
    )


async def _tell(work: AsyncSession) -> None:
    await work.execute(_NOTIFY, {"channel": CHANNEL, "payload": MARKS})
    await work.execute(_NOTIFY, {"channel": ddl.CHANNEL, "payload": ddl.PAYLOAD})


def _view(table: CachedTable, facts: Facts) -> CachedTableView:
    named = (role for policy in table.policies for role in policy.roles or ())
    roles = tuple(_role(table, role, facts) for role in dict.fromkeys((*API_ROLES, *sorted(named))))
    return CachedTableView(
        table=f"{table.schema}.{table.name}",
        max_age_seconds=table.max_age_seconds,
        is_cached=table.fault is None,
        reason=table.fault,
        roles=roles,
    )


def _role(table: CachedTable, role: str, facts: Facts) -> RoleView:
    reading = facts.reading((table.schema, table.name), role)
    claims = ("*",) if reading.claims == "all" else tuple(sorted(reading.claims))
    return RoleView(role=role, is_cached=reading.why is None, claims=claims, reason=reading.why)


class _refusing:  # noqa: N801 reads as a verb
    """Turn PostgreSQL's word about rights into a refusal."""

    def __enter__(self) -> None: ...

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, DBAPIError) and isinstance(
            driver_error(error), asyncpg.InsufficientPrivilegeError
        ):
            raise TableNotCacheable(
                "The platform's login may not make triggers on this table.",
                hint="Have that login own the table, or a role that it is a member of.",
            ) from error
