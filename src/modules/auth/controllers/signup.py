"""``POST /auth/v1/signup``. Wire source: supabase/auth, ``internal/api/signup.go``."""

from __future__ import annotations

from typing import Any

from litestar import Controller, Request, Response, post
from litestar.di import NamedDependency
from litestar.status_codes import HTTP_200_OK

from modules.auth.captcha import Captcha
from modules.auth.controllers.bodies import takes
from modules.auth.controllers.humans import require_human
from modules.auth.dtos import SessionView, SignupBody, UserView
from modules.auth.limits import Gate
from modules.auth.origin import origin_of
from modules.auth.redirects import Redirects
from modules.auth.services import Registration
from modules.auth.wire import decode, redirect_of
from monohull.kernel.guards import public


class SignupController(Controller):
    path = "/signup"
    tags = ("Auth",)

    @post(status_code=HTTP_200_OK, operation_id="SignUp", operation_class=takes(SignupBody), opt=public())
    async def sign_up(
        self,
        request: Request[Any, Any, Any],
        registration: NamedDependency[Registration],
        gate: NamedDependency[Gate],
        redirects: NamedDependency[Redirects],
        captcha: NamedDependency[Captcha],
    ) -> Response[SessionView | UserView]:
        """Create a user; open its first session, or send what it has to confirm first."""
        origin = origin_of(request)
        await gate.signup(origin)
        await require_human(request, captcha)
        body = decode(await request.body(), SignupBody)
        made = await registration.sign_up(body, origin, redirect_of(request, redirects))
        return Response(made, headers={"Cache-Control": "no-store"})
