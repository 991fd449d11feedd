"""What applications find out by themselves.

Sources: OpenID Connect Discovery 1.0, section 3; RFC 8414, section 2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modules.auth.oauth_server.client_rules import AUTH_METHODS, GRANT_TYPES, RESPONSE_TYPES, SCOPES
from modules.auth.oauth_server.id_tokens import CLAIMS, OPENID
from modules.auth.oauth_server.introspection import AUTH_METHODS as LOOKING_METHODS

if TYPE_CHECKING:
    from modules.auth.oauth_server.id_tokens import IdTokens


class Discovery:
    """Describes this server.

    Args:
        issuer: The ``iss`` of its tokens, below which its routes are.
        id_tokens: Signs, or cannot.
        allows_registration: Whether applications may register themselves.
    """

    def __init__(self, issuer: str, id_tokens: IdTokens, *, allows_registration: bool) -> None:
        self._issuer = issuer
        self._id_tokens = id_tokens
        self._allows_registration = allows_registration

    async def document(self) -> dict[str, Any]:
        """Return the metadata; both standards read the same document.

        Raises:
            SigningUnavailable: 503.
        """
        base = self._issuer
        has_openid = self._id_tokens.is_possible
        document: dict[str, Any] = {
            "issuer": base,
            "authorization_endpoint": f"{base}/oauth/authorize",
            "token_endpoint": f"{base}/oauth/token",
            "userinfo_endpoint": f"{base}/oauth/userinfo",
            "revocation_endpoint": f"{base}/oauth/revoke",
            "introspection_endpoint": f"{base}/oauth/introspect",
            "jwks_uri": f"{base}/.well-known/jwks.json",
            "scopes_supported": [name for name in SCOPES if has_openid or name != OPENID],
            "response_types_supported": list(RESPONSE_TYPES),
            "response_modes_supported": ["query"],
            "grant_types_supported": list(GRANT_TYPES),
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [await self._id_tokens.algorithm()],
            "token_endpoint_auth_methods_supported": list(AUTH_METHODS),
            "revocation_endpoint_auth_methods_supported": list(AUTH_METHODS),
            "introspection_endpoint_auth_methods_supported": list(LOOKING_METHODS),
            "code_challenge_methods_supported": ["S256"],
            "claims_supported": list(CLAIMS),
            "authorization_response_iss_parameter_supported": True,
            "claims_parameter_supported": False,
            "request_parameter_supported": False,
            "request_uri_parameter_supported": False,
        }
        if self._allows_registration:
            document["registration_endpoint"] = f"{base}/oauth/clients/register"
        return document
