"""``/platform/v1/roles/{role}/columns``: which columns of a table or view a role leaves."""

from __future__ import annotations

from collections.abc import Sequence

from litestar import Controller, delete, get, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from modules.rbac.dtos import ColumnsView, LimitColumns
from modules.rbac.permissions import READ_ROLES, WRITE_ROLES
from modules.rbac.services import Columns
from monohull.kernel.errors import InvalidRequest
from monohull.kernel.guards import requires
from monohull.kernel.principal import Principal

ONE = "/{schema:str}/{relation:str}"


class ColumnsController(Controller):
    path = "/roles/{role:str}/columns"
    tags = ("Access",)

    @get(guards=[requires(READ_ROLES.name)], operation_id="ListRoleColumns")
    async def show(self, columns: NamedDependency[Columns], role: FromPath[str]) -> Sequence[ColumnsView]:
        """List what a role leaves of tables and views that it says something about."""
        return await columns.list_all(role)

    @put(ONE, guards=[requires(WRITE_ROLES.name)], operation_id="LimitRoleColumns")
    async def limit(  # noqa: PLR0913, PLR0917 three of them are in the path
        self,
        columns: NamedDependency[Columns],
        principal: NamedDependency[Principal],
        role: FromPath[str],
        schema: FromPath[str],
        relation: FromPath[str],
        data: JSONBody[LimitColumns],
    ) -> ColumnsView:
        """Limit a role to columns of a table or view; it counts for everybody who has the role, at once."""
        return await columns.limit(role, _name(schema), _name(relation), data, principal)

    @delete(ONE, guards=[requires(WRITE_ROLES.name)], operation_id="FreeRoleColumns")
    async def free(
        self,
        columns: NamedDependency[Columns],
        principal: NamedDependency[Principal],
        role: FromPath[str],
        schema: FromPath[str],
        relation: FromPath[str],
    ) -> None:
        """Have a role say nothing about a table or view any more."""
        await columns.free(role, _name(schema), _name(relation), principal)


def _name(text: str) -> str:
    """Return a name in the path.

    Raises:
        InvalidRequest: 400, it holds a zero byte, which PostgreSQL takes nowhere.
    """
    if "\0" in text:
        raise InvalidRequest("A name holds a zero byte.")
    return text
