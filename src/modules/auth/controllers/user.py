"""``/auth/v1/user``: the caller's own account. Wire source: supabase/auth, ``internal/api/user.go``."""

from __future__ import annotations

from typing import Any

from litestar import Controller, Request, get, put
from litestar.di import NamedDependency

from modules.auth.controllers.bodies import takes
from modules.auth.dtos import UpdateBody, UserView
from modules.auth.guards import by_the_user
from modules.auth.origin import origin_of
from modules.auth.redirects import Redirects
from modules.auth.services import Account, Changes
from modules.auth.wire import decode, redirect_of
from monohull.kernel.guards import principal_of, signed_in


class UserController(Controller):
    path = "/user"
    tags = ("Auth",)
    guards = (signed_in,)

    @get(operation_id="GetUser")
    async def show(self, request: Request[Any, Any, Any], account: NamedDependency[Account]) -> UserView:
        """Return the user of the access token."""
        return await account.show(principal_of(request))

    @put(guards=[by_the_user], operation_id="UpdateUser", operation_class=takes(UpdateBody))
    async def update(
        self,
        request: Request[Any, Any, Any],
        changes: NamedDependency[Changes],
        redirects: NamedDependency[Redirects],
    ) -> UserView:
        """Change metadata, password, address or number."""
        body = decode(await request.body(), UpdateBody)
        redirect_to = redirect_of(request, redirects)
        return await changes.update(principal_of(request), body, origin_of(request), redirect_to)


class ReauthenticateController(Controller):
    path = "/reauthenticate"
    tags = ("Auth",)
    guards = (signed_in,)

    @get(guards=[by_the_user], operation_id="Reauthenticate")
    async def send(
        self, request: Request[Any, Any, Any], changes: NamedDependency[Changes]
    ) -> dict[str, str]:
        """Send the nonce that a new password takes when the session is old."""
        await changes.reauthenticate(principal_of(request), origin_of(request))
        return {}
