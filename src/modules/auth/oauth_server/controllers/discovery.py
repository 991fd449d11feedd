"""Where applications look first.

The issuer has a path, so OpenID Connect appends to it and RFC 8414 puts its
name between host and path; both places are served, and so is what clients try
that mix the two up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from litestar import Controller, Response, get
from litestar.di import NamedDependency

from modules.auth.oauth_server.discovery import Discovery
from monohull.kernel.guards import public

if TYPE_CHECKING:
    from collections.abc import Sequence

PATHS: Final = ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"]
CACHE: Final = {"Cache-Control": "public, max-age=600"}


def name_of(_: Any, __: Any, parts: Sequence[Any]) -> str:
    """Name the operation of one of the places, for the description."""
    place = "OpenId" if "openid-configuration" in parts else "OauthServer"
    return f"Discover{place}{'AtRoot' if parts[0] == '.well-known' else ''}"


class DiscoveryController(Controller):
    tags = ("OAuth server",)
    opt = public()

    @get(PATHS, operation_id=name_of)
    async def show(self, oauth_discovery: NamedDependency[Discovery]) -> Response[dict[str, Any]]:
        """Describe the OAuth server."""
        return Response(await oauth_discovery.document(), headers=CACHE)


class RootDiscoveryController(Controller):
    tags = ("OAuth server",)
    opt = public()

    @get([f"{path}/auth/v1" for path in PATHS], operation_id=name_of)
    async def show(self, oauth_discovery: NamedDependency[Discovery]) -> Response[dict[str, Any]]:
        """Describe the OAuth server, where RFC 8414 looks."""
        return Response(await oauth_discovery.document(), headers=CACHE)
