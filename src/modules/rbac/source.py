"""What principals hold and what limits them, for the kernel: read once a principal and epoch.

Most users of an application hold nothing for the instance. So who holds
anything at all is read once an epoch, and the others cost no query; only where
those who do are more than `MAX_HOLDERS` is each principal asked about. The same goes for
those whose roles limit columns.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final
from uuid import UUID

import msgspec

from modules.rbac.repositories import HELD_BY_KEY, HELD_BY_USER, HOLDERS, LIMITS_OF
from monohull.kernel.column_limits import RoleRule, narrowed, united
from monohull.kernel.grants import NOTHING, Granted, is_lent

if TYPE_CHECKING:
    from collections.abc import Collection

    from monohull.kernel.column_limits import ColumnLimits
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


class HeldRule(RoleRule, frozen=True, kw_only=True):
    """A rule of a role that somebody has anywhere; ``is_of_key`` where a key has the role itself."""

    is_of_key: bool


_roles: Final = msgspec.json.Decoder(tuple[HeldRole, ...]).decode
_rules: Final = msgspec.json.Decoder(tuple[HeldRule, ...]).decode


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
        self._limited: frozenset[UUID] | None = None
        self._holders_epoch = -1

    async def granted(self, principal: Principal) -> Granted:
        """Return the roles that ``principal`` has for the whole instance, and what limits it.

        Raises:
            Unavailable: 503.
        """
        user_id, key_id = _id(principal.subject), _id(principal.key_id)
        if user_id is None and key_id is None:
            return NOTHING
        await self._refresh()
        columns = await self._columns(user_id, key_id)
        sql, holder_id = (HELD_BY_USER, user_id) if principal.key_id is None else (HELD_BY_KEY, key_id)
        held = NOTHING if is_lent(principal) else await self._held(sql, holder_id)
        return held if columns is None else msgspec.structs.replace(held, columns=columns)

    async def _held(self, sql: str, holder_id: UUID | None) -> Granted:
        if holder_id is None or (self._holders is not None and holder_id not in self._holders):
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

    async def _columns(self, user_id: UUID | None, key_id: UUID | None) -> ColumnLimits | None:
        """Return what limits a user, a key, or a key that acts for a user: what both leave."""
        if self._limited is not None and self._limited.isdisjoint((user_id, key_id)):
            return None
        row = await self._database.run(LIMITS_OF, user_id, key_id)
        assert row is not None
        rules = _rules(row["rules"])
        return narrowed(
            united(rule for rule in rules if rule.is_of_key),
            united(rule for rule in rules if not rule.is_of_key),
        )

    async def _refresh(self) -> None:
        """Know who holds anything and who is limited, as of this epoch."""
        if self._holders_epoch != self._grants.epoch:
            async with self._reading:
                await self._read()

    async def _read(self) -> None:
        """Read who holds anything, unless somebody did while this waited."""
        epoch = self._grants.epoch
        if self._holders_epoch == epoch:
            return
        row = await self._database.run(HOLDERS, MAX_HOLDERS + 1)
        assert row is not None
        self._holders, self._limited = _ids(row["holders"]), _ids(row["limited"])
        self._holders_epoch = epoch


def _ids(found: Collection[object]) -> frozenset[UUID] | None:
    return None if len(found) > MAX_HOLDERS else frozenset(UUID(str(holder)) for holder in found)


def _id(text: str | None) -> UUID | None:
    """Return an id, or None: tokens of other issuers name their users as they like."""
    try:
        return None if text is None else UUID(text)
    except ValueError:
        return None
