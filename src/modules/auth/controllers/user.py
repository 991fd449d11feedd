"""``/auth/v1/user``: the caller's own account. Wire source: supabase/auth, ``internal/api/user.go``."""

from __future__ import annotations

from typing import Any

from litestar import Controller, Request, get, put
from litestar.di import NamedDependency

from modules.auth.dtos import UpdateBody, UserView
from modules.auth.services import Account
from modules.auth.wire import decode
from monohull.kernel.guards import principal_of, signed_in


class UserController(Controller):
    path = "/user"
    tags = ("Auth",)
    guards = (signed_in,)

    @get(operation_id="GetUser")
    async def show(self, request: Request[Any, Any, Any], account: NamedDependency[Account]) -> UserView:
        """Return the user of the access token."""
        return await account.show(principal_of(request))

    @put(operation_id="UpdateUser")
    async def update(self, request: Request[Any, Any, Any], account: NamedDependency[Account]) -> UserView:
        """Change metadata or password."""
        return await account.update(principal_of(request), decode(await request.body(), UpdateBody))
