"""Settings of the OAuth 2.1 server, under GoTrue's names with our prefix."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from modules.auth.captcha_settings import CaptchaSettings


class OauthServerSettings(CaptchaSettings, frozen=True, kw_only=True):
    """How other applications sign their users in here. ``MONOHULL_AUTH_OAUTH_SERVER_…``."""

    oauth_server_enabled: Annotated[
        bool, Meta(description="Be an OAuth 2.1 and OpenID Connect provider for other applications.")
    ] = False
    oauth_server_allow_dynamic_registration: Annotated[
        bool, Meta(description="Let applications register themselves (RFC 7591).")
    ] = False
    oauth_server_authorization_path: Annotated[
        Annotated[str, Meta(pattern=r"^/[^?#\s]*$")],
        Meta(description="Page of the application, below its site_url, that asks users for consent."),
    ] = "/oauth/consent"
    oauth_server_authorization_ttl: Annotated[
        Annotated[str, Meta(pattern=r"^(\d+|(\d+(\.\d+)?(h|m|s))+)$")],
        Meta(description="How long a request for access waits for the user's answer."),
    ] = "10m"
    oauth_server_default_scope: Annotated[
        Annotated[str, Meta(pattern=r"^(openid|email|profile|phone)( (openid|email|profile|phone))*$")],
        Meta(description="What an application gets that names no scope."),
    ] = "email"
    rate_limit_oauth_dynamic_client_register: Annotated[
        float, Meta(gt=0, description="Applications that one address may register in 5 minutes.")
    ] = 10
