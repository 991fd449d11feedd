"""Settings of single sign-on by SAML 2.0, under GoTrue's names with our prefix."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from modules.auth.oauth_settings import OauthServerSettings
from monohull.kernel.settings import Secret


class SsoSettings(OauthServerSettings, frozen=True, kw_only=True):
    """How people sign in through their organisation. ``MONOHULL_AUTH_SAML_…``."""

    saml_enabled: Annotated[bool, Meta(description="Sign-in through organisations by SAML 2.0.")] = False
    saml_private_key: Annotated[
        Secret | None,
        Meta(
            description="RSA key that signs our requests and decrypts assertions: PEM, or its DER in base64. "
            "Unset: they are not signed, which most identity providers accept."
        ),
    ] = None
    saml_allow_encrypted_assertions: Annotated[
        bool,
        Meta(description="Accept assertions that are encrypted for the private key, and publish that."),
    ] = False
    saml_allow_idp_initiated: Annotated[
        bool,
        Meta(description="Accept sign-ins that begin at the identity provider; ours."),
    ] = False
    saml_relay_state_validity_period: Annotated[
        Annotated[str, Meta(pattern=r"^(\d+|(\d+(\.\d+)?(h|m|s))+)$")],
        Meta(description="How long we wait for the identity provider's answer."),
    ] = "2m"
    saml_rate_limit_assertion: Annotated[
        float, Meta(gt=0, description="Single sign-ons in 5 minutes from one address; an office shares one.")
    ] = 150
