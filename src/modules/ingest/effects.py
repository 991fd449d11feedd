"""What messages do: rows in a table, or jobs. Each with the id of its message, in one transaction."""

from __future__ import annotations

from contextlib import asynccontextmanager
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, Protocol

import asyncpg
import msgspec
from sqlalchemy import text

from modules.ingest.errors import Fault, Rejected, Unusable
from modules.ingest.mapping import arguments_of, row_of
from monohull.kernel.batches import Call, enqueue_call
from monohull.kernel.database.engine import is_away
from monohull.kernel.database.server import quote_name
from monohull.kernel.span import Kind
from monohull.kernel.trace import request_id_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from contextlib import AbstractContextManager
    from uuid import UUID

    from modules.ingest.dtos import TableDestination
    from modules.ingest.mapping import Row
    from modules.ingest.messages import Message
    from monohull.kernel.database.engine import Database
    from monohull.kernel.queues import Job
    from monohull.kernel.runtime import Runtime
    from monohull.kernel.tracing import Following

_SETTINGS: Final = """
    select set_config('search_path', 'public, extensions', true), set_config('statement_timeout', $1, true),
        set_config('request.jwt.claims', $2, true), set_config('role', $3, true)
"""
_MARK: Final = "select monohull.ingest_mark($1, $2, $3)"
_SETTLE: Final = "select monohull.ingest_settle($1, $2, $3)"

MARK: Final = text(
    """
    insert into monohull.ingest_seen (source_id, message_id)
    select :source_id, given.id from unnest(cast(:ids as text[])) as given (id) order by given.id
    on conflict do nothing
    returning message_id
    """
)
SETTLE: Final = text(
    """
    update monohull.ingest_letters set state = 'done', finished_at = now(), due_at = null
    where id = :letter_id and source_id = :source_id and state = 'retrying'
    returning id
    """
)
_PASSING: Final = (
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.LockNotAvailableError,
)
"""What the server may be over soon, and no message is to blame for. A query that took too long is not so."""


class Effect(Protocol):
    """What the messages of one source do. Everything raises `Fault` where the source is to blame."""

    def prepare(self, message: Message) -> Any:
        """Return what `apply` needs of a message.

        Raises:
            Unusable: No attempt can help it.
        """

    async def check(self) -> None:
        """See whether messages could have their effect at all."""

    async def apply(self, messages: Sequence[tuple[Message, Any]]) -> int:
        """Have all messages take effect that were not seen, or none; return how many that were.

        Raises:
            Rejected: One of them cannot.
        """

    async def apply_letter(self, letter_id: UUID, prepared: Any) -> None:
        """Have a letter take effect and be done, where it still waits for that.

        Raises:
            Rejected: It cannot.
        """

    async def close(self) -> None:
        """Give connections back."""


