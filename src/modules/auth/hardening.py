"""What production should not have of the settings of sign-in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from modules.auth.providers.catalogue import DESCRIPTIONS
from modules.auth.redirects import Redirects
from modules.auth.settings import AuthSettings
from monohull.kernel.hardening import LOOPBACK, Weak, is_internal, travels_openly

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from monohull.kernel.settings import Settings

MIN_PASSWORD_CHARACTERS: Final = 8
"""NIST SP 800-63B and ASVS 5.0, 6.2.1."""
MAX_TOKEN_SECONDS: Final = 86_400
MAX_REUSE_SECONDS: Final = 60

CEILINGS: Final[Mapping[str, int]] = {
    "rate_limit_account_failures": 100,
    "rate_limit_password_failures": 1_000,
    "rate_limit_factor_failures": 100,
    "mfa_rate_limit_challenge_and_verify": 300,
    "rate_limit_verify": 3_000,
}
"""What stands between a guesser and a password or a code of six digits; an office shares an address."""

STRANGERS: Final = (
    "https://attacker.example/",
    "https://www.attacker.example/a/b?c=d",
    "https://attacker.com/",
    "https://attacker.net",
    "http://attacker.org/",
    "https://a.b.attacker.com/x",
)
"""Addresses that no allow list means. One that has them was written with too few letters."""

HOOKS: Final = (
    "custom_access_token",
    "before_user_created",
    "password_verification_attempt",
    "mfa_verification_attempt",
    "send_email",
    "send_sms",
)
CARRIERS: Final = (
    ("sms_twilio_url", "the provider's token and every code"),
    ("password_hibp_url", "what is asked about passwords"),
    ("security_captcha_url", "the captcha's secret"),
)


def weaknesses(settings: Settings) -> Iterator[Weak]:
    """Yield what makes accounts easier to take."""
    auth = settings.of(AuthSettings)
    yield from _who_is_believed(auth)
    yield from _guessing(auth)
    yield from _tokens(auth)
    yield from _where_links_end(auth, settings)
    yield from _what_travels(auth)
    yield from _what_cannot_work(auth)


def _who_is_believed(auth: AuthSettings) -> Iterator[Weak]:
    if auth.mailer_autoconfirm:
        message = (
            "whoever signs up takes any address for theirs; set MONOHULL_AUTH_SMTP_HOST and leave it out"
        )
        yield Weak("mailer_autoconfirm", message)
    if auth.sms_autoconfirm:
        yield Weak("sms_autoconfirm", "whoever signs up takes any number for theirs; say false")
    if auth.sms_test_otp:
        yield Weak("sms_test_otp", "these numbers are signed in to with a code that never changes; unset it")
    if auth.sms_provider == "mailbox":
        yield Weak("sms_provider", "production keeps no messages, so none is sent; say twilio", "advice")
    if not auth.mailer_secure_email_change_enabled:
        message = "whoever takes a session over takes the account over; say true"
        yield Weak("mailer_secure_email_change_enabled", message, "advice")
    if auth.saml_allow_idp_initiated:
        message = "people can be signed in to an account of somebody else's; say false"
        yield Weak("saml_allow_idp_initiated", message, "advice")


def _guessing(auth: AuthSettings) -> Iterator[Weak]:
    if auth.password_frequent_refused is False:
        message = "the passwords that everybody tries first are taken; leave it out"
        yield Weak("password_frequent_refused", message, "advice")
    if auth.password_min_length < MIN_PASSWORD_CHARACTERS:
        message = f"{auth.password_min_length} characters are guessed; {MIN_PASSWORD_CHARACTERS} are needed"
        yield Weak("password_min_length", message)
    for field, ceiling in CEILINGS.items():
        if getattr(auth, field) > ceiling:
            yield Weak(field, f"so wide a limit lets passwords and codes be guessed; at most {ceiling}")


def _tokens(auth: AuthSettings) -> Iterator[Weak]:
    if auth.jwt_exp > MAX_TOKEN_SECONDS:
        message = f"a stolen token would be good for {auth.jwt_exp} seconds; at most {MAX_TOKEN_SECONDS}"
        yield Weak("jwt_exp", f"{message}, and sessions are refreshed")
    if not auth.security_refresh_token_rotation_enabled:
        message = "a stolen refresh token would be good for ever and never be noticed; say true"
        yield Weak("security_refresh_token_rotation_enabled", message)
    if auth.security_refresh_token_reuse_interval > MAX_REUSE_SECONDS:
        message = f"a refresh token that was used stays good for so long; at most {MAX_REUSE_SECONDS}"
        yield Weak("security_refresh_token_reuse_interval", message)


def _where_links_end(auth: AuthSettings, settings: Settings) -> Iterator[Weak]:
    site_url = auth.site_url or settings.core.public_url
    if travels_openly(auth.site_url):
        yield Weak("site_url", "use https://, links and redirects carry tokens to it")
    for pattern in auth.uri_allow_list:
        allowed = Redirects(site_url, (pattern,))
        if any(allowed.allows(url) for url in STRANGERS):
            message = f"{pattern} lets tokens be sent to hosts of strangers; name your own hosts"
            yield Weak("uri_allow_list", message)
        elif travels_openly(pattern):
            yield Weak("uri_allow_list", f"{pattern}: use https://, redirects carry tokens to it")
    for origin in auth.webauthn_rp_origins:
        if origin.startswith("http://") and urlsplit(origin).hostname not in LOOPBACK:
            yield Weak("webauthn_rp_origins", f"{origin}: browsers use keys on https:// alone; write that")


def _what_travels(auth: AuthSettings) -> Iterator[Weak]:
    if auth.smtp_host is not None and auth.smtp_tls == "none" and not is_internal(auth.smtp_host):
        yield Weak("smtp_tls", "links that sign people in would travel readable; say auto")
    for name in HOOKS:
        if travels_openly(getattr(auth, f"hook_{name}_uri")):
            yield Weak(f"hook_{name}_uri", "use https://, it is told of people and sent their codes")
    for field, what in CARRIERS:
        if travels_openly(getattr(auth, field)):
            yield Weak(field, f"use https://, {what} would travel readable")
    for provider in DESCRIPTIONS:
        if travels_openly(getattr(auth, field := f"external_{provider.name}_url")):
            yield Weak(field, "use https://, the client secret would travel readable")


def _what_cannot_work(auth: AuthSettings) -> Iterator[Weak]:
    if auth.smtp_host is not None and auth.smtp_admin_email.endswith("@localhost"):
        message = "nobody takes mail from localhost; set the address that mails come from"
        yield Weak("smtp_admin_email", message)
    if auth.security_captcha_enabled and not auth.security_captcha_secret:
        yield Weak("security_captcha_secret", "it must be set while the captcha is on; the provider gives it")
    if auth.saml_allow_encrypted_assertions and auth.saml_private_key is None:
        yield Weak("saml_private_key", "it must be set to decrypt assertions; make an RSA key for it")
    for factor in ("totp", "phone", "web_authn", "recovery_codes"):
        if getattr(auth, f"mfa_{factor}_enroll_enabled") and not getattr(
            auth, f"mfa_{factor}_verify_enabled"
        ):
            message = "people would enrol what is never accepted; say true, or forbid to enrol"
            yield Weak(f"mfa_{factor}_verify_enabled", message)
    for provider in DESCRIPTIONS:
        name = f"external_{provider.name}"
        if getattr(auth, f"{name}_enabled") and not getattr(auth, f"{name}_client_id"):
            yield Weak(f"{name}_client_id", "it must be set while the provider is on; the provider gives it")
