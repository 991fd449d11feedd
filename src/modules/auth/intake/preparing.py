"""A user as a source tells of it → rows, or why not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from modules.auth.errors import AuthProblem
from modules.auth.intake.records import Imported, ImportedIdentity, Rejection
from modules.auth.passwords import is_known
from modules.auth.rules import check_storable, normal_email, normal_phone
from monohull.kernel.ids import uuid7

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

PRIVILEGED: Final = frozenset({"service_role", "supabase_admin", "postgres", "authenticator"})
"""Roles of the platform: a file that makes somebody one of these would make them its owner."""

MAX_ROLE_CHARACTERS: Final = 63
USER_COLUMNS: Final = (
    "id",
    "aud",
    "role",
    "email",
    "phone",
    "encrypted_password",
    "email_confirmed_at",
    "phone_confirmed_at",
    "invited_at",
    "last_sign_in_at",
    "raw_app_meta_data",
    "raw_user_meta_data",
    "created_at",
    "updated_at",
    "banned_until",
    "is_sso_user",
    "is_anonymous",
)
IDENTITY_COLUMNS: Final = (
    "id",
    "user_id",
    "provider",
    "provider_id",
    "identity_data",
    "created_at",
    "updated_at",
    "last_sign_in_at",
)
NO_PASSWORD: Final = "without a password: its hash cannot be compared with"


class Rules(Struct, frozen=True):
    """What is done with users that do not quite fit.

    Attributes:
        drops_unusable_hashes: Take users whose hash is of no known kind, without it.
    """

    drops_unusable_hashes: bool = False


class Prepared(Struct, frozen=True, kw_only=True):
    """Rows of one user. ``has_own_id`` says that the source gave the id."""

    where: str
    user: dict[str, Any]
    identities: list[dict[str, Any]]
    has_own_id: bool
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.user["email"] or self.user["phone"] or str(self.user["id"])


def prepare(
    where: str, record: Imported, rules: Rules, at: datetime, notes: tuple[str, ...] = ()
) -> Prepared:
    """Check ``record`` and make its rows; ``at`` stands in for times that it does not tell.

    Raises:
        Rejection: It is not taken.
    """
    try:
        msgspec.json.encode([record.user_metadata, record.app_metadata, record.identities, record.role])
        check_storable(msgspec.to_builtins([record.user_metadata, record.app_metadata, record.role]))
        check_storable(msgspec.to_builtins(record.identities))
        email = normal_email(record.email) if record.email else None
        phone = normal_phone(record.phone) if record.phone else None
    except AuthProblem as problem:
        raise Rejection(problem.code, problem.message) from problem
    except (UnicodeEncodeError, RecursionError) as error:
        raise Rejection("not_storable", "a text in it cannot be stored") from error
    if not (email or phone or record.identities or record.is_anonymous):
        raise Rejection("nobody", "there is neither an address nor a number nor another identity")
    hashed, left = _password(record, rules)
    user_id = record.id or uuid7()
    identities = _identities(record, user_id, email, phone, at)
    providers = list(dict.fromkeys(identity["provider"] for identity in identities))
    own = {"provider": providers[0], "providers": providers} if providers else {}
    user = {
        "id": user_id,
        "aud": "authenticated",
        "role": _role(record),
        "email": email,
        "phone": phone,
        "encrypted_password": hashed,
        "email_confirmed_at": record.email_confirmed_at if email else None,
        "phone_confirmed_at": record.phone_confirmed_at if phone else None,
        "invited_at": record.invited_at,
        "last_sign_in_at": record.last_sign_in_at,
        "raw_app_meta_data": {**own, **record.app_metadata},
        "raw_user_meta_data": record.user_metadata,
        "created_at": record.created_at or at,
        "updated_at": record.updated_at or record.created_at or at,
        "banned_until": record.banned_until,
        "is_sso_user": record.is_sso_user,
        "is_anonymous": record.is_anonymous,
    }
    return Prepared(
        where=where,
        user=user,
        identities=identities,
        has_own_id=record.id is not None,
        notes=notes + left,
    )


def _password(record: Imported, rules: Rules) -> tuple[str | None, tuple[str, ...]]:
    """Return the hash, and what has to be said when it is left behind."""
    stored = record.password_hash
    if not stored:
        return None, ()
    if "\0" not in stored and is_known(stored):
        return stored, ()
    if rules.drops_unusable_hashes:
        return None, (NO_PASSWORD,)
    raise Rejection(
        "unusable_hash",
        "the password's hash is of a kind or cost that cannot be compared with; "
        "--drop-unusable-hashes takes such users without a password",
    )


def _role(record: Imported) -> str:
    role = record.role or "authenticated"
    if role in PRIVILEGED or len(role) > MAX_ROLE_CHARACTERS:
        raise Rejection("privileged_role", f"the role {role[:MAX_ROLE_CHARACTERS]} is not a user's")
    return role


def _identities(
    record: Imported, user_id: UUID, email: str | None, phone: str | None, at: datetime
) -> list[dict[str, Any]]:
    """Return the rows of ``auth.identities``, with those of address and number."""
    given = {(identity.provider, identity.provider_id): identity for identity in record.identities}
    if len(given) < len(record.identities):
        raise Rejection("identity_twice", "it has the same identity twice")
    known = {identity.provider for identity in record.identities}
    if email and not record.is_sso_user and "email" not in known and (record.password_hash or not known):
        given["email", str(user_id)] = _own("email", user_id, email, record.email_confirmed_at is not None)
    if phone and "phone" not in known:
        given["phone", str(user_id)] = _own("phone", user_id, phone, record.phone_confirmed_at is not None)
    made = record.created_at or at
    return [
        {
            "id": identity.id or uuid7(),
            "user_id": user_id,
            "provider": identity.provider,
            "provider_id": identity.provider_id,
            "identity_data": {"sub": identity.provider_id, **identity.identity_data},
            "created_at": identity.created_at or made,
            "updated_at": identity.updated_at or identity.created_at or made,
            "last_sign_in_at": identity.last_sign_in_at or record.last_sign_in_at,
        }
        for identity in given.values()
    ]


def _own(provider: str, user_id: UUID, address: str, is_confirmed: bool) -> ImportedIdentity:
    data = {
        provider: address,
        "email_verified": is_confirmed and provider == "email",
        "phone_verified": is_confirmed and provider == "phone",
    }
    return ImportedIdentity(provider=provider, provider_id=str(user_id), identity_data=data)
