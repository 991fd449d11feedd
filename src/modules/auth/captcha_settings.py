"""Settings of the captcha, under GoTrue's names with our prefix."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta

from modules.auth.providers.settings import ProviderSettings
from monohull.kernel.settings import Secret  # noqa: TC001 msgspec reads it

_DURATION: Final = r"^(\d+|(\d+(\.\d+)?(h|m|s))+)$"


class CaptchaSettings(ProviderSettings, frozen=True, kw_only=True):
    """Whether people have to show that they are people. ``MONOHULL_AUTH_SECURITY_CAPTCHA_…``."""

    security_captcha_enabled: Annotated[
        bool,
        Meta(
            description="Sign-up, sign-in by password, and whatever sends a message ask for the answer to a "
            "captcha; administrators are not asked."
        ),
    ] = False
    security_captcha_provider: Annotated[
        Literal["hcaptcha", "turnstile"], Meta(description="Whose captcha clients show.")
    ] = "hcaptcha"
    security_captcha_secret: Annotated[
        Secret | None, Meta(description="What the provider knows this installation by.")
    ] = None
    security_captcha_timeout: Annotated[
        str,
        Meta(pattern=_DURATION, description="How long the provider may take; then the request is refused."),
    ] = "10s"
    security_captcha_url: Annotated[
        Annotated[str, Meta(pattern=r"^https?://")] | None,
        Meta(description="Another address that verifies answers as these providers do; ours."),
    ] = None
