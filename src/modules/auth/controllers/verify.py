"""``/auth/v1/verify``: come back with what was sent.

Wire source: supabase/auth, ``internal/api/verify.go``.
"""

from __future__ import annotations

from typing import Any

from litestar import Controller, Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery
from litestar.status_codes import HTTP_200_OK, HTTP_303_SEE_OTHER

from modules.auth.controllers.bodies import takes
from modules.auth.dtos import Halfway, SessionView, VerifyBody
from modules.auth.origin import origin_of
from modules.auth.redirects import Redirects
from modules.auth.send_limits import SendLimits
from modules.auth.services import Verification
from modules.auth.wire import decode, redirect_of
from monohull.kernel.guards import public

NO_STORE = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}


class VerifyController(Controller):
    path = "/verify"
    tags = ("Auth",)
    opt = public()

    @get(status_code=HTTP_303_SEE_OTHER, operation_id="FollowLink")
    async def follow(
        self,
        request: Request[Any, Any, Any],
        verification: NamedDependency[Verification],
        send_limits: NamedDependency[SendLimits],
        redirects: NamedDependency[Redirects],
        token: FromQuery[str] = "",
    ) -> Response[None]:
        """Follow a link of a mail, and go where it says with a session, a code or an error."""
        origin = origin_of(request)
        await send_limits.verify(origin)
        kind = request.query_params.get("type", "")
        target = await verification.by_link(token, kind, redirect_of(request, redirects), origin)
        return Response(None, status_code=HTTP_303_SEE_OTHER, headers={"Location": target, **NO_STORE})

    @post(status_code=HTTP_200_OK, operation_id="Verify", operation_class=takes(VerifyBody))
    async def verify(
        self,
        request: Request[Any, Any, Any],
        verification: NamedDependency[Verification],
        send_limits: NamedDependency[SendLimits],
    ) -> Response[SessionView | Halfway]:
        """Exchange a code or the token of a link for a session."""
        origin = origin_of(request)
        await send_limits.verify(origin)
        body = decode(await request.body(), VerifyBody)
        return Response(await verification.by_body(body, origin), headers=NO_STORE)
