"""Make, list, change, rotate and revoke keys."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import UNSET

from modules.api_keys.admission import (
    admit_addresses,
    admit_end,
    admit_owner,
    admit_permissions,
    admit_reach,
    doubts,
)
from modules.api_keys.dtos import CreatedKey, CreateKey, KeyView, Quota
from modules.api_keys.errors import KeyEnded
from modules.api_keys.events import ApiKeyChanged, ApiKeyCreated, ApiKeyRevoked, ApiKeyRotated
from modules.api_keys.models import ApiKey
from modules.api_keys.opaque import CHECKSUM_CHARACTERS, generate, shown_prefix
from modules.api_keys.repositories import ApiKeyRepository
from monohull.kernel import clock, outbox
from monohull.kernel.ids import hash_token, uuid7

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from modules.api_keys.dtos import KeyPatch
    from modules.api_keys.news import News
    from monohull.kernel.database.engine import Database
    from monohull.kernel.permissions import PermissionRegistry
    from monohull.kernel.principal import Principal

EVERYTHING: Final = "*"
ALL_DATA: Final = "data.*"
ANON: Final = "anon"
SERVICE: Final = "service_role"
USER: Final = "authenticated"


class Keys:
    """The keys of this instance.

    Args:
        database: Where they are.
        permissions: What there is to be permitted.
        news: Tells every process of a change.
    """

    def __init__(self, database: Database, permissions: PermissionRegistry, news: News) -> None:
        self._database = database
        self._permissions = permissions
        self._news = news

    async def create(self, wanted: CreateKey, by: Principal) -> CreatedKey:
        """Make a key; its text is in the answer and nowhere else.

        Raises:
            UnknownPermissionNamed, ExpiryPassed, AddressesInvalid, OwnerUnknown, OwnerNeedsSecretKey: 400.
            BeyondOwnPermissions: 403, ``by`` does not hold what the key would.
        """
        admit_end(wanted.expires_at)
        permissions = wanted.permissions
        if permissions is None:
            permissions = default_permissions(wanted)
        permissions = admit_permissions(permissions, by, self._permissions)
        text = generate(wanted.kind)
        row = ApiKey(
            id=uuid7(),
            name=wanted.name,
            kind=wanted.kind,
            prefix=shown_prefix(text),
            checksum=text[-CHECKSUM_CHARACTERS:],
            hash=hash_token(text),
            role=database_role(wanted.kind, permissions, wanted.user_id),
            permissions=list(permissions),
            created_at=clock.now(),
            created_by=by.subject or by.key_id or by.kind.value,
            expires_at=wanted.expires_at,
            user_id=wanted.user_id,
            allowed_addresses=admit_addresses(wanted.allowed_addresses),
            rate_per_minute=wanted.rate_per_minute,
        )
        _set_quota(row, wanted.quota)
        async with self._database.unit_of_work() as work:
            if wanted.user_id is not None:
                await admit_owner(work, wanted.user_id, wanted.kind, by)
            warnings = await doubts(ApiKeyRepository(work), permissions)
            await ApiKeyRepository(work).add(row)
            event = ApiKeyCreated(
                key_id=str(row.id),
                key_name=row.name,
                prefix=row.prefix,
                permissions=permissions,
                user_id=None if row.user_id is None else str(row.user_id),
            )
            await outbox.publish(work, event, key=str(row.id))
        return CreatedKey(key=text, warnings=warnings, **msgspec.structs.asdict(view(row)))

    async def list_all(self, *, with_revoked: bool = False) -> Sequence[KeyView]:
        """Return the keys, newest first."""
        async with self._database.unit_of_work() as work:
            return [view(row) for row in await ApiKeyRepository(work).list_all(with_revoked=with_revoked)]

    async def get(self, key_id: UUID) -> KeyView:
        """Return one key.

        Raises:
            NotFound: 404.
        """
        async with self._database.unit_of_work() as work:
            return view(await ApiKeyRepository(work).get_by_id(key_id))

    async def change(self, key_id: UUID, patch: KeyPatch, by: Principal) -> tuple[KeyView, Sequence[str]]:
        """Change name, permissions or limits; return the key, and warnings as `create` does.

        Raises:
            NotFound: 404. KeyEnded: 409.
            BeyondOwnPermissions: 403, ``by`` does not hold what the key does, or would.
            UnknownPermissionNamed, ExpiryPassed, AddressesInvalid: 400.
        """
        async with self._database.unit_of_work() as work:
            keys = ApiKeyRepository(work)
            row = _living(await keys.lock(key_id))
            admit_reach(row, by, self._permissions)
            before = msgspec.to_builtins(view(row))
            warnings = await self._apply(row, patch, by, keys)
            after = msgspec.to_builtins(view(row))
            changed = [name for name in after if after[name] != before[name]]
            if changed:
                event = ApiKeyChanged(
                    key_id=str(row.id),
                    key_name=row.name,
                    before={name: before[name] for name in changed},
                    after={name: after[name] for name in changed},
                )
                await outbox.publish(work, event, key=str(row.id))
            found = view(row)
        await self._news.tell(key_id)
        return found, warnings

    async def rotate(self, key_id: UUID, overlap_seconds: int, by: Principal) -> CreatedKey:
        """Give a key a new text; the one it has holds for ``overlap_seconds`` yet, an older one no more.

        Raises:
            NotFound: 404. KeyEnded: 409.
            BeyondOwnPermissions: 403, ``by`` does not hold what the key does.
        """
        async with self._database.unit_of_work() as work:
            row = _living(await ApiKeyRepository(work).lock(key_id))
            admit_reach(row, by, self._permissions)
            text = generate("publishable" if row.kind == "publishable" else "secret")
            row.rotated_at = clock.now()
            row.previous_hash, row.previous_prefix = row.hash, row.prefix
            row.previous_ends_at = row.rotated_at + timedelta(seconds=overlap_seconds)
            row.hash, row.prefix = hash_token(text), shown_prefix(text)
            row.checksum = text[-CHECKSUM_CHARACTERS:]
            event = ApiKeyRotated(
                key_id=str(row.id),
                key_name=row.name,
                prefix=row.prefix,
                previous_prefix=row.previous_prefix,
                overlap_seconds=overlap_seconds,
            )
            await outbox.publish(work, event, key=str(row.id))
            found = view(row)
        await self._news.tell(key_id)
        return CreatedKey(key=text, **msgspec.structs.asdict(found))

    async def revoke(self, key_id: UUID) -> KeyView:
        """End a key; one that has ended already is left as it is.

        Raises:
            NotFound: 404.
        """
        async with self._database.unit_of_work() as work:
            row = await ApiKeyRepository(work).lock(key_id)
            if row.revoked_at is None:
                row.revoked_at = clock.now()
                await outbox.publish(
                    work, ApiKeyRevoked(key_id=str(row.id), key_name=row.name), key=str(row.id)
                )
            found = view(row)
        await self._news.tell(key_id)
        return found

    async def _apply(
        self, row: ApiKey, patch: KeyPatch, by: Principal, keys: ApiKeyRepository
    ) -> Sequence[str]:
        warnings: Sequence[str] = ()
        if patch.name is not UNSET:
            row.name = patch.name
        if patch.permissions is not UNSET:
            permissions = admit_permissions(patch.permissions, by, self._permissions)
            warnings = await doubts(keys, permissions)
            row.permissions = list(permissions)
            row.role = database_role(row.kind, permissions, row.user_id)
        if patch.expires_at is not UNSET:
            admit_end(patch.expires_at)
            row.expires_at = patch.expires_at
        if patch.allowed_addresses is not UNSET:
            row.allowed_addresses = admit_addresses(patch.allowed_addresses)
        if patch.rate_per_minute is not UNSET:
            row.rate_per_minute = patch.rate_per_minute
        if patch.quota is not UNSET:
            _set_quota(row, patch.quota)
        return warnings


def default_permissions(wanted: CreateKey) -> tuple[str, ...]:
    """Return what a key may do for which nobody said it."""
    if wanted.kind == "publishable":
        return ()
    return (EVERYTHING,) if wanted.user_id is None else (ALL_DATA,)


def database_role(kind: str, permissions: Sequence[str], user_id: UUID | None = None) -> str:
    """Return the role of data requests: a limited key must not get past row security by its role."""
    if user_id is not None:
        return USER
    return SERVICE if kind == "secret" and EVERYTHING in permissions else ANON


def quota_of(row: ApiKey) -> Quota | None:
    """Return the quota of a key."""
    if row.quota is None or row.quota_period is None:
        return None
    return Quota(row.quota, "day" if row.quota_period == "day" else "month")


def view(row: ApiKey) -> KeyView:
    """Show a key without what could be used."""
    has_previous = row.previous_ends_at is not None and row.previous_ends_at > clock.now()
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
        user_id=row.user_id,
        allowed_addresses=tuple(row.allowed_addresses),
        rate_per_minute=row.rate_per_minute,
        quota=quota_of(row),
        rotated_at=row.rotated_at,
        previous_prefix=row.previous_prefix if has_previous else None,
        previous_ends_at=row.previous_ends_at if has_previous else None,
    )


def _set_quota(row: ApiKey, quota: Quota | None) -> None:
    row.quota = None if quota is None else quota.limit
    row.quota_period = None if quota is None else quota.period


def _living(row: ApiKey) -> ApiKey:
    if row.revoked_at is not None or row.is_expired:
        raise KeyEnded("This key has ended.")
    return row
