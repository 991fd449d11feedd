"""Bodies of ``/platform/v1/api-keys``."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from monohull.kernel.patterns import END

Name = Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f]+" + END)]
Moment = Annotated[datetime, Meta(tz=True)]
Networks = Annotated[tuple[Annotated[str, Meta(max_length=50)], ...], Meta(max_length=100)]
Rate = Annotated[int, Meta(ge=1, le=1_000_000)]

DEFAULT_OVERLAP_SECONDS: Final = 86_400
MAX_OVERLAP_SECONDS: Final = 90 * 86_400


class Quota(Struct, frozen=True, forbid_unknown_fields=True):
    """How many requests a key may make in a day or a month of UTC."""

    limit: Annotated[int, Meta(ge=1, le=1_000_000_000_000)]
    period: Literal["day", "month"]


class CreateKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key to be made.

    No ``permissions``: everything for a secret key, all data (``data.*``) for one with an owner, and for a
    publishable one what grants and policies give the anonymous role.

    Attributes:
        user_id: Whose key it is: data requests run as this user.
        allowed_addresses: Networks it may be used from, such as ``203.0.113.0/24``; none: from anywhere.
        rate_per_minute: Requests a minute; None for no limit.
        quota: Requests a day or month; None for no limit.
    """

    name: Name
    kind: Literal["publishable", "secret"] = "secret"
    permissions: tuple[str, ...] | None = None
    expires_at: Moment | None = None
    user_id: UUID | None = None
    allowed_addresses: Networks = ()
    rate_per_minute: Rate | None = None
    quota: Quota | None = None


class KeyPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be different; what is left out stays, null takes a limit away."""

    name: Name | UnsetType = UNSET
    permissions: tuple[str, ...] | UnsetType = UNSET
    expires_at: Moment | UnsetType | None = UNSET
    allowed_addresses: Networks | UnsetType = UNSET
    rate_per_minute: Rate | UnsetType | None = UNSET
    quota: Quota | UnsetType | None = UNSET


class RotateKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For how long the text that there is now holds beside the new one; 0 ends it at once."""

    overlap_seconds: Annotated[int, Meta(ge=0, le=MAX_OVERLAP_SECONDS)] = DEFAULT_OVERLAP_SECONDS


class KeyView(Struct, frozen=True, kw_only=True):
    """A key as lists show it.

    ``previous_prefix`` is set while the text before the last rotation still holds.
    """

    id: UUID
    name: str
    kind: str
    prefix: str
    role: str
    permissions: tuple[str, ...]
    created_at: datetime
    created_by: str | None
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    user_id: UUID | None = None
    allowed_addresses: tuple[str, ...] = ()
    rate_per_minute: int | None = None
    quota: Quota | None = None
    rotated_at: datetime | None = None
    previous_prefix: str | None = None
    previous_ends_at: datetime | None = None


class KeyInUse(KeyView, frozen=True, kw_only=True):
    """One key; ``quota_used`` counts its requests in the period at hand, null where nobody can say."""

    quota_used: int | None = None


class PatchedKey(KeyView, frozen=True, kw_only=True):
    """A key as it is now; ``warnings`` as `CreatedKey` has them."""

    warnings: tuple[str, ...] = ()


class CreatedKey(KeyView, frozen=True, kw_only=True):
    """A new key, or an old one with a new text; ``key`` is shown this once.

    ``warnings`` name permissions for relations and functions that do not exist (yet).
    """

    key: str
    warnings: tuple[str, ...] = ()
