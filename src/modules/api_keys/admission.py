"""What a key may be given, and by whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modules.api_keys.errors import (
    AddressesInvalid,
    BeyondOwnPermissions,
    ExpiryPassed,
    OwnerNeedsSecretKey,
    OwnerUnknown,
    UnknownPermissionNamed,
)
from modules.api_keys.networks import parse_networks
from modules.api_keys.owners import find_owner
from modules.api_keys.permissions import CHOOSE_OWNER
from monohull.kernel import clock
from monohull.kernel.data_permissions import named_in
from monohull.kernel.permissions import grants

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.api_keys.models import ApiKey
    from modules.api_keys.repositories import ApiKeyRepository
    from monohull.kernel.permissions import PermissionRegistry
    from monohull.kernel.principal import Principal


def admit_end(expires_at: datetime | None) -> None:
    """Refuse a key that could never be used.

    Raises:
        ExpiryPassed: 400.
    """
    if expires_at is not None and expires_at <= clock.now():
        raise ExpiryPassed("expires_at lies in the past.")


def admit_permissions(
    patterns: Iterable[str], by: Principal, registry: PermissionRegistry, *, is_known: bool = False
) -> tuple[str, ...]:
    """Return the permissions, each once and in order.

    Args:
        patterns: Names and patterns.
        by: Who gives them.
        registry: What there is to be permitted.
        is_known: They were admitted before, perhaps with other modules.

    Raises:
        UnknownPermissionNamed: 400, one can only be a typing error.
        BeyondOwnPermissions: 403, ``by`` does not hold one.
    """
    admitted = tuple(sorted(set(patterns)))
    for pattern in admitted:
        if not is_known and not registry.knows(pattern):
            raise UnknownPermissionNamed(f"No module asks for the permission {pattern!r}.")
        if not grants(by.permissions, pattern):
            raise BeyondOwnPermissions(f"You do not hold {pattern} yourself.")
    return admitted


def admit_addresses(entries: Iterable[str]) -> list[str]:
    """Return the allow-list as it is kept, each network once.

    Raises:
        AddressesInvalid: 400.
    """
    try:
        return list(dict.fromkeys(str(network) for network in parse_networks(entries)))
    except ValueError as error:
        raise AddressesInvalid(f"The allow-list cannot be read: {error}.") from error


def admit_choice(user_id: UUID, by: Principal) -> None:
    """Let ``by`` decide about a key that acts as a user: as oneself, or as anybody for whoever may choose.

    Raises:
        BeyondOwnPermissions: 403.
    """
    if by.subject != str(user_id) and not grants(by.permissions, CHOOSE_OWNER.name):
        raise BeyondOwnPermissions(f"A key that acts as another user needs {CHOOSE_OWNER.name}.")


def admit_reach(row: ApiKey, by: Principal, registry: PermissionRegistry) -> None:
    """Let ``by`` have a hand in what a key is good for: nobody who could not make it has.

    Raises:
        BeyondOwnPermissions: 403.
    """
    admit_permissions(row.permissions, by, registry, is_known=True)
    if row.user_id is not None:
        admit_choice(row.user_id, by)


async def admit_owner(session: AsyncSession, user_id: UUID, kind: str, by: Principal) -> None:
    """Let a key act as a user who exists.

    Raises:
        OwnerNeedsSecretKey: 400. OwnerUnknown: 400. BeyondOwnPermissions: 403.
    """
    if kind != "secret":
        raise OwnerNeedsSecretKey("A publishable key cannot act as a user.")
    admit_choice(user_id, by)
    if await find_owner(session, user_id) is None:
        raise OwnerUnknown(f"No user has the id {user_id}.")


async def doubts(keys: ApiKeyRepository, permissions: Sequence[str]) -> tuple[str, ...]:
    """Return a warning for each permission about something that is not there.

    It is no refusal: a key may well be made before the tables are.
    """
    found: list[str] = []
    for permission in permissions:
        named = named_in(permission)
        if named is not None and not await keys.has(named):
            kind = "function" if named.is_routine else "relation"
            shown = named.name if named.schema is None else f"{named.schema}.{named.name}"
            found.append(f"There is no {kind} {shown} yet; until there is, {permission} allows nothing.")
    return tuple(found)
