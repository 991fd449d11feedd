"""Bodies of ``/platform/v1/roles``, ``/permissions``, ``/groups`` and ``/role-assignments``."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, TypeAlias
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from monohull.kernel.patterns import END

RoleName: TypeAlias = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,62}" + END)]
GroupName: TypeAlias = Annotated[
    str, Meta(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\ud800-\udfff]+" + END)
]
Summary: TypeAlias = Annotated[str, Meta(max_length=500, pattern=r"^[^\x00\ud800-\udfff]*$")]
Pattern: TypeAlias = Annotated[str, Meta(min_length=1, max_length=250, pattern=r"^[^\x00\ud800-\udfff]+$")]
Patterns: TypeAlias = Annotated[tuple[Pattern, ...], Meta(max_length=1000)]
DeclaredName: TypeAlias = Annotated[
    str, Meta(max_length=200, pattern=r"^[a-z][a-z0-9_]*([.:][a-z][a-z0-9_]*)+" + END)
]


class CreateRole(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A role to be made."""

    name: RoleName
    summary: Summary = ""
    permissions: Patterns = ()


class RolePatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be different; ``permissions`` replaces all of them."""

    name: RoleName | UnsetType = UNSET
    summary: Summary | UnsetType = UNSET
    permissions: Patterns | UnsetType = UNSET


class RoleView(Struct, frozen=True, kw_only=True):
    """A role."""

    id: UUID
    name: str
    summary: str
    permissions: tuple[str, ...]
    is_builtin: bool
    created_at: datetime
    updated_at: datetime


ColumnName: TypeAlias = Annotated[str, Meta(min_length=1, max_length=63, pattern=r"^[^\x00\ud800-\udfff]+$")]
ColumnNames: TypeAlias = Annotated[tuple[ColumnName, ...], Meta(max_length=1600)]


class LimitColumns(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a role leaves of a relation: names, or ``*`` for all of them.

    Without ``write`` that is what may be read; without ``read`` the role says nothing about reading.
    """

    read: ColumnNames | None = None
    write: ColumnNames | None = None

    def __post_init__(self) -> None:
        if self.read is None and self.write is None:
            raise ValueError("one of read and write says what is left")


class ColumnsView(Struct, frozen=True, kw_only=True):
    """What a role leaves of a relation; null where it says nothing, ``*`` for all of it.

    ``is_present`` is false where there is no such relation (any more); a rule follows one that is renamed.
    """

    role: str
    schema: str
    relation: str
    read: tuple[str, ...] | None
    write: tuple[str, ...] | None
    is_present: bool
    updated_at: datetime


class DeclarePermission(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A permission of the application: ``orders:update``, ``shop.orders:update`` or ``orders.update``."""

    name: DeclaredName
    summary: Annotated[str, Meta(min_length=1, max_length=500, pattern=r"^[^\x00\ud800-\udfff]+$")]


class PermissionView(Struct, frozen=True, kw_only=True):
    """A permission that roles and keys may hold, and who asks for it."""

    name: str
    summary: str
    origin: Literal["module", "application"]


class CreateGroup(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A group to be made."""

    name: GroupName
    summary: Summary = ""


class GroupPatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be different."""

    name: GroupName | UnsetType = UNSET
    summary: Summary | UnsetType = UNSET


class GroupView(Struct, frozen=True, kw_only=True):
    """A group."""

    id: UUID
    name: str
    summary: str
    created_at: datetime
    updated_at: datetime


class MemberView(Struct, frozen=True, kw_only=True):
    """A user in a group."""

    user_id: UUID
    created_at: datetime


class AssignRole(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A role for one user, key or group; in a team, or for the whole instance.

    ``role`` is a name or an id.
    """

    role: Annotated[str, Meta(min_length=1, max_length=63, pattern=r"^[^\x00\ud800-\udfff]+$")]
    user_id: UUID | None = None
    key_id: UUID | None = None
    group_id: UUID | None = None
    team_id: UUID | None = None

    def __post_init__(self) -> None:
        if sum(holder is not None for holder in (self.user_id, self.key_id, self.group_id)) != 1:
            raise ValueError("one of user_id, key_id and group_id says who gets the role")


class AssignmentView(Struct, frozen=True, kw_only=True):
    """That somebody has a role."""

    id: UUID
    role_id: UUID
    role: str
    user_id: UUID | None
    key_id: UUID | None
    group_id: UUID | None
    team_id: UUID | None
    created_at: datetime
    created_by: str | None
