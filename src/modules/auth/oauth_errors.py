"""Refusals of the OAuth server.

What people and administrators call answers as the rest of ``/auth/v1`` does;
what applications call by the standard answers in its shape, ``error`` and
``error_description``: those are below `OauthRefusal`.

Sources: RFC 6749, section 5.2; RFC 7591, section 3.2.2; RFC 6750, section 3.1;
supabase/auth, ``internal/api/apierrors/errorcode.go``.
"""

from __future__ import annotations

from typing import Final

from modules.auth.errors import AuthProblem

NO_STORE: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class FeatureDisabled(AuthProblem):
    """The OAuth server is switched off."""

    code = "feature_disabled"
    status = 404
    hint = "Set MONOHULL_AUTH_OAUTH_SERVER_ENABLED=true."

    def __init__(self) -> None:
        super().__init__("OAuth server is disabled")


class DynamicRegistrationDisabled(AuthProblem):
    """Applications may not register themselves."""

    code = "oauth_dynamic_client_registration_disabled"
    status = 403
    hint = "Set MONOHULL_AUTH_OAUTH_SERVER_ALLOW_DYNAMIC_REGISTRATION=true, or register it as administrator."

    def __init__(self) -> None:
        super().__init__("Dynamic client registration is not enabled")


class OauthClientNotFound(AuthProblem):
    """No application has this id."""

    code = "oauth_client_not_found"
    status = 404

    def __init__(self) -> None:
        super().__init__("OAuth client not found")


class UnknownOauthClient(OauthClientNotFound):
    """The request for access names no application; where the user would go back to is not known."""

    code = "oauth_client_not_found"
    status = 400


class AuthorizationNotFound(AuthProblem):
    """No request for access has this id, it was answered, it is over, or it is somebody else's."""

    code = "oauth_authorization_not_found"
    status = 404

    def __init__(self) -> None:
        super().__init__("OAuth authorization not found")


class ConsentNotFound(AuthProblem):
    """The user allowed this application nothing."""

    code = "oauth_consent_not_found"
    status = 404

    def __init__(self) -> None:
        super().__init__("No active grant found for this client")


class InsufficientScope(AuthProblem):
    """The token is an application's, and this is for the user alone."""

    code = "insufficient_scope"
    status = 403
    hint = "Sign in to the project itself; an application cannot do this in the user's name."

    def __init__(self) -> None:
        super().__init__(
            "An application may not do this in the user's name",
            headers={"WWW-Authenticate": 'Bearer error="insufficient_scope"'},
        )


class OauthRefusal(AuthProblem):
    """Base of what answers in the standard's shape."""

    def __init__(self, message: str) -> None:
        super().__init__(message, headers=NO_STORE)


class OauthInvalidRequest(OauthRefusal):
    """A parameter is missing, malformed or there twice."""

    code = "invalid_request"
    status = 400


class InvalidClient(OauthRefusal):
    """The application is not known, or did not prove that it is the one; never says which."""

    code = "invalid_client"
    status = 401

    def __init__(self, message: str = "Client authentication failed") -> None:
        super().__init__(message)
        self.headers = {**NO_STORE, "WWW-Authenticate": 'Basic realm="oauth"'}


class InvalidGrant(OauthRefusal):
    """The code or the refresh token is wrong, over, used, or another application's."""

    code = "invalid_grant"
    status = 400


class UnauthorizedClient(OauthRefusal):
    """The application was not registered for this grant."""

    code = "unauthorized_client"
    status = 400


class UnsupportedGrantType(OauthRefusal):
    """There is no such grant here."""

    code = "unsupported_grant_type"
    status = 400


class InvalidScope(OauthRefusal):
    """A scope that there is not, or that was not allowed."""

    code = "invalid_scope"
    status = 400


class InvalidTarget(OauthRefusal):
    """The resource is another one than the user was asked about."""

    code = "invalid_target"
    status = 400


class InvalidRedirectUri(OauthRefusal):
    """An application registers an address that codes cannot be sent to."""

    code = "invalid_redirect_uri"
    status = 400


class InvalidClientMetadata(OauthRefusal):
    """An application registers with a value that cannot be used."""

    code = "invalid_client_metadata"
    status = 400
