"""Credential → `Principal`, through authenticators that modules register.

The edge calls `Authentication.authenticate` once a request. A credential that
does not hold is no error yet: public routes do not care, so the refusal is kept
in the scope and raised by the first guard that asks who is there. Mounts call
the same function and decide for themselves.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qs

from msgspec import Struct

from monohull.kernel.addresses import unmapped
from monohull.kernel.errors import InvalidCredential
from monohull.kernel.grants import Grants
from monohull.kernel.principal import Principal, anonymous

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from ipaddress import IPv4Network, IPv6Network

    from monohull.kernel.principal import Standing


class Credentials(Struct, frozen=True, kw_only=True):
    """What a request brought to say who it is.

    Attributes:
        apikey: The ``apikey`` header, or the query parameter of that name on a websocket.
        bearer: The token of ``Authorization: Bearer``.
        scheme_error: Set when the ``Authorization`` header is there and is no bearer token.
        address: The client's address, proxies that we trust taken off; None on unix sockets.
    """

    apikey: str | None = None
    bearer: str | None = None
    scheme_error: str | None = None
    address: str | None = None

    @property
    def is_empty(self) -> bool:
        return self.apikey is None and self.bearer is None


class Authenticator(Protocol):
    """Knows one kind of credential."""

    async def authenticate(self, credentials: Credentials) -> Principal | None:
        """Return the principal, or None when the credential is of another kind.

        Raises:
            InvalidCredential: It is of this kind and does not hold.
        """
        ...

    def standing(self, credentials: Credentials) -> Standing | None:
        """Return what `authenticate` found a moment ago, or None where each request has to ask."""
        ...


class Authentication:
    """Asks the authenticators in the order their modules were loaded, then what the principal holds.

    Args:
        anonymous_role: Database role of requests that bring no credential.
        trusted_proxies: Addresses and networks whose ``X-Forwarded-For`` is believed.
        grants: Knows what principals hold; by default nobody says.
    """

    def __init__(
        self,
        anonymous_role: str = "anon",
        trusted_proxies: Sequence[str] = (),
        grants: Grants | None = None,
    ) -> None:
        self.grants = Grants() if grants is None else grants
        self._authenticators: tuple[Authenticator, ...] = ()
        self._trusted = tuple(ipaddress.ip_network(cidr) for cidr in trusted_proxies)
        self.anonymous = anonymous(anonymous_role)

    def register(self, authenticators: Iterable[Authenticator]) -> None:
        self._authenticators += tuple(authenticators)

    def use_anonymous_role(self, role: str) -> None:
        """Set the database role of requests that bring no credential."""
        self.anonymous = anonymous(role)

    def credentials(
        self, scope: Mapping[str, Any], headers: Mapping[bytes, bytes] | None = None
    ) -> Credentials:
        """Read the credentials of an ASGI scope.

        Args:
            scope: Of a request or a websocket.
            headers: The scope's headers by name, when none of them is repeated.
        """
        if headers is not None and scope["type"] == "http":
            bearer, scheme_error = _bearer(_text(headers.get(b"authorization")))
            return Credentials(
                apikey=_text(headers.get(b"apikey")),
                bearer=bearer,
                scheme_error=scheme_error,
                address=self.client_address(scope, _text(headers.get(b"x-forwarded-for"))),
            )
        apikey: str | None = None
        authorization: str | None = None
        forwarded: str | None = None
        for name, value in scope["headers"]:
            if name == b"apikey":
                apikey = value.decode("latin-1").strip() or None
            elif name == b"authorization":
                authorization = value.decode("latin-1").strip() or None
            elif name == b"x-forwarded-for":
                forwarded = (
                    value.decode("latin-1") if forwarded is None else f"{forwarded},{value.decode('latin-1')}"
                )
        if apikey is None and scope["type"] == "websocket":
            apikey = parse_qs(scope["query_string"].decode("latin-1")).get("apikey", [None])[0]
        bearer, scheme_error = _bearer(authorization)
        return Credentials(
            apikey=apikey,
            bearer=bearer,
            scheme_error=scheme_error,
            address=self.client_address(scope, forwarded),
        )

    def client_address(self, scope: Mapping[str, Any], forwarded: str | None) -> str | None:
        """Return who called: the last hop that is not a proxy of ours.

        ``X-Forwarded-For`` is believed from the right, and only as far as the
        peer and every hop after the claimed one is in ``MONOHULL_TRUSTED_PROXIES``;
        a client cannot choose its own address by sending the header.
        """
        client: tuple[str, int] | None = scope.get("client")
        peer = unmapped(client[0]) if client else None
        if peer is None or forwarded is None or not self._is_trusted(peer):
            return peer
        for hop in reversed([unmapped(part.strip()) for part in forwarded.split(",")]):
            if not _is_address(hop):
                return peer
            peer = hop
            if not self._is_trusted(hop):
                break
        return peer

    async def authenticate(self, credentials: Credentials) -> Principal:
        """Return who asks; the anonymous principal when there is no credential.

        Raises:
            InvalidCredential: No authenticator accepts it.
            Unavailable: 503, nobody can say who that is, or what they may.
        """
        if credentials.is_empty:
            return self.anonymous
        for authenticator in self._authenticators:
            if (principal := await authenticator.authenticate(credentials)) is not None:
                return await self.grants.complete(principal)
        raise InvalidCredential("The credential is of no kind that is known here.", reason="unknown")

    def standing(self, credentials: Credentials) -> Standing | None:
        """Return what `authenticate` found a moment ago, or None where each request has to ask."""
        if credentials.is_empty:
            return _Nobody(self)
        for authenticator in self._authenticators:
            if (found := authenticator.standing(credentials)) is not None:
                return self.grants.standing(found)
        return None

    def _is_trusted(self, address: str) -> bool:
        if not self._trusted or not _is_address(address):
            return False
        parsed = ipaddress.ip_address(address)
        return any(parsed in network for network in self._networks(parsed.version))

    def _networks(self, version: int) -> list[IPv4Network | IPv6Network]:
        return [network for network in self._trusted if network.version == version]


class _Nobody:
    """The standing of requests without a credential."""

    __slots__ = ("_authentication",)

    def __init__(self, authentication: Authentication) -> None:
        self._authentication = authentication

    def use(self) -> Principal:
        return self._authentication.anonymous


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1").strip() or None


def _bearer(authorization: str | None) -> tuple[str | None, str | None]:
    if authorization is None:
        return None, None
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        return None, f"the scheme {scheme[:20]!r} is not Bearer"
    return token.strip(), None


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
