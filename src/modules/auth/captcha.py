"""Captchas: whoever asks shows the answer to a riddle, and the provider says whether it holds.

It fails closed: while the provider does not answer, what is protected is refused, clearly and for a while.

Source: hCaptcha's and Turnstile's ``siteverify``; supabase/auth, ``internal/security/captcha.go``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final
from urllib.parse import urlencode

import msgspec

from modules.auth.errors import AuthProblem
from modules.auth.settings import seconds
from monohull.kernel.errors import Unavailable
from monohull.kernel.observation import SILENT, Level, Observation
from monohull.kernel.outbound import OutboundFailed, OutboundLimits, OutboundRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modules.auth.captcha_settings import CaptchaSettings
    from monohull.kernel.observation import Observer
    from monohull.kernel.outbound import Outbound

ADDRESSES: Final[Mapping[str, str]] = {
    "hcaptcha": "https://api.hcaptcha.com/siteverify",
    "turnstile": "https://challenges.cloudflare.com/turnstile/v0/siteverify",
}
MAX_TOKEN_CHARACTERS: Final = 16_384
REPLY_BYTES: Final = 100_000
SHOWN_CODES: Final = 5
OURS: Final = frozenset(
    {
        "missing-input-secret",
        "invalid-input-secret",
        "missing-secret",
        "invalid-secret",
        "bad-request",
        "internal-error",
        "sitekey-secret-mismatch",
    }
)
"""What a provider says when the fault is not the client's: nobody could pass then."""


class CaptchaNotChecked(Observation, frozen=True):
    """The provider did not say whether an answer holds, so the request was refused."""

    event: ClassVar[str] = "auth.captcha_not_checked"
    level: ClassVar[Level] = "error"

    reason: str


class CaptchaFailed(AuthProblem):
    """The captcha was not answered, or wrongly, or its answer was used already."""

    code = "captcha_failed"
    status = 400
    hint = "Show the captcha again and send its answer as gotrue_meta_security.captcha_token."

    def __init__(self, reason: str) -> None:
        super().__init__(f"captcha protection: request disallowed ({reason})")


class CaptchaUnavailable(Unavailable):
    """A captcha has to be checked and its provider does not answer."""

    code = "captcha_unavailable"
    hint = "Try again in a moment. The log says what the provider did."


class Captcha:
    """Asks the provider.

    Args:
        outbound: Makes the requests.
        settings: Whether, whom, and for how long.
        observer: Told when there is no answer.

    Raises:
        ValueError: It is on and has no secret.
    """

    def __init__(self, outbound: Outbound, settings: CaptchaSettings, observer: Observer = SILENT) -> None:
        if settings.security_captcha_enabled and not settings.security_captcha_secret:
            raise ValueError("a captcha needs the secret that its provider gave out")
        total = seconds(settings.security_captcha_timeout) or 1.0
        self._outbound = outbound
        self._secret = settings.security_captcha_secret
        self._url = settings.security_captcha_url or ADDRESSES[settings.security_captcha_provider]
        self._observer = observer
        self._limits = OutboundLimits(
            connect_seconds=total, read_seconds=total, total_seconds=total, response_bytes=REPLY_BYTES
        )
        self.is_on = settings.security_captcha_enabled

    async def check(self, token: str, address: str | None) -> None:
        """Make sure that ``token`` answers a captcha, shown to somebody at ``address``.

        Raises:
            CaptchaFailed: 400, it does not. CaptchaUnavailable: 503, nobody can say.
        """
        token = token.strip()
        if not token:
            raise CaptchaFailed("no captcha_token found")
        if len(token) > MAX_TOKEN_CHARACTERS:
            raise CaptchaFailed("invalid-input-response")
        verdict = await self._ask(token, address)
        if verdict.get("success") is True:
            return
        codes = verdict.get("error-codes")
        words = [str(code)[:60] for code in codes[:SHOWN_CODES]] if isinstance(codes, list) else []
        if OURS.intersection(words):
            raise self._unavailable(f"it refuses our request: {', '.join(words)}")
        raise CaptchaFailed(", ".join(words) or "the answer does not hold")

    async def _ask(self, token: str, address: str | None) -> Mapping[str, Any]:
        fields = {"secret": self._secret or "", "response": token}
        try:
            reply = await self._outbound.request(
                "POST",
                self._url,
                headers={"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
                body=urlencode(fields | ({"remoteip": address} if address else {})).encode(),
                limits=self._limits,
            )
        except (OutboundFailed, OutboundRefused) as error:
            raise self._unavailable(f"{type(error).__name__}: {error}") from error
        try:  # a provider that refuses says why in a body of the same shape, whatever the status
            return msgspec.json.decode(reply.body, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise self._unavailable(f"it answered with status {reply.status} and no JSON object") from error

    def _unavailable(self, reason: str) -> CaptchaUnavailable:
        self._observer.observe(CaptchaNotChecked(reason=reason))
        return CaptchaUnavailable("The captcha cannot be checked at the moment, so nothing was done.")
