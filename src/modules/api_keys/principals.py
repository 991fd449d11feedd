"""Whom a key stands for."""

from __future__ import annotations

from collections.abc import Callable  # noqa: TC003 msgspec reads it
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from modules.api_keys import owners
from modules.api_keys.services import ANON
from monohull.kernel.data_permissions import EVERYTHING
from monohull.kernel.principal import Principal, PrincipalKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modules.api_keys.models import ApiKey
    from modules.api_keys.owners import Owner
    from monohull.kernel.runtime import Runtime


class Issue(Struct, frozen=True):
    """What tokens of this instance say, so that a key of a user can say it too.

    Attributes:
        anonymous_role: Gives the database role of publishable keys.
        issuer: ``iss`` of a user's tokens.
        audience: ``aud`` of a user's tokens, or None for the user's own.
    """

    anonymous_role: Callable[[], str]
    issuer: str
    audience: str | None = None

    @classmethod
    def of(cls, runtime: Runtime) -> Issue:
        """Return those of a process."""
        return cls(
            anonymous_role=lambda: runtime.authentication.anonymous.role,
            issuer=runtime.settings.core.public_url.rstrip("/") + "/auth/v1",
            audience=runtime.settings.jwt.effective_audience,
        )


def principal_of(row: ApiKey, owner: Owner | None, issue: Issue) -> Principal:
    """Return whom a key stands for."""
    role = issue.anonymous_role() if row.role == ANON else row.role
    claims: Mapping[str, Any] = {"role": role}
    if owner is not None:
        role = owner.database_role
        claims = owners.claims_of(owner, issuer=issue.issuer, audience=issue.audience, since=row.created_at)
    permissions = frozenset(row.permissions)
    return Principal(
        kind=PrincipalKind.KEY,
        role=role,
        subject=None if owner is None else str(owner.id),
        claims=claims,
        permissions=permissions,
        key_id=str(row.id),
        scopes=limits(row.kind, permissions),
    )


def limits(kind: str, permissions: frozenset[str]) -> frozenset[str] | None:
    """Return what limits a key's data requests; None for nothing.

    A publishable key without permissions was not limited by anybody: grants and policies say what it may.
    """
    if permissions & EVERYTHING or (kind == "publishable" and not permissions):
        return None
    return permissions
