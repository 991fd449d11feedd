"""``/authorize`` and ``/callback``: to a provider's pages and back.

Wire source: supabase/auth, ``internal/api/external.go``.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
from litestar import Controller, Request, Response, get, post
from litestar.di import NamedDependency
from litestar.status_codes import HTTP_302_FOUND, HTTP_303_SEE_OTHER

from modules.auth.dtos import Challenge
from modules.auth.limits import Gate
from modules.auth.origin import origin_of
from modules.auth.providers.client import passed_through
from modules.auth.redirects import Redirects
from modules.auth.services import ExternalSignIn
from modules.auth.services.external import Callback, Wish
from modules.auth.wire import redirect_of
from monohull.kernel.guards import public

HEADERS: Final = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
MAX_FIELDS: Final = 50
MAX_FORM_BYTES: Final = 100_000


class ExternalController(Controller):
    tags = ("Auth",)
    opt = public()

    @get("/authorize", status_code=HTTP_302_FOUND, operation_id="SignInWithProvider")
    async def begin(
        self,
        request: Request[Any, Any, Any],
        external: NamedDependency[ExternalSignIn],
        gate: NamedDependency[Gate],
        redirects: NamedDependency[Redirects],
    ) -> Response[None]:
        """Send a browser to ``provider``.

        Raises:
            UnsupportedProvider, ValidationFailed: 400. UserNotFound: 404. ProviderUnavailable: 503.
        """
        await gate.external(origin_of(request))
        return away(await external.begin(wish_of(request, redirects)))

    @get("/callback", status_code=HTTP_302_FOUND, operation_id="ReturnFromProvider")
    async def arrive(
        self,
        request: Request[Any, Any, Any],
        external: NamedDependency[ExternalSignIn],
        gate: NamedDependency[Gate],
    ) -> Response[None]:
        """Take a browser back from a provider, and send it where the sign-in began."""
        origin = origin_of(request)
        await gate.external(origin)
        return away(await external.arrive(_callback(dict(request.query_params.items())), origin))

    @post("/callback", status_code=HTTP_303_SEE_OTHER, operation_id="ReturnFromProviderByForm")
    async def arrive_by_form(
        self,
        request: Request[Any, Any, Any],
        external: NamedDependency[ExternalSignIn],
        gate: NamedDependency[Gate],
    ) -> Response[None]:
        """Take a browser back that posts a form, as Apple has it."""
        origin = origin_of(request)
        await gate.external(origin)
        values = {**dict(request.query_params.items()), **_form(await request.body())}
        return away(await external.arrive(_callback(values), origin), HTTP_303_SEE_OTHER)


def wish_of(request: Request[Any, Any, Any], redirects: Redirects) -> Wish:
    """Read what a request to ``/authorize`` asks for."""
    query = {name: value.replace("\0", "") for name, value in request.query_params.items()}
    return Wish(
        provider=query.get("provider", ""),
        redirect_to=redirect_of(request, redirects),
        challenge=Challenge(query.get("code_challenge"), query.get("code_challenge_method")),
        scopes=query.get("scopes", "")[:1000],
        invite_token=query.get("invite_token", ""),
        parameters=passed_through(query),
    )


def away(url: str, status: int = HTTP_302_FOUND) -> Response[None]:
    """Send a browser somewhere; no cache and no ``Referer`` keeps what the address has in it."""
    return Response(None, status_code=status, headers={"Location": url, **HEADERS})


def _form(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(body[:MAX_FORM_BYTES].decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError:
        return {}
    return dict(pairs)


def _callback(values: dict[str, str]) -> Callback:
    plain = {name: value.replace("\0", "") for name, value in values.items()}
    return Callback(
        state=plain.get("state", ""),
        code=plain.get("code", ""),
        error=plain.get("error", ""),
        error_description=plain.get("error_description", ""),
        issuer=plain.get("iss", ""),
        told=_told(plain.get("user", "")),
    )


def _told(text: str) -> dict[str, Any]:
    """Return the name that Apple has a browser tell the first time somebody comes; it proves nothing."""
    try:
        user = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return {}
    name = user.get("name") if isinstance(user, dict) else None
    parts = [name.get("firstName"), name.get("lastName")] if isinstance(name, dict) else []
    full = " ".join(part for part in parts if isinstance(part, str) and part)
    return {"name": full} if full else {}
