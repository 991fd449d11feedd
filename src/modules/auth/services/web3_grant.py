"""``grant_type=web3``: a session for a message that a wallet signed.

The message names the application, so one that was signed for another opens
nothing here; it is young, and it works once. Solana only: wallets of
Ethereum sign in a way that takes libraries which we do not ship.

Source: supabase/auth, ``internal/api/web3.go``.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from modules.auth.errors import UserAlreadyExists, ValidationFailed
from modules.auth.models import User
from modules.auth.providers.errors import InvalidGrant, Web3ProviderDisabled, Web3UnsupportedChain
from modules.auth.providers.profiles import Profile
from modules.auth.providers.provider import Provider
from modules.auth.services.new_users import refusals
from modules.auth.services.provider_users import Arrival, ProviderUsers
from modules.auth.settings import seconds
from modules.auth.wallets import SIGNATURE_BYTES, MessageError, SignedMessage, is_signed, parse_message
from monohull.kernel import clock
from monohull.kernel.ratelimit import Limit

if TYPE_CHECKING:
    from modules.auth.dtos import SessionView, Web3Grant
    from modules.auth.origin import Origin
    from modules.auth.redirects import Redirects
    from modules.auth.services.sending import Sender
    from modules.auth.services.sessions import SessionIssuer
    from monohull.kernel.database.engine import Database
    from monohull.kernel.ratelimit import RateLimits

METHOD: Final = "web3"
CHAINS: Final = ("ethereum", "solana")
SKEW: Final = timedelta(minutes=1)
WALLETS: Final = Provider(name=METHOD, client_ids=("",), secret="", redirect_uri="", email_optional=True)

_SIGNATURE: Final = re.compile(r"[A-Za-z0-9_-]{86}(==)?")


class Web3SignIn:
    """Opens sessions for signed messages."""

    def __init__(  # noqa: PLR0913 what it asks
        self,
        database: Database,
        users: ProviderUsers,
        issuer: SessionIssuer,
        *,
        sender: Sender,
        redirects: Redirects,
        limits: RateLimits,
    ) -> None:
        self._database = database
        self._users = users
        self._issuer = issuer
        self._redirects = redirects
        self._limits = limits
        self._settings = sender.settings
        validity = seconds(self._settings.external_web3_solana_maximum_validity_duration) or 0.0
        self._validity = timedelta(seconds=validity)
        self._once = Limit("auth.web3_message", 1, 1 / (validity + 2 * SKEW.total_seconds() + 1))

    async def open_session(self, grant: Web3Grant, origin: Origin) -> SessionView:
        """Open a session of whoever has the wallet.

        Raises:
            ValidationFailed, Web3UnsupportedChain, InvalidGrant: 400. BannedBearer: 403.
            Web3ProviderDisabled, SignupDisabled: 422.
        """
        self._check_chain(grant.chain or "")
        message = self._believe(grant)
        spent = await self._limits.take(self._once, f"{message.address} {grant.message}")
        if not spent.allowed:
            raise InvalidGrant("Signed Solana message was used before")
        subject = f"web3:solana:{message.address}"
        custom = {
            "address": message.address,
            "chain": "solana",
            "network": message.chain_id or "",
            "domain": message.domain,
            "statement": message.statement or "",
        }
        claims = {
            "sub": subject,
            "provider_id": subject,
            "email_verified": False,
            "phone_verified": False,
            "custom_claims": custom,
        }
        profile = Profile(subject=subject, email=None, is_verified=False, claims=claims)
        arrival = Arrival(provider=WALLETS, profile=profile, origin=origin)
        try:
            return await self._open(arrival)
        except UserAlreadyExists:  # the same wallet came twice at once, and the other was first
            return await self._open(arrival)

    async def _open(self, arrival: Arrival) -> SessionView:
        with refusals():
            async with self._database.unit_of_work() as work:
                admission = await self._users.admit(work, arrival)
                if isinstance(admission, User):
                    return await self._issuer.open(work, admission, method=METHOD, origin=arrival.origin)
        raise admission

    def _check_chain(self, chain: str) -> None:
        if not self._settings.external_web3_solana_enabled:
            raise Web3ProviderDisabled("Web3 provider is disabled")
        if chain not in CHAINS:
            raise Web3UnsupportedChain
        if chain == "ethereum":
            raise Web3ProviderDisabled("Ethereum Web3 provider is disabled")

    def _believe(self, grant: Web3Grant) -> SignedMessage:
        """Return the message if it was signed, for us, and just now."""
        text, signature = grant.message or "", grant.signature or ""
        if "\0" in text:
            raise ValidationFailed("message must not contain the character U+0000")
        try:
            message = parse_message(text)
        except MessageError as error:
            raise ValidationFailed(str(error)) from error
        if not _SIGNATURE.fullmatch(signature):
            raise ValidationFailed(f"signature must be {SIGNATURE_BYTES} bytes in base64url")
        self._check_application(message)
        if not is_signed(text, message.address, urlsafe_b64decode(signature.rstrip("=") + "==")):
            raise InvalidGrant("Signature does not match address in message")
        self._check_times(message)
        return message

    def _check_application(self, message: SignedMessage) -> None:
        if not self._redirects.allows(message.uri):
            raise InvalidGrant("Signed Solana message is using URI which is not allowed on this server")
        parts = urlsplit(message.uri)
        if message.domain not in (parts.netloc, parts.hostname):
            raise InvalidGrant("Signed Solana message is using a Domain that does not match the one in URI")

    def _check_times(self, message: SignedMessage) -> None:
        at = clock.now()
        if message.not_before is not None and message.not_before > at + SKEW:
            raise InvalidGrant("Signed Solana message becomes valid in the future")
        if message.expires_at is not None and message.expires_at <= at:
            raise InvalidGrant("Signed Solana message is expired")
        if message.issued_at > at + SKEW:
            raise InvalidGrant("Solana message was issued too far in the future")
        if message.issued_at + self._validity + SKEW < at:
            raise InvalidGrant("Solana message was issued too long ago")
