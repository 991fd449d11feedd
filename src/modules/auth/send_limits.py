"""How often messages are sent, and how often what was sent may be guessed.

Every limit is asked before anybody looks whether the address is somebody's, so
that a refusal tells nothing. Per client as GoTrue counts (there, for the whole
instance: one client could silence it), and per address and number, because
messages cost money and annoy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from modules.auth.events import SignInFailed, SignInRefused
from modules.auth.flow_errors import OtpExpired, TooManyMails, TooManyTexts
from modules.auth.rules import check_recipient
from modules.auth.settings import seconds
from monohull.kernel.ratelimit import Limit, RateLimits, headers

if TYPE_CHECKING:
    from modules.auth.errors import AuthProblem
    from modules.auth.origin import Origin
    from modules.auth.settings import AuthSettings
    from monohull.kernel.counted import CountedEvents
    from monohull.kernel.ratelimit import Decision

HOUR_SECONDS: Final = 3600
WINDOW_SECONDS: Final = 300
GUESSES: Final = 50
"""Wrong codes in an hour for one account from everywhere: one in 20,000 to hit six digits.
The link in the same mail is not counted, so nobody is locked out by somebody else's guesses."""


class SendLimits:
    """The limits of what is sent."""

    def __init__(self, limits: RateLimits, settings: AuthSettings, counted: CountedEvents) -> None:
        self._counted = counted
        self._settings = settings
        self._limits = limits
        self._mails = (
            Limit("auth.mail_pause", 1, 1 / max(seconds(settings.smtp_max_frequency) or 0, 0.001)),
            _hourly("auth.mail_client", settings.rate_limit_email_sent),
            _hourly("auth.mail_address", settings.rate_limit_email_sent),
        )
        self._texts = (
            Limit("auth.sms_pause", 1, 1 / max(seconds(settings.sms_max_frequency) or 0, 0.001)),
            _hourly("auth.sms_client", settings.rate_limit_sms_sent),
            _hourly("auth.sms_number", settings.rate_limit_sms_sent),
        )
        pause = Limit(
            "auth.mfa_phone_pause", 1, 1 / max(seconds(settings.mfa_phone_max_frequency) or 0, 0.001)
        )
        self._factor_texts = (pause, *self._texts[1:])
        self._requests = _window("auth.send", settings.rate_limit_otp)
        self._verify = _window("auth.verify", settings.rate_limit_verify)
        self._anonymous = _hourly("auth.anonymous", settings.rate_limit_anonymous_users)
        self._guesses = Limit("auth.guesses", GUESSES, GUESSES / HOUR_SECONDS)

    async def request(self, origin: Origin) -> None:
        """Count a request that may send something.

        Raises:
            RateLimited: 429.
            RedisUnavailable: 503, as all of these.
        """
        await self._limits.enforce(self._requests, origin.network)

    async def verify(self, origin: Origin) -> None:
        """Count a request to /verify."""
        await self._limits.enforce(self._verify, origin.network)

    async def anonymous(self, origin: Origin) -> None:
        """Count an anonymous sign-up."""
        await self._limits.enforce(self._anonymous, origin.network)

    async def mail(self, kind: str, email: str, origin: Origin) -> None:
        """Count a mail of ``kind`` to ``email`` that ``origin`` asks for.

        Raises:
            EmailAddressNotAuthorized: 400, mails go to others only.
            TooManyMails: 429, with the seconds after which it may be asked for again.
        """
        check_recipient(email, self._settings)
        await self._send(self._mails, TooManyMails, kind, email, origin)

    async def text(self, kind: str, phone: str, origin: Origin) -> None:
        """Count a text message.

        Raises:
            TooManyTexts: 429.
        """
        await self._send(self._texts, TooManyTexts, kind, phone, origin)

    async def factor_text(self, phone: str, origin: Origin) -> None:
        """Count a text message to a number that is a second factor.

        Raises:
            TooManyTexts: 429.
        """
        await self._send(self._factor_texts, TooManyTexts, "mfa", phone, origin)

    async def admit_guess(self, address: str) -> None:
        """Refuse a code when too many wrong ones came for this address.

        Raises:
            OtpExpired: 403: guessing on must not show whether a guess was right.
        """
        if (await self._limits.take(self._guesses, address, cost=0)).remaining < 1:
            self._counted.count(SignInRefused(method="otp"))
            raise OtpExpired

    async def count_guess(self, address: str) -> None:
        """Note a wrong code."""
        self._counted.count(SignInFailed(method="otp"))
        await self._limits.take(self._guesses, address)

    async def _send(
        self,
        limits: tuple[Limit, Limit, Limit],
        refusal: type[AuthProblem],
        kind: str,
        address: str,
        origin: Origin,
    ) -> None:
        pause, client, account = limits
        for limit, key in ((client, origin.network), (account, address), (pause, f"{kind} {address}")):
            decision = await self._limits.take(limit, key)
            if not decision.allowed:
                raise refusal(_wait(decision), headers=headers(decision))


def _wait(decision: Decision) -> str:
    left = decision.retry_after_seconds
    return f"For security purposes, you can only request this after {left} seconds."


def _hourly(name: str, count: float) -> Limit:
    return Limit(name, max(1, int(count)), count / HOUR_SECONDS)


def _window(name: str, count: float) -> Limit:
    return Limit(name, max(1, int(count)), count / WINDOW_SECONDS)
