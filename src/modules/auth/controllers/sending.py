"""``/otp``, ``/magiclink``, ``/recover`` and ``/resend``: ask for a message.

Wire source: supabase/auth, ``internal/api/{otp,magic_link,recover,resend}.go``.
"""

from __future__ import annotations

from typing import Any

from litestar import Controller, Request, post
from litestar.di import NamedDependency
from litestar.status_codes import HTTP_200_OK

from modules.auth.captcha import Captcha
from modules.auth.controllers.bodies import takes
from modules.auth.controllers.humans import require_human
from modules.auth.dtos import OtpBody, ResendBody
from modules.auth.origin import origin_of
from modules.auth.redirects import Redirects
from modules.auth.send_limits import SendLimits
from modules.auth.services import Passwordless
from modules.auth.wire import decode, redirect_of
from monohull.kernel.guards import public


class SendingController(Controller):
    tags = ("Auth",)
    opt = public()

    @post("/otp", status_code=HTTP_200_OK, operation_id="SendOtp", operation_class=takes(OtpBody))
    async def otp(
        self,
        request: Request[Any, Any, Any],
        passwordless: NamedDependency[Passwordless],
        send_limits: NamedDependency[SendLimits],
        redirects: NamedDependency[Redirects],
        captcha: NamedDependency[Captcha],
    ) -> dict[str, str]:
        """Send a link or a code to sign in with."""
        origin = origin_of(request)
        await send_limits.request(origin)
        await require_human(request, captcha)
        body = decode(await request.body(), OtpBody)
        return _sent(await passwordless.otp(body, origin, redirect_of(request, redirects)))

    @post("/magiclink", status_code=HTTP_200_OK, operation_id="SendMagicLink", operation_class=takes(OtpBody))
    async def magic_link(
        self,
        request: Request[Any, Any, Any],
        passwordless: NamedDependency[Passwordless],
        send_limits: NamedDependency[SendLimits],
        redirects: NamedDependency[Redirects],
        captcha: NamedDependency[Captcha],
    ) -> dict[str, str]:
        """Send a link to sign in with; an older name of ``/otp`` for mail."""
        origin = origin_of(request)
        await send_limits.request(origin)
        await require_human(request, captcha)
        body = decode(await request.body(), OtpBody)
        await passwordless.magic_link(body, origin, redirect_of(request, redirects))
        return {}

    @post("/recover", status_code=HTTP_200_OK, operation_id="SendRecovery", operation_class=takes(OtpBody))
    async def recover(
        self,
        request: Request[Any, Any, Any],
        passwordless: NamedDependency[Passwordless],
        send_limits: NamedDependency[SendLimits],
        redirects: NamedDependency[Redirects],
        captcha: NamedDependency[Captcha],
    ) -> dict[str, str]:
        """Send a link to set a new password with; answers the same for addresses that nobody has."""
        origin = origin_of(request)
        await send_limits.request(origin)
        await require_human(request, captcha)
        body = decode(await request.body(), OtpBody)
        await passwordless.recover(body, origin, redirect_of(request, redirects))
        return {}

    @post("/resend", status_code=HTTP_200_OK, operation_id="Resend", operation_class=takes(ResendBody))
    async def resend(
        self,
        request: Request[Any, Any, Any],
        passwordless: NamedDependency[Passwordless],
        send_limits: NamedDependency[SendLimits],
        redirects: NamedDependency[Redirects],
        captcha: NamedDependency[Captcha],
    ) -> dict[str, str]:
        """Send a confirmation once more."""
        origin = origin_of(request)
        await send_limits.request(origin)
        await require_human(request, captcha)
        body = decode(await request.body(), ResendBody)
        return _sent(await passwordless.resend(body, origin, redirect_of(request, redirects)))


def _sent(message_id: str | None) -> dict[str, str]:
    return {} if message_id is None else {"message_id": message_id}
