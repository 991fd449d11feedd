"""Settings of second factors, under GoTrue's names with our prefix. ``MONOHULL_AUTH_MFA_…``."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from modules.auth.flow_settings import Duration, FlowSettings


class MfaSettings(FlowSettings, frozen=True, kw_only=True):
    """Which second factors there are, and how often one may try."""

    mfa_challenge_expiry_duration: Annotated[
        int, Meta(ge=10, le=3600, description="Seconds in which a challenge has to be answered.")
    ] = 300
    mfa_factor_expiry_duration: Annotated[
        Duration, Meta(description="How long a factor waits for its first code before it is forgotten.")
    ] = "300s"
    mfa_rate_limit_challenge_and_verify: Annotated[
        float, Meta(gt=0, description="Challenges and codes a minute from one address.")
    ] = 15
    mfa_max_enrolled_factors: Annotated[
        int, Meta(ge=1, le=100, description="Factors of one user, used or not.")
    ] = 10
    mfa_max_verified_factors: Annotated[
        int, Meta(ge=1, le=100, description="Factors of one user that are in use.")
    ] = 10
    mfa_totp_enroll_enabled: Annotated[bool, Meta(description="Enrol authenticator apps.")] = True
    mfa_totp_verify_enabled: Annotated[bool, Meta(description="Accept codes of authenticator apps.")] = True
    mfa_phone_enroll_enabled: Annotated[bool, Meta(description="Enrol phone numbers as factors.")] = False
    mfa_phone_verify_enabled: Annotated[
        bool, Meta(description="Send codes to phone numbers that are factors, and accept them.")
    ] = False
    mfa_phone_otp_length: Annotated[int, Meta(ge=6, le=10, description="Digits of these codes.")] = 6
    mfa_phone_max_frequency: Annotated[
        Duration, Meta(description="Least time between two of these codes to one number.")
    ] = "1m"
    mfa_phone_template: Annotated[str, Meta(min_length=1, description="Text; {{ .Code }} is the code.")] = (
        "Your code is {{ .Code }}"
    )
    mfa_web_authn_enroll_enabled: Annotated[bool, Meta(description="Enrol security keys as factors.")] = False
    mfa_web_authn_verify_enabled: Annotated[
        bool, Meta(description="Accept what security keys sign as a second factor.")
    ] = False
    mfa_recovery_codes_enroll_enabled: Annotated[
        bool, Meta(description="Give recovery codes to who has a second factor.")
    ] = True
    mfa_recovery_codes_verify_enabled: Annotated[bool, Meta(description="Accept recovery codes.")] = True
    passkey_enabled: Annotated[bool, Meta(description="Sign in with passkeys.")] = False
    passkey_max_passkeys_per_user: Annotated[int, Meta(ge=1, le=100, description="Passkeys of one user.")] = (
        10
    )
    webauthn_rp_id: Annotated[
        Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9.-]*$")] | None,
        Meta(description="Domain that keys are made for; unset: the host of site_url. It binds every key."),
    ] = None
    webauthn_rp_display_name: Annotated[
        Annotated[str, Meta(min_length=1)] | None,
        Meta(description="How authenticators name the site; unset: its host."),
    ] = None
    webauthn_rp_origins: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^[a-zA-Z][a-zA-Z0-9+.-]*:\S+$")], ...],
        Meta(description="Origins of pages that may use keys, comma-separated; unset: that of site_url."),
    ] = ()
    webauthn_challenge_expiry_duration: Annotated[
        Duration, Meta(description="How long a passkey has to answer.")
    ] = "5m"
    rate_limit_factor_failures: Annotated[
        float,
        Meta(
            gt=0,
            description="Wrong second factors in 15 minutes for one account from one address; ours. "
            "RATE_LIMIT_ACCOUNT_FAILURES counts those from everywhere.",
        ),
    ] = 10
