"""A log with entries in it, written as the worker writes them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from modules.audit.services import AuditLog
from modules.audit.writer import Writer
from monohull.kernel.configuration import load
from monohull.kernel.events import Event
from monohull.kernel.outbox import publish
from monohull.kernel.runtime import Runtime
from tests.application import JWT_SECRET

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modules.audit.verification import Fault
    from monohull.kernel.home import Connections

SUPERUSER = "set session_replication_role = replica"


class CaseOpened(Event, frozen=True):
    """Something worth an entry."""

    name = "test.case_opened"

    case_id: str
    old_title: str | None = None
    title: str = ""
    password: str | None = None


class CaseGlanced(Event, frozen=True):
    """Something that is not."""

    name = "test.case_glanced"
    is_audited = False

    case_id: str


class Log(Struct, frozen=True):
    """The log of one database.

    Attributes:
        runtime: Of a process that publishes.
    """

    runtime: Runtime

    async def say(self, *cases: str, **more: Any) -> None:
        """Publish one event a case, in one transaction."""
        async with self.runtime.database.unit_of_work() as work:
            for case in cases:
                await publish(work, CaseOpened(case_id=case, **more))

    async def write(self) -> int:
        """Add everything that waits; return how many entries that were."""
        writer, added = Writer(self.runtime.database, self.runtime.observer), 0
        async with self.runtime.database.connection() as connection:
            while count := await writer.add_batch(connection):
                added += count
        return added

    async def fill(self, count: int, prefix: str = "case") -> None:
        """Add so many entries."""
        await self.say(*(f"{prefix}-{number}" for number in range(1, count + 1)))
        assert await self.write() == count

    async def entries(self) -> Sequence[Any]:
        async with self.runtime.database.connection() as connection:
            return list(
                await connection.fetch(
                    "select *, before::text as before_text, after::text as after_text "
                    "from monohull.audit_entries order by recorded_at, sequence"
                )
            )

    async def tamper(self, *statements: str) -> None:
        """Do what a superuser can who knows how: the triggers are off, whatever they say."""
        async with self.runtime.database.connection() as connection:
            (month,) = {row["month"] for row in await connection.fetch(_MONTH)} or {None}
            table = f"monohull.audit_entries_{month}"
            async with connection.transaction():
                await connection.execute(f"alter table {table} disable trigger all")
                for statement in statements:
                    await connection.execute(statement.replace("ENTRIES", table))
                await connection.execute(f"alter table {table} enable always trigger monohull_append_only")
                await connection.execute(
                    f"alter table {table} enable always trigger monohull_append_only_whole"
                )

    @property
    def audit(self) -> AuditLog:
        return AuditLog(self.runtime.database, self.runtime.settings)

    async def fault(self) -> Fault:
        """Verify, and return the fault that has to be there."""
        verdict = await self.audit.verify()
        assert not verdict.ok
        assert verdict.fault is not None
        return verdict.fault


_MONTH = """
    select distinct to_char(recorded_at at time zone 'UTC', 'YYYY_MM') as month from monohull.audit_entries
"""


def make_log(connections: Connections, **settings: str) -> Log:
    environ = {"MONOHULL_ENV": "test", "MONOHULL_JWT_SECRET": JWT_SECRET, "MONOHULL_LOG_LEVEL": "error"}
    environ |= {f"MONOHULL_{name.upper()}": value for name, value in settings.items()}
    loaded = load(environ, project=Path("/"))
    return Log(Runtime(loaded.settings, loaded.modules, connections, process="api"))
