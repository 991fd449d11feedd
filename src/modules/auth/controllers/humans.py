"""Ask for the answer to a captcha where the settings say so.

Source: supabase/auth, ``internal/api/middleware.go: verifyCaptcha``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from modules.auth.origin import origin_of
from modules.auth.permissions import MANAGE_USERS
from modules.auth.wire import decode
from monohull.kernel.permissions import grants

if TYPE_CHECKING:
    from litestar import Request

    from modules.auth.captcha import Captcha

FREE_GRANTS: Final = ("refresh_token", "pkce", "id_token")
"""Who brings one of these has been somewhere already where one is asked."""


class _Security(Struct, frozen=True):
    captcha_token: str | None = None


class _Protected(Struct, frozen=True):
    gotrue_meta_security: _Security | None = None


async def require_human(request: Request[Any, Any, Any], captcha: Captcha) -> None:
    """Check the captcha of ``request``, unless an administrator makes it.

    Raises:
        BadJson: 400, the body is no JSON object. CaptchaFailed: 400. CaptchaUnavailable: 503.
    """
    if not captcha.is_on or _is_administrator(request):
        return
    security = decode(await request.body() or b"{}", _Protected).gotrue_meta_security
    await captcha.check((security and security.captcha_token) or "", origin_of(request).address)


def _is_administrator(request: Request[Any, Any, Any]) -> bool:
    state = request.scope["state"]
    if state.get("credential_problem") is not None:
        return False
    return grants(state["principal"].permissions, MANAGE_USERS.name)
