"""What changed about who may do what."""

from __future__ import annotations

from typing import ClassVar, Final

from monohull.kernel.events import Event


class RoleCreated(Event, frozen=True):
    """A role exists that did not."""

    name: ClassVar[str] = "rbac.role_created"

    role_id: str
    role_name: str
    permissions: tuple[str, ...]


class RoleUpdated(Event, frozen=True):
    """A role bundles other permissions, or is called something else; whoever has it is concerned at once."""

    name: ClassVar[str] = "rbac.role_updated"

    role_id: str
    role_name: str
    previous_name: str
    added: tuple[str, ...]
    removed: tuple[str, ...]


class RoleDeleted(Event, frozen=True):
    """A role is gone, and so are its assignments; ``permissions`` is what it bundled."""

    name: ClassVar[str] = "rbac.role_deleted"

    role_id: str
    role_name: str
    permissions: tuple[str, ...]
    assignments: int


class RoleAssigned(Event, frozen=True):
    """Somebody has a role; ``holder`` is user, key or group, ``team_id`` None for the whole instance."""

    name: ClassVar[str] = "rbac.role_assigned"

    assignment_id: str
    role_id: str
    role_name: str
    holder: str
    holder_id: str
    team_id: str | None = None


class RoleTaken(Event, frozen=True):
    """Somebody has a role no more; the fields are those of `RoleAssigned`."""

    name: ClassVar[str] = "rbac.role_taken"

    assignment_id: str
    role_id: str
    role_name: str
    holder: str
    holder_id: str
    team_id: str | None = None


class RoleColumnsLimited(Event, frozen=True):
    """A role leaves other columns of a relation than before; None where it says nothing, ``*`` for all."""

    name: ClassVar[str] = "rbac.role_columns_limited"

    role_id: str
    role_name: str
    relation: str
    reads: tuple[str, ...] | None
    writes: tuple[str, ...] | None
    previous_reads: tuple[str, ...] | None = None
    previous_writes: tuple[str, ...] | None = None


class RoleColumnsFreed(Event, frozen=True):
    """A role says nothing about the columns of a relation any more; the fields are what it said."""

    name: ClassVar[str] = "rbac.role_columns_freed"

    role_id: str
    role_name: str
    relation: str
    reads: tuple[str, ...] | None
    writes: tuple[str, ...] | None


class GroupCreated(Event, frozen=True):
    """A group exists that did not."""

    name: ClassVar[str] = "rbac.group_created"

    group_id: str
    group_name: str


class GroupUpdated(Event, frozen=True):
    """A group is called or described otherwise."""

    name: ClassVar[str] = "rbac.group_updated"

    group_id: str
    group_name: str
    previous_name: str


class GroupDeleted(Event, frozen=True):
    """A group is gone, with its memberships and assignments."""

    name: ClassVar[str] = "rbac.group_deleted"

    group_id: str
    group_name: str
    members: int
    assignments: int


class GroupMemberAdded(Event, frozen=True):
    """A user holds what the group holds."""

    name: ClassVar[str] = "rbac.group_member_added"

    group_id: str
    group_name: str
    user_id: str


class GroupMemberRemoved(Event, frozen=True):
    """A user holds no more what the group holds."""

    name: ClassVar[str] = "rbac.group_member_removed"

    group_id: str
    group_name: str
    user_id: str


class PermissionDeclared(Event, frozen=True):
    """The application has a permission of its own; ``summary`` is for whoever puts it into a role."""

    name: ClassVar[str] = "rbac.permission_declared"

    permission: str
    summary: str


class PermissionWithdrawn(Event, frozen=True):
    """The application asks for a permission no more."""

    name: ClassVar[str] = "rbac.permission_withdrawn"

    permission: str


ACCESS_EVENTS: Final = (
    RoleCreated,
    RoleUpdated,
    RoleDeleted,
    RoleAssigned,
    RoleTaken,
    RoleColumnsLimited,
    RoleColumnsFreed,
    GroupCreated,
    GroupUpdated,
    GroupDeleted,
    GroupMemberAdded,
    GroupMemberRemoved,
    PermissionDeclared,
    PermissionWithdrawn,
)
