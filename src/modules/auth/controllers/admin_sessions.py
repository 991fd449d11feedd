"""``/auth/v1/admin/users/{user_id}/sessions``: where somebody is signed in, and how to end that."""

from __future__ import annotations

from collections.abc import Sequence

from litestar import Controller, delete, get
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.status_codes import HTTP_204_NO_CONTENT

from modules.auth.controllers.admin import administrator
from modules.auth.dtos import DeviceView
from modules.auth.services import SessionAdministration


class AdminSessionsController(Controller):
    path = "/admin/users/{user_id:str}/sessions"
    tags = ("Auth administration",)
    guards = (administrator,)

    @get(operation_id="ListSessionsOfUser")
    async def show_all(
        self, session_administration: NamedDependency[SessionAdministration], user_id: FromPath[str]
    ) -> Sequence[DeviceView]:
        """Return a user's sessions, newest first."""
        return await session_administration.show_all(user_id)

    @delete(status_code=HTTP_204_NO_CONTENT, operation_id="EndSessionsOfUser")
    async def end_all(
        self, session_administration: NamedDependency[SessionAdministration], user_id: FromPath[str]
    ) -> None:
        """Sign a user out everywhere."""
        await session_administration.end_all(user_id)

    @delete("/{session_id:str}", status_code=HTTP_204_NO_CONTENT, operation_id="EndSessionOfUser")
    async def end(
        self,
        session_administration: NamedDependency[SessionAdministration],
        user_id: FromPath[str],
        session_id: FromPath[str],
    ) -> None:
        """End one session of a user."""
        await session_administration.end(user_id, session_id)
