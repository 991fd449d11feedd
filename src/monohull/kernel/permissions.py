"""Permissions: what a guard asks for, registered by the module that guards it.

A permission reads ``area.thing:verb``. A principal holds patterns: the name
itself, ``area.thing:*``, ``area.*`` or ``*``. The registry exists so that a
typing error in a guard or a role is found at start-up and not in production.
"""

from __future__ import annotations

import re
from collections.abc import Callable  # noqa: TC003 msgspec reads it
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_NAME: Final = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*:[a-z][a-z0-9_]*")


class Permission(msgspec.Struct, frozen=True):
    """One thing a principal may do.

    Attributes:
        name: ``area.thing:verb`` in lower case.
        summary: One sentence for the person who puts it into a role.
    """

    name: str
    summary: str


class Family(msgspec.Struct, frozen=True):
    """Permissions that nobody can list, since their names depend on what there is in the database.

    Attributes:
        area: What their names begin with.
        forms: How they are written, each with one sentence for the reference.
        is_member: Says of a name or a pattern whether it is written so.
    """

    area: str
    forms: tuple[tuple[str, str], ...]
    is_member: Callable[[str], bool]


class UnknownPermission(LookupError):
    """A guard or a role names a permission that no module registered."""


class PermissionRegistry:
    """Every permission of the running product."""

    def __init__(self, permissions: Iterable[Permission] = (), families: Iterable[Family] = ()) -> None:
        self._permissions: dict[str, Permission] = {}
        self._families = tuple(families)
        for permission in permissions:
            self.add(permission)

    def add(self, permission: Permission) -> None:
        """Register ``permission``.

        Raises:
            ValueError: The name is not ``area.thing:verb``, or stands for something else already.
        """
        if not _NAME.fullmatch(permission.name):
            raise ValueError(f"permission {permission.name!r} is not of the form area.thing:verb")
        if self._permissions.setdefault(permission.name, permission) != permission:
            raise ValueError(f"permission {permission.name!r} is registered twice")

    def require(self, name: str) -> Permission:
        """Return the permission called ``name``.

        Raises:
            UnknownPermission: No module registered it.
        """
        try:
            return self._permissions[name]
        except KeyError:
            raise UnknownPermission(f"no module registers the permission {name!r}") from None

    def knows(self, pattern: str) -> bool:
        """Say whether ``pattern`` could grant anything: a registered permission, or one of a family."""
        held = frozenset({pattern})
        return any(grants(held, name) for name in self._permissions) or any(
            family.is_member(pattern) for family in self._families
        )

    def __iter__(self) -> Iterator[Permission]:
        return iter(sorted(self._permissions.values(), key=lambda permission: permission.name))

    def __len__(self) -> int:
        return len(self._permissions)


def grants(held: frozenset[str], wanted: str) -> bool:
    """Say whether the patterns in ``held`` include the permission ``wanted``.

    >>> grants(frozenset({"storage.objects:*"}), "storage.objects:write")
    True
    >>> grants(frozenset({"storage.*"}), "storage.objects:write")
    True
    >>> grants(frozenset({"storage.objects:read"}), "storage.objects:write")
    False
    """
    if wanted in held or "*" in held:
        return True
    path, _, _ = wanted.partition(":")
    if f"{path}:*" in held:
        return True
    parts = path.split(".")
    return any(".".join(parts[:length]) + ".*" in held for length in range(1, len(parts) + 1))