class TableEffect:
    """Rows in a table, inserted by the login of data requests with the rights of a role.

    That login has no rights of its own and no way to the owner's, so that a trigger on the table which
    resets its role is then nobody.

    Args:
        database: With the login of data requests.
        source_id: Whose ids are marked.
        ticket: Shows that the worker asks.
        destination: Which table, as whom.
        timeout_seconds: How long a statement may take.
    """

    def __init__(
        self,
        database: Database,
        source_id: UUID,
        ticket: UUID,
        destination: TableDestination,
        *,
        timeout_seconds: int,
    ) -> None:
        self._database = database
        self._source_id = source_id
        self._ticket = ticket
        self._to = destination
        claims = msgspec.json.encode({"role": destination.role}).decode()
        self._settings = (str(timeout_seconds * 1000), claims, destination.role)
        self._connection: asyncpg.Connection | None = None

    def prepare(self, message: Message) -> Row:
        return row_of(message, self._to.columns)

    async def check(self) -> None:
        try:
            async with self._transaction() as connection:
                await connection.execute(_SETTINGS, *self._settings)
                await connection.execute(self._insert(tuple(self._to.columns)), "[]")
        except Rejected as error:
            raise Fault(f"Messages cannot be put into the table: {error.message}") from error

    async def apply(self, messages: Sequence[tuple[Message, Row]]) -> int:
        ids = sorted({str(message.id) for message, _ in messages})
        async with self._transaction() as connection:
            fresh = set(await connection.fetchval(_MARK, self._source_id, self._ticket, ids))
            rows = []
            for message, row in messages:
                if message.id in fresh:
                    fresh.discard(message.id)
                    rows.append(row)
            if rows:
                await self._put(connection, rows)
        return len(rows)

    async def apply_letter(self, letter_id: UUID, prepared: Row) -> None:
        async with self._transaction() as connection:
            if await connection.fetchval(_SETTLE, self._source_id, self._ticket, letter_id):
                await self._put(connection, [prepared])

    async def close(self) -> None:
        if (connection := self._connection) is not None:
            self._connection = None
            connection.terminate()

    async def _put(self, connection: asyncpg.Connection, rows: Sequence[Row]) -> None:
        await connection.execute(_SETTINGS, *self._settings)
        # in their order, though not all have the same columns
        for columns, alike in groupby(rows, key=lambda row: row.columns):
            values = b"[" + b",".join(row.values for row in alike) + b"]"
            await connection.execute(self._insert(columns), values.decode())

    def _insert(self, columns: Sequence[str]) -> str:
        table = f"{quote_name(self._to.schema)}.{quote_name(self._to.table)}"
        names = ", ".join(map(quote_name, columns))
        values = ", ".join(f"given.{quote_name(column)}" for column in columns)
        return (
            f"insert into {table} ({names}) select {values} "  # noqa: S608 quoted identifiers
            f"from jsonb_populate_recordset(null::{table}, $1::jsonb) as given"
        )

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[asyncpg.Connection]:
        """Lend the connection for a transaction.

        Raises:
            Rejected: The server refused what was asked. Fault: It is away, or busy with others.
        """
        if self._connection is None or self._connection.is_closed():
            self._connection = await self._database.connect()
        try:
            async with self._connection.transaction():
                yield self._connection
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            if not isinstance(error, asyncpg.PostgresError) or is_away(error) or _is_passing(error):
                await self.close()
                raise Fault(f"The database: {error}") from error
            raise Rejected(error.sqlstate or "unknown", str(error)) from error
        except BaseException:
            # cancelled in the middle of an answer
            await self.close()
            raise


def _is_passing(error: asyncpg.PostgresError) -> bool:
    return isinstance(error, _PASSING) and not isinstance(error, asyncpg.QueryCanceledError)


class JobEffect:
    """Jobs of the application.

    Args:
        runtime: Of the process.
        source_id: Whose ids are marked.
        job: What runs.
        argument: Its argument that the message is; None where the message is all arguments.
    """

    def __init__(self, runtime: Runtime, source_id: UUID, job: Job, argument: str | None) -> None:
        self._database = runtime.database
        self._tracing = runtime.tracing
        self._source_id = source_id
        self._job = job
        self._argument = argument

    def prepare(self, message: Message) -> dict[str, Any]:
        arguments = arguments_of(message, self._argument)
        try:
            self._job.checked(arguments)
        except msgspec.ValidationError as error:
            raise Unusable(
                "bad_arguments", f"The job {self._job.name} does not take this: {error}"
            ) from error
        return arguments

    async def check(self) -> None:
        """Nothing can be wrong: the worker knows the job."""

    async def apply(self, messages: Sequence[tuple[Message, dict[str, Any]]]) -> int:
        ids = sorted({str(message.id) for message, _ in messages})
        taken = 0
        async with self._database.unit_of_work() as work:
            found = await work.scalars(MARK, {"source_id": self._source_id, "ids": ids})
            fresh = set(found)
            for message, arguments in messages:
                if message.id in fresh:
                    fresh.discard(message.id)
                    with self._following(message):
                        await enqueue_call(work, Call(job=self._job, arguments=arguments))
                    taken += 1
        return taken

    def _following(self, message: Message) -> AbstractContextManager[Following]:
        """Have the job go on with the trace of whoever sent the message."""
        traceparent, request_id = message.headers.get("traceparent"), message.headers.get("x-request-id")
        return self._tracing.following(
            traceparent, request_id_of(request_id), f"receive {self._job.name}", Kind.CONSUMER
        )

    async def apply_letter(self, letter_id: UUID, prepared: dict[str, Any]) -> None:
        async with self._database.unit_of_work() as work:
            values = {"letter_id": letter_id, "source_id": self._source_id}
            if (await work.execute(SETTLE, values)).first() is not None:
                await enqueue_call(work, Call(job=self._job, arguments=prepared))

    async def close(self) -> None:
        """Nothing is held."""
