"""``grant_type=web3``: a session for a message that a wallet signed.

The message names the application, so one that was signed for another opens
nothing here; it is young, and it works once.

Source: supabase/auth, ``internal/api/web3.go``.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from msgspec import Struct

from modules.auth.errors import AuthProblem, UserAlreadyExists, ValidationFailed
from modules.auth.models import User
from modules.auth.providers.errors import InvalidGrant, Web3ProviderDisabled, Web3UnsupportedChain
from modules.auth.providers.profiles import Profile
from modules.auth.providers.provider import Provider
from modules.auth.services.new_users import refusals
from modules.auth.services.provider_users import Arrival, ProviderUsers
from modules.auth.settings import seconds
from modules.auth.wallets import CHAINS, Chain, Contracts, MessageError, SignedMessage, parse_message
from monohull.kernel import clock
from monohull.kernel.ratelimit import Limit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.ext.asyncio import AsyncSession

    from modules.auth.dtos import SessionView, Web3Grant
    from modules.auth.origin import Origin
    from modules.auth.redirects import Redirects
    from modules.auth.services.sending import Sender
    from modules.auth.services.sessions import SessionIssuer
    from modules.auth.settings import AuthSettings
    from monohull.kernel.database.engine import Database
    from monohull.kernel.ratelimit import RateLimits

METHOD: Final = "web3"
UNSIGNED: Final = "Signature does not match address in message"
SKEW: Final = timedelta(minutes=1)
WALLETS: Final = Provider(name=METHOD, client_ids=("",), secret="", redirect_uri="", email_optional=True)


class ServedChain(Struct, frozen=True):
    """A chain whose wallets sign in, how old their messages may be, and that each of them works once.

    ``contracts`` answers for accounts without a key, on a chain that has some.
    """

    chain: Chain
    validity: timedelta
    once: Limit
    contracts: Contracts | None = None

    def contracts_of(self, message: SignedMessage) -> Contracts | None:
        """Return what answers for accounts without a key on the network of ``message``."""
        has_node = self.contracts is not None and self.contracts.can_ask(message.chain_id)
        return self.contracts if has_node else None


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
        contracts: Contracts,
    ) -> None:
        self._database = database
        self._users = users
        self._issuer = issuer
        self._redirects = redirects
        self._limits = limits
        self._served = served_chains(sender.settings, contracts)

    async def open_session(self, grant: Web3Grant, origin: Origin) -> SessionView:
        """Open a session of whoever has the wallet.

        Raises:
            ValidationFailed, Web3UnsupportedChain, InvalidGrant: 400. BannedBearer: 403.
            Web3ProviderDisabled, SignupDisabled: 422. ChainUnavailable: 503.
        """
        served = self._serving(grant.chain or "")
        chain = served.chain
        message, is_contract = await self._believe(grant, served)
        spent = await self._limits.take(served.once, f"{message.address} {grant.message}")
        if not spent.allowed:
            raise InvalidGrant(f"Signed {chain.title} message was used before")
        network = f"{message.chain_id}:" if is_contract else ""
        subject = f"web3:{chain.name}:{network}{message.address}"
        custom = {
            "address": message.address,
            "chain": chain.name,
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
        async def admit(work: AsyncSession) -> SessionView | AuthProblem:
            admission = await self._users.admit(work, arrival)
            if isinstance(admission, User):
                return await self._issuer.open(work, admission, method=METHOD, origin=arrival.origin)
            return admission

        with refusals():
            outcome = await self._issuer.hooks.transact(self._database, admit)
        if isinstance(outcome, AuthProblem):
            raise outcome
        return outcome

    def _serving(self, name: str) -> ServedChain:
        if not self._served:
            raise Web3ProviderDisabled("Web3 provider is disabled")
        if (chain := CHAINS.get(name)) is None:
            raise Web3UnsupportedChain
        if (served := self._served.get(name)) is None:
            raise Web3ProviderDisabled(f"{chain.title} Web3 provider is disabled")
        return served

    async def _believe(self, grant: Web3Grant, served: ServedChain) -> tuple[SignedMessage, bool]:
        """Return the message if it was signed, for us, and just now; and whether by a contract."""
        text, chain = grant.message or "", served.chain
        if "\0" in text:
            raise ValidationFailed("message must not contain the character U+0000")
        try:
            message = parse_message(text, chain)
            contracts = served.contracts_of(message)
            signature = (contracts or chain).read_signature(grant.signature or "")
        except MessageError as error:
            raise ValidationFailed(str(error)) from error
        self._check_application(message, chain.title)
        is_signed = chain.is_signed(text, message.address, signature)
        if not is_signed and contracts is None:
            raise InvalidGrant(UNSIGNED)
        _check_times(message, served)
        if not is_signed and contracts is not None:
            agreed = await contracts.agrees(text, message.address, signature, message.chain_id or "")
            if not agreed:
                raise InvalidGrant(UNSIGNED)
        return message, not is_signed

    def _check_application(self, message: SignedMessage, title: str) -> None:
        if not self._redirects.allows(message.uri):
            raise InvalidGrant(f"Signed {title} message is using URI which is not allowed on this server")
        parts = urlsplit(message.uri)
        if message.domain not in (parts.netloc, parts.hostname):
            raise InvalidGrant(f"Signed {title} message is using a Domain that does not match the one in URI")
        if message.scheme not in (None, parts.scheme):
            raise InvalidGrant(f"Signed {title} message is using a scheme that does not match the one in URI")


def served_chains(settings: AuthSettings, contracts: Contracts) -> Mapping[str, ServedChain]:
    """Return the chains whose wallets sign in, by name; ``contracts`` are those of Ethereum."""
    found = {}
    for chain in CHAINS.values():
        if not getattr(settings, f"external_web3_{chain.name}_enabled"):
            continue
        duration = getattr(settings, f"external_web3_{chain.name}_maximum_validity_duration")
        validity = timedelta(seconds=seconds(duration) or 0.0)
        remembered = validity + 2 * SKEW + timedelta(seconds=1)
        once = Limit("auth.web3_message", 1, 1 / remembered.total_seconds())
        answering = contracts if chain.name == "ethereum" else None
        found[chain.name] = ServedChain(chain, validity, once, answering)
    return found


def _check_times(message: SignedMessage, served: ServedChain) -> None:
    at, title = clock.now(), served.chain.title
    if message.not_before is not None and message.not_before > at + SKEW:
        raise InvalidGrant(f"Signed {title} message becomes valid in the future")
    if message.expires_at is not None and message.expires_at <= at:
        raise InvalidGrant(f"Signed {title} message is expired")
    if message.issued_at > at + SKEW:
        raise InvalidGrant(f"{title} message was issued too far in the future")
    if message.issued_at + served.validity + SKEW < at:
        raise InvalidGrant(f"{title} message was issued too long ago")
