"""Auth0: an export of users, and the hashes that its support hands out, as one file or two.

Profiles come from a job of the Management API (``user_id``, ``identities``, …),
hashes as lines of ``_id.$oid``, ``email`` and ``passwordHash`` (bcrypt).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from modules.auth.intake.records import (
    INFINITY,
    Entry,
    Imported,
    ImportedIdentity,
    Rejection,
    derived_id,
    instant,
    objects_of,
    text_of,
)
from modules.auth.intake.sources.streams import objects
from monohull.kernel import clock

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import TextIO

PROVIDERS: Final = {
    "google-oauth2": "google",
    "windowslive": "azure",
    "waad": "azure",
    "linkedin": "linkedin_oidc",
    "oauth2": "custom",
}
OWN: Final = frozenset({"auth0", "email", "sms"})
FACTORS: Final = "without the second factor, which has to be enrolled again"


def read_hashes(stream: TextIO) -> dict[str, str]:
    """Return the hashes of a second file, by user id and by address: about 200 bytes a user are held.

    Raises:
        WrongSetup: The file is no JSON.
    """
    found: dict[str, str] = {}
    for _, record in objects(stream, key="users"):
        if isinstance(record, Rejection):
            continue
        hashed = text_of(record, "passwordHash", "password_hash")
        if hashed is not None and (name := _id_of(record) or text_of(record, "email")) is not None:
            found[name.lower()] = hashed
    return found


def read_auth0(stream: TextIO, hashes: Mapping[str, str]) -> Iterator[Entry]:
    """Read an export: lines, or an array.

    Raises:
        WrongSetup: An array is no JSON.
    """
    for where, found in objects(stream, key="users"):
        if isinstance(found, Rejection):
            yield Entry(where, found)
            continue
        try:
            notes = (FACTORS,) if found.get("multifactor") or found.get("mfa_factors") else ()
            yield Entry(where, _record(found, hashes), notes)
        except Rejection as rejection:
            yield Entry(where, rejection)


def _record(user: dict[str, Any], hashes: Mapping[str, str]) -> Imported:
    user_id, email = _id_of(user), text_of(user, "email")
    name = user_id or email
    if name is None:
        raise Rejection("bad_value", "it has neither a user_id nor an email")
    created_at = instant(user.get("created_at") or _date(user.get("password_set_date")))
    phone = text_of(user, "phone_number")
    shown = {key: text_of(user, source) for key, source in _SHOWN.items()}
    kept = {"imported_from": "auth0", "imported_id": user_id} if user_id else {"imported_from": "auth0"}
    return Imported(
        id=derived_id("auth0", name.lower()),
        email=email,
        phone=phone,
        password_hash=_hash(user, hashes, name, email),
        email_confirmed_at=(created_at or clock.now()) if user.get("email_verified") is True else None,
        phone_confirmed_at=(created_at or clock.now())
        if user.get("phone_verified") is True and phone
        else None,
        user_metadata={key: value for key, value in shown.items() if value} | _object(user, "user_metadata"),
        app_metadata=_object(user, "app_metadata") | kept,
        identities=tuple(
            identity
            for item in objects_of(user.get("identities"))
            if (identity := _identity(item)) is not None
        ),
        created_at=created_at,
        updated_at=instant(user.get("updated_at")),
        last_sign_in_at=instant(user.get("last_login")),
        banned_until=INFINITY if user.get("blocked") is True else None,
    )


_SHOWN: Final = {"name": "name", "full_name": "name", "nickname": "nickname", "avatar_url": "picture"}


def _id_of(user: dict[str, Any]) -> str | None:
    """Return ``auth0|…``, from either kind of file."""
    if (found := text_of(user, "user_id")) is not None:
        return found
    inner = user.get("_id")
    oid = inner.get("$oid") if isinstance(inner, dict) else inner
    return f"auth0|{oid}" if isinstance(oid, str) and oid else None


def _hash(user: dict[str, Any], hashes: Mapping[str, str], name: str, email: str | None) -> str | None:
    own = text_of(user, "passwordHash", "password_hash")
    custom = user.get("custom_password_hash")
    if own is None and isinstance(custom, dict):
        inner = custom.get("hash")
        if custom.get("algorithm") not in ("bcrypt", "argon2", "pbkdf2") or not isinstance(inner, dict):
            raise Rejection("unusable_hash", "its custom_password_hash is of a kind that is not known")
        own = text_of(inner, "value")
    return own or hashes.get(name.lower()) or hashes.get((email or "").lower())


def _object(user: dict[str, Any], name: str) -> dict[str, Any]:
    value = user.get(name) or {}
    if not isinstance(value, dict):
        raise Rejection("bad_value", f"{name} is no object")
    return value


def _date(value: object) -> object:
    return value.get("$date") if isinstance(value, dict) else value


def _identity(item: dict[str, Any]) -> ImportedIdentity | None:
    provider, subject = text_of(item, "provider"), item.get("user_id")
    if provider is None or provider in OWN or not isinstance(subject, str | int):
        return None
    data = item.get("profileData")
    return ImportedIdentity(
        provider=PROVIDERS.get(provider, provider),
        provider_id=str(subject),
        identity_data=data if isinstance(data, dict) else {},
    )
