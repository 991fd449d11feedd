"""Where applications look first.

The issuer has a path, so OpenID Connect appends to it and RFC 8414 puts its
name between host and path; both places are served, and so is what clients try
that mix the two up.
"""

from __future__ import annotations

from typing import Any, Final

from litestar import Controller, Response, get
from litestar.di import NamedDependency

from modules.auth.oauth_server.discovery import Discovery
from monohull.kernel.guards import public

PATHS: Final = ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"]
CACHE: Final = {"Cache-Control": "public, max-age=600"}


class DiscoveryController(Controller):
    tags = ("OAuth server",)
    opt = public()

    @get(PATHS, operation_id="DiscoverOauthServer")
    async def show(self, oauth_discovery: NamedDependency[Discovery]) -> Response[dict[str, Any]]:
        """Describe the OAuth server."""
        return Response(await oauth_discovery.document(), headers=CACHE)


class RootDiscoveryController(Controller):
    tags = ("OAuth server",)
    opt = public()

    @get([f"{path}/auth/v1" for path in PATHS], operation_id="DiscoverOauthServerAtRoot")
    async def show(self, oauth_discovery: NamedDependency[Discovery]) -> Response[dict[str, Any]]:
        """Describe the OAuth server, where RFC 8414 looks."""
        return Response(await oauth_discovery.document(), headers=CACHE)
