"""Another GoTrue's database, Supabase's for example, read through a cursor in one snapshot.

Versions differ in their columns, so rows are asked for as JSON, and what is
missing is missing. Nothing is written there.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import asyncpg
import msgspec

from modules.auth.intake.records import (
    Entry,
    Imported,
    ImportedIdentity,
    Rejection,
    instant,
    objects_of,
    text_of,
)
from monohull.kernel.refusals import NotReachable, WrongSetup

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CONNECT_SECONDS: Final = 15.0
PREFETCHED: Final = 500
FACTORS: Final = "without the second factor, which has to be enrolled again"

_TABLES: Final = (
    "select to_regclass('auth.users') is not null, to_regclass('auth.identities') is not null,"
    " to_regclass('auth.mfa_factors') is not null"
)
_USERS: Final = (
    "select to_jsonb(u)::text as found, {identities} as identities, {factors} as factors"
    " from auth.users u order by u.id"
)
_IDENTITIES: Final = (
    "(select coalesce(jsonb_agg(to_jsonb(i)), '[]')::text from auth.identities i where i.user_id = u.id)"
)
_HAS_FACTOR: Final = (
    "exists (select from auth.mfa_factors f where f.user_id = u.id and f.status::text = 'verified')"
)


async def read_gotrue(url: str) -> AsyncIterator[Entry]:
    """Read every user of the database at ``url``, in the order of their ids.

    Raises:
        NotReachable: It cannot be connected to, or went away. WrongSetup: It has no table of users.
    """
    try:
        connection = await asyncpg.connect(url, timeout=CONNECT_SECONDS)
    except (
        ValueError,
        asyncpg.InvalidPasswordError,
        asyncpg.InvalidAuthorizationSpecificationError,
    ) as error:
        raise WrongSetup("the address of the other database, or its login, does not hold") from error
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise NotReachable(f"the other database cannot be reached: {type(error).__name__}") from error
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            has_users, has_identities, has_factors = await connection.fetchrow(_TABLES)
            if not has_users:
                raise WrongSetup("the other database has no table auth.users")
            statement = _USERS.format(
                identities=_IDENTITIES if has_identities else "'[]'",
                factors=_HAS_FACTOR if has_factors else "false",
            )
            async for row in connection.cursor(statement, prefetch=PREFETCHED):
                found = json.loads(row["found"])
                notes = (FACTORS,) if row["factors"] else ()
                yield Entry(f"user {found.get('id')}", _record(found, json.loads(row["identities"])), notes)
    except asyncpg.InsufficientPrivilegeError as error:
        raise WrongSetup("the login of the other database may not read auth.users") from error
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise NotReachable(f"the other database went away: {type(error).__name__}") from error
    finally:
        await connection.close()


def _record(user: dict[str, Any], identities: list[dict[str, Any]]) -> Imported | Rejection:
    if user.get("deleted_at") is not None:
        return Rejection("deleted", "it was deleted there, and only its row is left")
    try:
        return msgspec.convert(
            {
                "id": user.get("id"),
                "email": text_of(user, "email"),
                "phone": text_of(user, "phone"),
                "password_hash": text_of(user, "encrypted_password"),
                "user_metadata": user.get("raw_user_meta_data") or {},
                "app_metadata": user.get("raw_app_meta_data") or {},
                "role": text_of(user, "role"),
                "identities": tuple(_identity(identity) for identity in objects_of(identities)),
                "is_sso_user": bool(user.get("is_sso_user")),
                "is_anonymous": bool(user.get("is_anonymous")),
                **{name: instant(user.get(name)) for name in _TIMES},
            },
            Imported,
        )
    except Rejection as rejection:
        return rejection
    except (msgspec.ValidationError, ValueError) as error:
        return Rejection("bad_value", str(error))


_TIMES: Final = (
    "email_confirmed_at",
    "phone_confirmed_at",
    "invited_at",
    "created_at",
    "updated_at",
    "last_sign_in_at",
    "banned_until",
)


def _identity(identity: dict[str, Any]) -> ImportedIdentity:
    """Read a row of ``auth.identities``; before 2023 its ``id`` was what is ``provider_id`` now."""
    is_old = identity.get("provider_id") is None
    provider_id = identity.get("id") if is_old else identity["provider_id"]
    return ImportedIdentity(
        provider=str(identity.get("provider")),
        provider_id=str(provider_id),
        identity_data=identity.get("identity_data") or {},
        id=None if is_old else UUID(str(identity.get("id"))),
        created_at=instant(identity.get("created_at")),
        updated_at=instant(identity.get("updated_at")),
        last_sign_in_at=instant(identity.get("last_sign_in_at")),
    )
