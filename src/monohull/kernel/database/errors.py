"""Why a migration was not made: refusals for the person at the terminal, not for a client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monohull.kernel.refusals import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable


class MigrationRefused(Refused):
    """The database is not, or cannot be brought, where this code needs it. Says what to do."""


class SchemaNewer(MigrationRefused):
    """The platform schema was made by a newer version of this code."""


class AdministratorNeeded(MigrationRefused):
    """The owner role may not do it; an administrator has to run `sql`.

    Args:
        what: What is missing, a clause without a full stop.
        sql: Statements in order, each without its semicolon.
    """

    def __init__(self, what: str, sql: Iterable[str]) -> None:
        self.sql = tuple(sql)
        script = "\n".join(f"    {statement};" for statement in self.sql)
        super().__init__(f"{what}; let a superuser run this once, then repeat:\n{script}")
