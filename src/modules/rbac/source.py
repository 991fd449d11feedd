"""What principals hold, for the kernel: read from the tables, once a principal and epoch.

Most users of an application hold nothing for the instance. So who holds
anything at all is read once an epoch, and the others cost no query; only where
those who do are more than `MAX_HOLDERS` is each principal asked about.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final
from uuid import UUID

import msgspec

from modules.rbac.repositories import HELD_BY_KEY, HELD_BY_USER, HOLDERS
from monohull.kernel.grants import NOTHING, Granted

if TYPE_CHECKING:
    from monohull.kernel.database.engine import Database
    from monohull.kernel.grants import Grants
    from monohull.kernel.principal import Principal

MAX_HOLDERS: Final = 10_000
"""About 1.5 MB in each process."""

_HELD: Final = """
    select coalesce(json_agg(held), '[]')::text as held,
        (select version from monohull.access_version) as version
    from ({}) as held
"""


class HeldRole(msgspec.Struct, frozen=True):
    """A role that somebody has for the whole instance."""

    name: str
    permissions: tuple[str, ...]


_roles: Final = msgspec.json.Decoder(tuple[HeldRole, ...]).decode


class RoleSource:
    """Asks the database what somebody holds; one round trip.

    Args:
        database: The platform's.
        grants: Whose epochs say for how long an answer counts.
    """

    def __init__(self, database: Database, grants: Grants) -> None:
        self._database = database
        self._grants = grants
        self._reading = asyncio.Lock()
        self._holders: frozenset[UUID] | None = None
        self._holders_epoch = -1

    async def granted(self, principal: Principal) -> Granted:
        """Return the roles that ``principal`` has for the whole instance, and what they bundle.

        Raises:
            Unavailable: 503.
        """
        sql, holder = (
            (HELD_BY_USER, principal.subject) if principal.key_id is None else (HELD_BY_KEY, principal.key_id)
        )
        try:
            holder_id = UUID(holder or "")
        except ValueError:  # tokens of other issuers name their users as they like
            return NOTHING
        if not await self._may_hold(holder_id):
            return NOTHING
        row = await self._database.run(_HELD.format(sql), holder_id)
        assert row is not None
        roles = _roles(row["held"])
        if not roles:
            return NOTHING
        return Granted(
            roles=tuple(sorted(role.name for role in roles)),
            permissions=frozenset(permission for role in roles for permission in role.permissions),
            version=row["version"],
        )

    async def _may_hold(self, holder_id: UUID) -> bool:
        """Say whether a user or key is among those who hold something, as far as these are known."""
        if self._holders_epoch != self._grants.epoch:
            async with self._reading:
                await self._read()
        return self._holders is None or holder_id in self._holders

    async def _read(self) -> None:
        """Read who holds anything, unless somebody did while this waited."""
        epoch = self._grants.epoch
        if self._holders_epoch == epoch:
            return
        row = await self._database.run(HOLDERS, MAX_HOLDERS + 1)
        assert row is not None
        found = row["holders"]
        self._holders = None if len(found) > MAX_HOLDERS else frozenset(UUID(str(holder)) for holder in found)
        self._holders_epoch = epoch
