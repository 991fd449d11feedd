"""The frame of every change: one at a time, and everybody asks anew once it is committed."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from sqlalchemy.exc import IntegrityError

from modules.rbac.errors import LastOwner, LastTeamOwner, NameTaken
from monohull.kernel.database.repository import violated_constraint
from monohull.kernel.database.session import after_commit
from monohull.kernel.errors import SchemaConflict

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from sqlalchemy.ext.asyncio import AsyncSession

    from monohull.kernel.database.engine import Database


class Changes:
    """Opens units of work that change who holds what.

    Args:
        database: The platform's.
        announce: Called after each commit: tells this process and the others.
    """

    def __init__(self, database: Database, announce: Callable[[], Awaitable[None]]) -> None:
        self._database = database
        self._announce = announce

    @asynccontextmanager
    async def open(self) -> AsyncIterator[AsyncSession]:
        """Open a unit of work whose commit is announced.

        Raises:
            NameTaken: 409, another one has the name.
            LastOwner: 409, no user would be owner of the instance any more; the schema's triggers say so.
            LastTeamOwner: 409, no user would be owner of a team any more.
            Unavailable: 503.
        """
        try:
            async with self._database.unit_of_work() as work:
                after_commit(work, self._announce)
                yield work
        except IntegrityError as error:
            if violated_constraint(error) in ("uq_roles_name", "uq_groups_name", "pk_permissions"):
                raise NameTaken("Another one has this name.") from error
            raise
        except SchemaConflict as refusal:
            if refusal.rule == "last_owner":
                raise LastOwner(refusal.message) from refusal
            if refusal.rule == "last_team_owner":
                raise LastTeamOwner(refusal.message) from refusal
            raise
