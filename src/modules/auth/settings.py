"""GoTrue's settings that this module honours, under its names with our prefix."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal

from msgspec import Meta

from modules.auth.flow_settings import DURATION
from modules.auth.gotrue_names import WITHOUT_EFFECT
from modules.auth.mfa_settings import MfaSettings

MAX_DURATION_CHARACTERS: Final = 40
_UNITS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0}


class AuthSettings(MfaSettings, frozen=True, kw_only=True):
    """How people sign up and in. ``MONOHULL_AUTH_DISABLE_SIGNUP`` and so on."""

    prefix: ClassVar[str] = "AUTH_"
    without_effect: ClassVar[frozenset[str]] = WITHOUT_EFFECT

    at_root: Annotated[
        bool,
        Meta(
            description="Answer /signup, /token and every other route of /auth/v1 at the root as well, where "
            "clients look for a GoTrue that stands alone. Links keep leading below /auth/v1. Ours."
        ),
    ] = False
    disable_signup: Annotated[bool, Meta(description="Refuse new users.")] = False
    external_email_enabled: Annotated[bool, Meta(description="Sign-up and sign-in by e-mail address.")] = True
    mailer_autoconfirm: Annotated[
        bool | None,
        Meta(description="Trust addresses without a mail; unset: not in production."),
    ] = None
    jwt_algorithm: Annotated[
        Literal["ES256", "RS256", "EdDSA", "HS256"],
        Meta(
            description="What signs access tokens, unless MONOHULL_JWT_JWKS holds a private key. HS256 signs "
            "with MONOHULL_JWT_SECRET; the others with keys that are made and rotated here."
        ),
    ] = "ES256"
    jwt_exp: Annotated[int, Meta(ge=30, le=604_800, description="Seconds an access token holds.")] = 3600
    password_min_length: Annotated[int, Meta(ge=6, le=72, description="Characters a new password needs.")] = 8
    password_required_characters: Annotated[
        str | None,
        Meta(description="Sets of characters, separated by colons; a password needs one of each set."),
    ] = None
    password_frequent_refused: Annotated[
        bool | None,
        Meta(
            description="Refuse new passwords that are among the 28,000 that people choose most; unset: in "
            "production. Ours."
        ),
    ] = None
    password_hibp_enabled: Annotated[
        bool, Meta(description="Refuse new passwords that are known from leaks, asked by k-anonymity.")
    ] = False
    password_hibp_url: Annotated[
        str,
        Meta(pattern=r"^https?://", description="What the first five digits of a SHA-1 are appended to."),
    ] = "https://api.pwnedpasswords.com/range/"
    password_hibp_fail_closed: Annotated[
        bool, Meta(description="Refuse new passwords with 503 while nobody can say whether they were leaked.")
    ] = False
    password_breached_list: Annotated[
        Path | None,
        Meta(description="Leaked passwords as sorted SHA-1, one a line; looked up without a network."),
    ] = None
    security_refresh_token_rotation_enabled: Annotated[
        bool, Meta(description="End the session when a refresh token is used a second time, and late.")
    ] = True
    security_refresh_token_reuse_interval: Annotated[
        int, Meta(ge=0, le=3600, description="Seconds in which a second use counts as a retry.")
    ] = 10
    sessions_timebox: Annotated[
        Annotated[str, Meta(pattern=DURATION)] | None,
        Meta(description="How long a session lives at most, 24h for example."),
    ] = None
    sessions_inactivity_timeout: Annotated[
        Annotated[str, Meta(pattern=DURATION)] | None,
        Meta(description="How long a session lives without a refresh."),
    ] = None
    sessions_single_per_user: Annotated[
        bool, Meta(description="A sign-in ends every other session of the user.")
    ] = False
    rate_limit_token_refresh: Annotated[
        float, Meta(gt=0, description="Requests to /token in 5 minutes from one address.")
    ] = 150
    rate_limit_otp: Annotated[
        float, Meta(gt=0, description="Requests to /signup in 5 minutes from one address.")
    ] = 30
    rate_limit_account_failures: Annotated[
        int,
        Meta(
            ge=1,
            description="Wrong passwords for one account, from everywhere, after which addresses that it "
            "does not know have to wait, longer each time; ours.",
        ),
    ] = 10
    rate_limit_password_failures: Annotated[
        float, Meta(gt=0, description="Wrong passwords in 5 minutes for one account from one address; ours.")
    ] = 30

    def autoconfirms(self, env: Literal["development", "test", "production"]) -> bool:
        """Say whether an address counts as confirmed at sign-up."""
        return self.mailer_autoconfirm if self.mailer_autoconfirm is not None else env != "production"


def duration_seconds(text: str) -> float | None:
    """Return a duration that somebody wrote, or None when it is none.

    >>> duration_seconds("24h"), duration_seconds("a day")
    (86400.0, None)
    """
    return seconds(text) if len(text) <= MAX_DURATION_CHARACTERS and re.fullmatch(DURATION, text) else None


def seconds(duration: str | None) -> float | None:
    """Return a Go duration in seconds; a bare number is seconds already.

    >>> seconds("1h30m")
    5400.0
    """
    if duration is None:
        return None
    if duration.isdigit():
        return float(duration)
    return sum(
        float(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+(?:\.\d+)?)([hms])", duration)
    )
