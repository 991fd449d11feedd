"""What this service is and can: ``/health``, ``/settings``, and its public keys."""

from __future__ import annotations

from typing import Any, Final

from litestar import Controller, Response, get
from litestar.di import NamedDependency

from modules.auth.providers.registry import Providers
from modules.auth.settings import AuthSettings
from modules.auth.tokens import TokenCodec
from monohull import __version__
from monohull.kernel.guards import public

JWKS_PATH: Final = "/.well-known/jwks.json"
KEYS_CACHE: Final = {"Cache-Control": "public, max-age=600"}

PROVIDERS: Final = (
    "anonymous_users",
    "apple",
    "azure",
    "bitbucket",
    "discord",
    "facebook",
    "figma",
    "fly",
    "github",
    "gitlab",
    "google",
    "kakao",
    "keycloak",
    "linkedin",
    "linkedin_oidc",
    "notion",
    "phone",
    "slack",
    "slack_oidc",
    "snapchat",
    "spotify",
    "twitch",
    "twitter",
    "workos",
    "x",
    "zoom",
)
"""What clients look for among the providers beside e-mail; those without a setting are never on."""


class AboutController(Controller):
    tags = ("Auth",)
    opt = public()

    @get("/health", operation_id="GetAuthHealth")
    async def health(self) -> dict[str, str]:
        """Say what this is; clients know it by GoTrue's name."""
        return {
            "version": __version__,
            "name": "GoTrue",
            "description": "Monohull's auth, a user registration and authentication API",
        }

    @get("/settings", operation_id="GetAuthSettings")
    async def show(
        self,
        auth_settings: NamedDependency[AuthSettings],
        autoconfirms: NamedDependency[bool],
        providers: NamedDependency[Providers],
    ) -> dict[str, Any]:
        """Return what a sign-in form needs to know."""
        external = (
            dict.fromkeys(PROVIDERS, False)
            | dict.fromkeys(providers.enabled, True)
            | {
                "anonymous_users": auth_settings.external_anonymous_users_enabled,
                "email": auth_settings.external_email_enabled,
                "phone": auth_settings.external_phone_enabled,
            }
        )
        return {
            "external": external,
            "disable_signup": auth_settings.disable_signup,
            "mailer_autoconfirm": autoconfirms,
            "phone_autoconfirm": auth_settings.sms_autoconfirm,
            "sms_provider": auth_settings.sms_provider or "",
            "saml_enabled": auth_settings.saml_enabled,
            "passkeys_enabled": auth_settings.passkey_enabled,
        }

    @get(JWKS_PATH, operation_id="GetAuthKeys")
    async def keys(self, token_codec: NamedDependency[TokenCodec]) -> Response[dict[str, Any]]:
        """Return the public keys of our tokens; empty while the shared secret signs."""
        await token_codec.ready()
        return Response({"keys": token_codec.public_keys()}, headers=KEYS_CACHE)


class RootKeysController(Controller):
    path = JWKS_PATH
    tags = ("Auth",)
    opt = public()

    @get(operation_id="GetKeys")
    async def keys(self, token_codec: NamedDependency[TokenCodec]) -> Response[dict[str, Any]]:
        """Return the same as ``/auth/v1/.well-known/jwks.json``, where OpenID clients look first."""
        await token_codec.ready()
        return Response({"keys": token_codec.public_keys()}, headers=KEYS_CACHE)
