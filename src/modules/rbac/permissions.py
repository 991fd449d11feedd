"""What rbac's guards ask for, and which permissions a role may bundle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from modules.rbac.errors import BeyondOwnRoles, UnknownRolePermission
from monohull.kernel.data_permissions import is_data_permission
from monohull.kernel.permissions import Permission, grants

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

READ_ROLES: Final = Permission("rbac.roles:read", "See roles and the permissions there are.")
WRITE_ROLES: Final = Permission(
    "rbac.roles:write", "Create, change and delete roles, and declare permissions of the application."
)
READ_GROUPS: Final = Permission("rbac.groups:read", "See groups and who is in them.")
WRITE_GROUPS: Final = Permission("rbac.groups:write", "Create, change and delete groups and memberships.")
READ_ASSIGNMENTS: Final = Permission("rbac.assignments:read", "See who has which role.")
WRITE_ASSIGNMENTS: Final = Permission(
    "rbac.assignments:write", "Give and take roles, as far as one holds what they bundle."
)

PERMISSIONS: Final = (
    READ_ROLES,
    WRITE_ROLES,
    READ_GROUPS,
    WRITE_GROUPS,
    READ_ASSIGNMENTS,
    WRITE_ASSIGNMENTS,
)


def demand_known(patterns: Iterable[str], known: Collection[str]) -> None:
    """Let patterns pass that include something that is asked for.

    Args:
        patterns: What a role would bundle.
        known: Names that modules register or the application declared.

    Raises:
        UnknownRolePermission: 400, with those that nothing asks for.
    """
    unknown = [
        pattern
        for pattern in patterns
        if not is_data_permission(pattern) and not any(grants(frozenset({pattern}), name) for name in known)
    ]
    if unknown:
        raise UnknownRolePermission(f"Nothing asks for the permission {', '.join(sorted(unknown)[:10])}.")


def demand_held(patterns: Iterable[str], held: frozenset[str]) -> None:
    """Let pass whoever holds all of ``patterns``.

    Raises:
        BeyondOwnRoles: 403, with those that are missing.
    """
    missing = [pattern for pattern in patterns if not grants(held, pattern)]
    if missing:
        raise BeyondOwnRoles(f"You do not hold {', '.join(sorted(missing)[:10])} yourself.")


def including(permission: str) -> list[str]:
    """Return every pattern that includes ``permission``, as ``monohull.permission_patterns()`` does.

    >>> including("storage.objects:write")
    ['storage.objects:write', '*', 'storage.objects:*', 'storage.*', 'storage.objects.*']
    """
    path, _, _ = permission.partition(":")
    parts = path.split(".")
    areas = [".".join(parts[:length]) + ".*" for length in range(1, len(parts) + 1)]
    return [permission, "*", f"{path}:*", *areas]
