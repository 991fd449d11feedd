"""``--as user:ID`` → the `Principal` that the request is tried as."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import msgspec

from modules.api_keys import find_key_principal
from modules.auth import claims_of_user
from modules.policy.errors import CallerNotUnderstood, CallerUnknown
from monohull.kernel.principal import Principal, PrincipalKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from monohull.kernel.runtime import Runtime

SERVICE_ROLE: Final = "service_role"
AUTHENTICATED: Final = "authenticated"


async def find_caller(
    runtime: Runtime, text: str, *, role: str | None = None, claims: Mapping[str, Any] | None = None
) -> Principal:
    """Return whom ``text`` names.

    Args:
        runtime: Of this process.
        text: ``anon``, ``service``, ``user:ID`` or ``key:ID``.
        role: Database role in place of the one that follows.
        claims: Laid over the claims that a fresh token would have.

    Raises:
        CallerNotUnderstood: 400.
        CallerUnknown: 404.
    """
    kind, _, name = text.partition(":")
    if role is not None and (not role or "\0" in role):
        raise CallerNotUnderstood("The role is no name.")
    anonymous = runtime.authentication.anonymous.role
    match kind:
        case "anon" if not name:
            found = Principal(kind=PrincipalKind.ANONYMOUS, role=anonymous, claims={"role": anonymous})
        case "service" if not name:
            found = Principal(
                kind=PrincipalKind.SERVICE,
                role=SERVICE_ROLE,
                claims={"role": SERVICE_ROLE},
                permissions=frozenset({"*"}),
            )
        case "user" if name:
            found = await _user(runtime, name, claims)
        case "key" if name:
            found = await _key(runtime, name)
        case _:
            raise CallerNotUnderstood(f"{text[:100]!r} names no caller.")
    return _with(await runtime.grants.complete(found), role, claims)


def _with(found: Principal, role: str | None, claims: Mapping[str, Any] | None) -> Principal:
    """Lay role and claims over what was found; the claim ``role`` is the role, as in a token."""
    merged = {**found.claims, **(claims or {})}
    if role is None and isinstance((claims or {}).get("role"), str):
        role = merged["role"]
    chosen = role or found.role
    subject = merged.get("sub", found.subject)
    return msgspec.structs.replace(
        found,
        role=chosen,
        subject=subject if isinstance(subject, str) and subject else None,
        claims={**merged, "role": chosen},
    )


async def _user(runtime: Runtime, name: str, claims: Mapping[str, Any] | None) -> Principal:
    user_id = _uuid(name)
    async with runtime.database.unit_of_work() as work:
        known = await claims_of_user(work, user_id)
    if known is None and claims is None:
        raise CallerUnknown(f"No user has the id {name}.")
    found = known or {"sub": name, "role": AUTHENTICATED}
    return Principal(kind=PrincipalKind.USER, role=str(found["role"]), subject=name, claims=found)


async def _key(runtime: Runtime, name: str) -> Principal:
    key_id = _uuid(name)
    found = await find_key_principal(runtime, key_id)
    if found is None:
        raise CallerUnknown(f"No API key has the id {name}.")
    return found


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise CallerNotUnderstood(f"{text[:100]!r} is no id.") from None
