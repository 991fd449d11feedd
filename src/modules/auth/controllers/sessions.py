"""``/auth/v1/sessions``: where one is signed in, and how to end that. Ours; GoTrue has nothing like it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from litestar import Controller, Request, delete, get
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.status_codes import HTTP_204_NO_CONTENT

from modules.auth.dtos import DeviceView
from modules.auth.errors import MalformedSessionId
from modules.auth.guards import by_the_user
from modules.auth.services import Account
from monohull.kernel.guards import principal_of, signed_in


class SessionsController(Controller):
    path = "/sessions"
    tags = ("Auth",)
    guards = (signed_in, by_the_user)

    @get(operation_id="ListSessions")
    async def show(
        self, request: Request[Any, Any, Any], account: NamedDependency[Account]
    ) -> Sequence[DeviceView]:
        """Return the caller's sessions, newest first."""
        return await account.devices(principal_of(request))

    @delete(status_code=HTTP_204_NO_CONTENT, operation_id="EndOtherSessions")
    async def end_others(self, request: Request[Any, Any, Any], account: NamedDependency[Account]) -> None:
        """End every session of the caller but the one that asks."""
        await account.sign_out(principal_of(request), "others")

    @delete("/{session_id:str}", status_code=HTTP_204_NO_CONTENT, operation_id="EndSession")
    async def end(
        self, request: Request[Any, Any, Any], account: NamedDependency[Account], session_id: FromPath[str]
    ) -> None:
        """End one of the caller's sessions; its tokens are refused from then on.

        Raises:
            MalformedSessionId: 404. NoSuchSession: 404, also for a session of somebody else.
        """
        try:
            parsed = UUID(session_id)
        except ValueError:
            raise MalformedSessionId from None
        await account.end_device(principal_of(request), parsed)
