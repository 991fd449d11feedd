"""Hand a text message to a provider: a protocol, and the one that most speak.

Source: Twilio's ``POST /2010-04-01/Accounts/{sid}/Messages.json``, which several
other providers answer too (``MONOHULL_AUTH_SMS_TWILIO_URL``).
"""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import quote, urlencode

from monohull.kernel.queues import GiveUp

if TYPE_CHECKING:
    from modules.auth.settings import AuthSettings
    from monohull.kernel.outbound import Outbound

_TEMPORARY: Final = frozenset({408, 425, 429})


class SmsProvider(Protocol):
    """Sends text messages."""

    async def send(self, to: str, text: str, channel: str) -> None:
        """Send ``text`` to the number ``to``, which is E.164 without its plus.

        Raises:
            GiveUp: The provider refuses it for good.
            Exception: Anything else; it is tried again.
        """


class ProviderAnswered(Exception):
    """The provider failed and may do better later."""


class Twilio:
    """Speaks Twilio's interface.

    Args:
        outbound: Makes the requests.
        settings: Account, secret and sender.
    """

    def __init__(self, outbound: Outbound, settings: AuthSettings) -> None:
        self._outbound = outbound
        self._settings = settings

    async def send(self, to: str, text: str, channel: str) -> None:
        settings = self._settings
        account, secret = settings.sms_twilio_account_sid or "", settings.sms_twilio_auth_token or ""
        sender = settings.sms_twilio_message_service_sid or ""
        prefix = "whatsapp:" if channel == "whatsapp" else ""
        fields = {"To": f"{prefix}+{to}", "Body": text}
        if sender.startswith("+") or prefix:
            fields["From"] = f"{prefix}{sender}"
        else:
            fields["MessagingServiceSid"] = sender
        base = settings.sms_twilio_url.rstrip("/")
        reply = await self._outbound.request(
            "POST",
            f"{base}/2010-04-01/Accounts/{quote(account, safe='')}/Messages.json",
            headers={
                "Content-Type": "application/x-www-form-urlencoded",
                "Authorization": f"Basic {b64encode(f'{account}:{secret}'.encode()).decode()}",
            },
            body=urlencode(fields).encode(),
        )
        if reply.status < 300:  # noqa: PLR2004
            return
        if reply.status < 500 and reply.status not in _TEMPORARY:  # noqa: PLR2004
            raise GiveUp(f"the provider refuses the message with status {reply.status}")
        raise ProviderAnswered(f"the provider answered with status {reply.status}")
