"""Put the OAuth server together; while it is off, each of its routes says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modules.auth.oauth_errors import FeatureDisabled
from modules.auth.oauth_server.authorizations import Authorizations, Place
from modules.auth.oauth_server.clients import Clients
from modules.auth.oauth_server.consents import Consents
from modules.auth.oauth_server.discovery import Discovery
from modules.auth.oauth_server.id_tokens import IdTokens
from modules.auth.oauth_server.introspection import Introspection
from modules.auth.oauth_server.limits import OauthLimits
from modules.auth.oauth_server.token_endpoint import TokenEndpoint
from modules.auth.settings import AuthSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from modules.auth.services import Refresh, SessionIssuer
    from modules.auth.tokens import TokenCodec
    from monohull.kernel.runtime import Runtime


def build_oauth_server(
    runtime: Runtime, issuer: SessionIssuer, refresh: Refresh, codec: TokenCodec, *, url: str
) -> Mapping[str, Callable[[], Any]]:
    """Return the dependencies of its controllers.

    Args:
        runtime: Of the process.
        issuer: Opens sessions.
        refresh: Renews them.
        codec: Signs.
        url: The ``iss`` of our tokens.
    """
    settings = runtime.settings.of(AuthSettings)
    allows_registration = settings.oauth_server_allow_dynamic_registration
    id_tokens = IdTokens(codec, issuer=url, lifetime_seconds=settings.jwt_exp)
    place = Place(url, settings.site_url or runtime.settings.core.public_url)
    parts: dict[str, Any] = {
        "oauth_authorizations": Authorizations(runtime.database, settings, id_tokens, place),
        "oauth_clients": Clients(runtime.database, allows_registration=allows_registration),
        "oauth_consents": Consents(runtime.database),
        "oauth_discovery": Discovery(url, id_tokens, allows_registration=allows_registration),
        "oauth_introspection": Introspection(runtime.database, codec, refresh, issuer=url),
        "oauth_limits": OauthLimits(runtime.limits, settings),
        "oauth_tokens": TokenEndpoint(runtime.database, issuer, refresh, codec, id_tokens),
    }
    return {name: _giving(part, settings.oauth_server_enabled) for name, part in parts.items()}


def _giving(part: Any, is_enabled: bool) -> Callable[[], Any]:
    def give() -> Any:
        if not is_enabled:
            raise FeatureDisabled
        return part

    return give
