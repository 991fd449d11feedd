"""`Principal`: who asks, as every room sees it.

Authentication turns credentials into a `Principal`; from there on nobody looks
at a token again. The data API needs the database role and the claims as the
JSON text that ``request.jwt.claims`` gets; guards need the permissions.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 msgspec reads it
from enum import StrEnum
from functools import cached_property
from typing import Any, Final, Protocol

import msgspec

from monohull.kernel.column_limits import ColumnLimits  # noqa: TC001 msgspec reads it

KEY_CLAIM: Final = "monohull_key_id"
"""Tells functions in SQL which API key a request came with. A token that has it says nothing by it."""


class PrincipalKind(StrEnum):
    """What sort of credential the principal came with; a metric label, so the list is closed."""

    ANONYMOUS = "anonymous"
    USER = "user"
    SERVICE = "service"
    KEY = "key"


class Principal(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Who asks.

    Attributes:
        kind: The sort of credential.
        role: Name of the PostgreSQL role that data requests run as.
        subject: The user's id, or None for anon and service keys.
        claims: The token's claims, ``role`` always among them.
        permissions: Names such as ``storage.objects:write``; ``*`` and ``area:*`` match as in `permissions`.
        roles: Names of the roles it has for the whole instance; what they bundle is in ``permissions``.
        key_id: The API key that the request came with, or None.
        scopes: The data permissions that limit its data requests; None where they are not limited.
        columns: Of which relations it may read and write some columns alone; None where of none.
        is_legacy_key: True for a JWT of the shared secret that stands for a role and nobody.
        is_default: True when no credential was sent and the anonymous role was assumed.
    """

    kind: PrincipalKind
    role: str
    subject: str | None = None
    claims: Mapping[str, Any] = {}
    permissions: frozenset[str] = frozenset()
    roles: tuple[str, ...] = ()
    key_id: str | None = None
    scopes: frozenset[str] | None = None
    columns: ColumnLimits | None = None
    is_legacy_key: bool = False
    is_default: bool = False

    @cached_property
    def claims_json(self) -> str:
        """The claims as compact JSON, for ``request.jwt.claims``, and the key; encoded once a principal."""
        claims = self.claims
        if self.key_id is not None:
            claims = {**claims, KEY_CLAIM: self.key_id}
        elif KEY_CLAIM in claims:
            claims = {name: value for name, value in claims.items() if name != KEY_CLAIM}
        return msgspec.json.encode(claims).decode()

    @property
    def session_id(self) -> str | None:
        """The auth session the token belongs to, or None."""
        value = self.claims.get("session_id")
        return value if isinstance(value, str) else None


class Standing(Protocol):
    """That a credential was found to hold, for as long as nothing speaks against it."""

    def use(self) -> Principal | None:
        """Return whom it stands for, now; None once that has to be found out again."""
        ...


def anonymous(role: str) -> Principal:
    """Return the principal of a request without any credential."""
    return Principal(kind=PrincipalKind.ANONYMOUS, role=role, claims={"role": role}, is_default=True)


SYSTEM: Final = Principal(
    kind=PrincipalKind.SERVICE,
    role="service_role",
    claims={"role": "service_role"},
    permissions=frozenset({"*"}),
)
"""The process itself: jobs and commands act as this when no person asked."""
