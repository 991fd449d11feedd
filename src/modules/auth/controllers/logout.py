"""``POST /auth/v1/logout``. Wire source: supabase/auth, ``internal/api/logout.go``."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Controller, Request, post
from litestar.di import NamedDependency
from litestar.params import QueryParameter
from litestar.status_codes import HTTP_204_NO_CONTENT

from modules.auth.services import Account
from monohull.kernel.guards import principal_of, signed_in


class LogoutController(Controller):
    path = "/logout"
    tags = ("Auth",)
    guards = (signed_in,)

    @post(status_code=HTTP_204_NO_CONTENT, operation_id="SignOut")
    async def sign_out(
        self,
        request: Request[Any, Any, Any],
        account: NamedDependency[Account],
        which: Annotated[str, QueryParameter(name="scope")] = "global",
    ) -> None:
        """End sessions of the caller: ``global``, ``local`` or ``others``."""
        await account.sign_out(principal_of(request), which or "global")
