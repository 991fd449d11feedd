"""Refusals of rbac."""

from __future__ import annotations

from monohull.kernel.errors import Conflict, Forbidden, InvalidRequest


class UnknownRolePermission(InvalidRequest):
    """A role would hold a permission that nothing asks for."""

    code = "unknown_role_permission"
    hint = (
        "GET /platform/v1/permissions lists them; area.thing:*, area.* and data.<relation>:read work too. "
        "Permissions of the application are declared there first."
    )


class UnknownRelation(InvalidRequest):
    """A rule of columns is about a table or view that is not there."""

    code = "unknown_relation"
    hint = "Name schema and relation as the database has them, in the case it has them in."


class UnknownColumn(InvalidRequest):
    """A rule of columns lists something that the relation does not have."""

    code = "unknown_column"
    hint = "List columns, for reading also computed fields; * stands for all of them."


class BeyondOwnRoles(Forbidden):
    """Nobody gives, changes or takes what they do not hold."""

    code = "beyond_own_roles"
    hint = "Ask somebody who holds every permission of the role."


class NameTaken(Conflict):
    """Another one has this name."""

    code = "name_taken"
    hint = "Choose another name, or change the one that exists."


class BuiltinRole(Conflict):
    """What comes with the product stays as it is."""

    code = "builtin_role"
    hint = "Make a role of your own; it may bundle the same permissions."


class LastOwner(Conflict):
    """Without an owner nobody could give the role owner again."""

    code = "last_owner"
    hint = "Make somebody else owner first."


class LastTeamOwner(Conflict):
    """Without an owner nobody could give the team away or delete it."""

    code = "last_team_owner"
    hint = "Make another member owner first, or delete the team."


class AlreadyAssigned(Conflict):
    """The holder has this role there already."""

    code = "already_assigned"


class PermissionInUse(Conflict):
    """Roles still hold the permission."""

    code = "permission_in_use"
    hint = "Take it out of the roles first; GET /platform/v1/roles?permission=… lists them."
