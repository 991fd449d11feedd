"""A user as a source tells of it, in one shape for all of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable

INFINITY: Final = datetime(9999, 1, 1, tzinfo=UTC)
MILLISECONDS: Final = 1000


class ImportedIdentity(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One way in which the user was recognised; ``provider_id`` is the provider's name for it."""

    provider: str
    provider_id: str
    identity_data: dict[str, Any] = {}
    id: UUID | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    last_sign_in_at: datetime | None = None


class Imported(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A user, unchecked. Also a line of a JSON Lines file, and by these names the columns of a CSV file.

    Attributes:
        id: Kept; without one the user gets a new id, and is known again by address or number.
        password_hash: In a form that `password_hashes` knows.
        app_metadata: ``provider`` and ``providers`` are filled in.
        identities: Those of address and number are added where they are missing.
    """

    id: UUID | None = None
    email: str | None = None
    phone: str | None = None
    password_hash: str | None = None
    email_confirmed_at: datetime | None = None
    phone_confirmed_at: datetime | None = None
    user_metadata: dict[str, Any] = {}
    app_metadata: dict[str, Any] = {}
    identities: tuple[ImportedIdentity, ...] = ()
    role: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    last_sign_in_at: datetime | None = None
    invited_at: datetime | None = None
    banned_until: datetime | None = None
    is_sso_user: bool = False
    is_anonymous: bool = False

    @property
    def name(self) -> str:
        """What people know the user by."""
        return self.email or self.phone or (str(self.id) if self.id else "")


class Rejection(Exception):
    """Why a user was not taken: a stable ``reason`` and a sentence."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class Entry(Struct, frozen=True):
    """What stands at one place of a source: a user, or why there is none.

    Attributes:
        where: The place, ``line 12`` for example.
        found: The user.
        notes: What was left behind of it.
    """

    where: str
    found: Imported | Rejection
    notes: tuple[str, ...] = ()


def derived_id(source: str, foreign_id: str) -> UUID:
    """Return the id of a user whose own is no UUID: the same at every run."""
    return uuid5(NAMESPACE_URL, f"monohull:{source}:{foreign_id}")


def instant(value: object) -> datetime | None:
    """Read ISO 8601, or milliseconds since 1970; without a zone it is UTC.

    Raises:
        Rejection: It is neither.
    """
    if value is None or value == "":
        return None
    text = str(value).strip()
    try:
        if text.isascii() and text.isdigit():
            return datetime.fromtimestamp(int(text[:16]) / MILLISECONDS, UTC)
        if text == "infinity":
            return INFINITY
        found = datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError) as error:
        raise Rejection("bad_time", f"{text[:40]!r} is no time") from error
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def text_of(record: dict[str, Any], *names: str) -> str | None:
    """Return the first of the fields that is filled.

    Raises:
        Rejection: It is no text.
    """
    for name in names:
        value = record.get(name)
        if value is None or value == "":
            continue
        if not isinstance(value, str):
            raise Rejection("bad_value", f"{name} is no text")
        return value
    return None


def objects_of(value: object) -> Iterable[dict[str, Any]]:
    """Return the objects of what should be a list of them."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
