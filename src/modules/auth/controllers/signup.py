"""``POST /auth/v1/signup``. Wire source: supabase/auth, ``internal/api/signup.go``."""

from __future__ import annotations

from typing import Any

from litestar import Controller, Request, Response, post
from litestar.di import NamedDependency
from litestar.status_codes import HTTP_200_OK

from modules.auth.controllers.token import issued
from modules.auth.dtos import SessionView, SignupBody
from modules.auth.limits import Gate
from modules.auth.services import Registration
from modules.auth.wire import decode, origin_of
from monohull.kernel.guards import public


class SignupController(Controller):
    path = "/signup"
    tags = ("Auth",)

    @post(status_code=HTTP_200_OK, operation_id="SignUp", opt=public())
    async def sign_up(
        self,
        request: Request[Any, Any, Any],
        registration: NamedDependency[Registration],
        gate: NamedDependency[Gate],
    ) -> Response[SessionView]:
        """Create a user and open its first session."""
        origin = origin_of(request)
        await gate.signup(origin)
        return issued(await registration.sign_up(decode(await request.body(), SignupBody), origin))
