"""``POST /auth/v1/token``: exchange a credential for a session.

One path serves every grant because GoTrue's clients name the grant in the query
string. The controller decodes, dispatches and encodes, nothing more: what a
grant means lives in `modules.auth.services`.

Wire source: supabase/auth, ``internal/api/token.go``.
"""

from __future__ import annotations

from typing import Any

from litestar import Controller, Request, Response, post
from litestar.di import NamedDependency
from litestar.params import FromQuery
from litestar.status_codes import HTTP_200_OK

from modules.auth.captcha import Captcha
from modules.auth.controllers.bodies import takes
from modules.auth.controllers.humans import FREE_GRANTS, require_human
from modules.auth.dtos import IdTokenGrant, PasswordGrant, PkceGrant, RefreshGrant, SessionView, Web3Grant
from modules.auth.errors import InvalidCredentials
from modules.auth.limits import Gate
from modules.auth.origin import origin_of
from modules.auth.redirects import Redirects
from modules.auth.services import Grants
from modules.auth.wire import decode, redirect_of
from monohull.kernel.guards import principal_of, public


class TokenController(Controller):
    path = "/token"
    tags = ("Auth",)

    @post(
        status_code=HTTP_200_OK,
        operation_id="GrantToken",
        operation_class=takes(PasswordGrant, RefreshGrant, PkceGrant, IdTokenGrant, Web3Grant),
        opt=public(),
    )
    async def grant(  # noqa: PLR0913, PLR0917 each answers one question about the request
        self,
        request: Request[Any, Any, Any],
        grants: NamedDependency[Grants],
        gate: NamedDependency[Gate],
        captcha: NamedDependency[Captcha],
        redirects: NamedDependency[Redirects],
        grant_type: FromQuery[str] = "",
    ) -> Response[SessionView]:
        """Open or renew a session, or raise the refusal a GoTrue client knows.

        Raises:
            InvalidCredentials: 400, also for a ``grant_type`` that is not served.
            BadJson: 400, the body does not decode into that grant.
        """
        origin = origin_of(request)
        await gate.token(origin)
        if grant_type not in FREE_GRANTS:
            await require_human(request, captcha)
        if grant_type == "password":
            session = await grants.password.open_session(decode(await request.body(), PasswordGrant), origin)
        elif grant_type == "refresh_token":
            session = await grants.refresh.renew(
                decode(await request.body(), RefreshGrant).refresh_token, origin
            )
        elif grant_type == "pkce":
            session = await grants.pkce.open_session(decode(await request.body(), PkceGrant), origin)
        elif grant_type == "id_token":
            body = decode(await request.body(), IdTokenGrant)
            redirect_to = redirect_of(request, redirects)
            session = await grants.id_token.open_session(body, origin, principal_of(request), redirect_to)
        elif grant_type == "web3":
            session = await grants.web3.open_session(decode(await request.body(), Web3Grant), origin)
        else:
            raise InvalidCredentials("unsupported_grant_type")
        return issued(session)


def issued(session: SessionView) -> Response[SessionView]:
    """Answer with tokens that no cache may keep."""
    return Response(session, headers={"Cache-Control": "no-store"})
