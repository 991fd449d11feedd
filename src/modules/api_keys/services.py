"""Make, list and revoke keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from modules.api_keys.dtos import CreatedKey, CreateKey, KeyView
from modules.api_keys.errors import BeyondOwnPermissions, ExpiryPassed, UnknownPermissionNamed
from modules.api_keys.events import ApiKeyCreated, ApiKeyRevoked
from modules.api_keys.models import ApiKey
from modules.api_keys.opaque import CHECKSUM_CHARACTERS, generate, shown_prefix
from modules.api_keys.repositories import ApiKeyRepository
from monohull.kernel import clock, outbox
from monohull.kernel.ids import hash_token, uuid7
from monohull.kernel.permissions import grants

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from modules.api_keys.opaque import Kind
    from monohull.kernel.database.engine import Database
    from monohull.kernel.permissions import PermissionRegistry
    from monohull.kernel.principal import Principal

EVERYTHING: Final = "*"
ANON: Final = "anon"
SERVICE: Final = "service_role"


class Keys:
    """The keys of this instance."""

    def __init__(self, database: Database, permissions: PermissionRegistry) -> None:
        self._database = database
        self._permissions = permissions

    async def create(self, wanted: CreateKey, by: Principal) -> CreatedKey:
        """Make a key; its text is in the answer and nowhere else.

        Raises:
            UnknownPermissionNamed: 400. ExpiryPassed: 400.
            BeyondOwnPermissions: 403, ``by`` does not hold what the key would.
        """
        permissions = self._admit(wanted, by)
        text = generate(wanted.kind)
        row = ApiKey(
            id=uuid7(),
            name=wanted.name,
            kind=wanted.kind,
            prefix=shown_prefix(text),
            checksum=text[-CHECKSUM_CHARACTERS:],
            hash=hash_token(text),
            role=database_role(wanted.kind, permissions),
            permissions=list(permissions),
            created_at=clock.now(),
            created_by=by.subject or by.key_id or by.kind.value,
            expires_at=wanted.expires_at,
        )
        async with self._database.unit_of_work() as work:
            await ApiKeyRepository(work).add(row)
            await outbox.publish(
                work,
                ApiKeyCreated(
                    key_id=str(row.id), key_name=row.name, prefix=row.prefix, permissions=permissions
                ),
                key=str(row.id),
            )
        return CreatedKey(key=text, **msgspec.structs.asdict(view(row)))

    async def list_all(self, *, with_revoked: bool = False) -> Sequence[KeyView]:
        """Return the keys, newest first."""
        async with self._database.unit_of_work() as work:
            return [view(row) for row in await ApiKeyRepository(work).list_all(with_revoked=with_revoked)]

    async def revoke(self, key_id: UUID) -> KeyView:
        """End a key; one that has ended already is left as it is.

        Raises:
            NotFound: 404.
        """
        async with self._database.unit_of_work() as work:
            row = await ApiKeyRepository(work).get_by_id(key_id)
            if row.revoked_at is None:
                row.revoked_at = clock.now()
                await outbox.publish(
                    work, ApiKeyRevoked(key_id=str(row.id), key_name=row.name), key=str(row.id)
                )
            return view(row)

    def _admit(self, wanted: CreateKey, by: Principal) -> tuple[str, ...]:
        if wanted.expires_at is not None and wanted.expires_at <= clock.now():
            raise ExpiryPassed("expires_at lies in the past.")
        permissions = wanted.permissions
        if permissions is None:
            permissions = (EVERYTHING,) if wanted.kind == "secret" else ()
        for pattern in permissions:
            self._admit_permission(pattern, by)
        return tuple(sorted(set(permissions)))

    def _admit_permission(self, pattern: str, by: Principal) -> None:
        if not any(grants(frozenset({pattern}), permission.name) for permission in self._permissions):
            raise UnknownPermissionNamed(f"No module asks for the permission {pattern!r}.")
        if not grants(by.permissions, pattern):
            raise BeyondOwnPermissions(f"You do not hold {pattern} yourself.")


def database_role(kind: Kind, permissions: tuple[str, ...]) -> str:
    """Return the role of data requests: a limited key must not get past row security by its role."""
    return SERVICE if kind == "secret" and EVERYTHING in permissions else ANON


def view(row: ApiKey) -> KeyView:
    """Show a key without what could be used."""
    return KeyView(
        id=row.id,
        name=row.name,
        kind=row.kind,
        prefix=row.prefix,
        role=row.role,
        permissions=tuple(row.permissions),
        created_at=row.created_at,
        created_by=row.created_by,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )
