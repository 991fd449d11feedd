"""Where outgoing requests may go: the check of a URL and of every address behind its name.

People give us URLs (webhooks, identity providers, images) and we call them from
inside the network. So the only addresses that pass are those of the public
internet: an allow-list of what is global, never a block-list of names. IPv6
forms that carry an IPv4 address are opened and the address inside is judged.

Sources: the IANA special-purpose registries, RFC 6890; for hosts that are
numbers, the URL standard's "ends in a number".
"""

from __future__ import annotations

import re
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import TYPE_CHECKING, Final, TypeAlias

import httpx
from msgspec import Struct

from monohull.kernel.outbound.errors import OutboundRefused

if TYPE_CHECKING:
    from collections.abc import Iterable

Address: TypeAlias = IPv4Address | IPv6Address
MAX_URL_CHARACTERS: Final = 8192
MAX_PORT: Final = 65_535

_HOST: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
_NAT64: Final = IPv6Network("64:ff9b::/96")
_ISATAP: Final = frozenset({0x0000_5EFE, 0x0200_5EFE})

_NEVER: Final = tuple(
    map(
        ip_network,
        (
            "192.0.0.0/24",  # IETF protocols; a cloud's metadata service is at .192
            "192.88.99.0/24",  # relays from 6to4
            "168.63.129.16/32",  # a cloud's host agent, on an address that looks public
            "2001::/23",  # Teredo, ORCHID, benchmarks
            "2001:db8::/32",
            "3fff::/20",  # documentation
        ),
    )
)
"""Networks that Python's tables of 3.11 call global, or that are so in name only."""


class Destinations(Struct, frozen=True):
    """What may be reached beside the public internet.

    Attributes:
        networks: Private networks that are allowed all the same.
        hosts: Names that may resolve to any address, in lower case.
        ports: The only ports, or None for all.
    """

    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    hosts: frozenset[str] = frozenset()
    ports: frozenset[int] | None = None

    def check_url(self, url: str) -> httpx.URL:
        """Return ``url`` parsed when it may be tried at all.

        Raises:
            OutboundRefused: It is malformed, has a scheme other than http and https,
                has credentials, or its host or port can be judged without asking anybody.
        """
        if len(url) > MAX_URL_CHARACTERS:
            raise OutboundRefused("url", f"The URL has more than {MAX_URL_CHARACTERS} characters.")
        try:
            parsed = httpx.URL(url)
        except (httpx.InvalidURL, ValueError):
            raise OutboundRefused("url", "The URL is not well-formed.") from None
        if parsed.scheme not in ("http", "https"):
            raise OutboundRefused("scheme", "The URL must begin with http:// or https://.")
        if parsed.userinfo:
            raise OutboundRefused("credentials", "The URL must not contain a user or a password.")
        self._check_host(parsed.raw_host.decode("ascii"))
        port = parsed.port if parsed.port is not None else 443 if parsed.scheme == "https" else 80
        if not 0 < port <= MAX_PORT or (self.ports is not None and port not in self.ports):
            raise OutboundRefused("port", f"The port {port} is not among the allowed ones.")
        return parsed

    def check_addresses(self, host: str, answers: Iterable[str]) -> tuple[str, ...]:
        """Return ``answers`` when every one of them may be reached.

        All or none: a name that has a public and a private address is an attack
        or an accident, and which of both is connected to would be chance.

        Raises:
            OutboundRefused: There is no answer, or one that may not be reached.
        """
        found = tuple(answers)
        if not found:
            raise OutboundRefused("host", "The host has no address.")
        if _plain(host) not in self.hosts and not all(map(self._allows, found)):
            raise OutboundRefused("address", "The host is not on the public internet.")
        return found

    def _check_host(self, host: str) -> None:
        name = _plain(host)
        if ":" in name:
            self._check_literal(host, name)
        elif _NUMBER.fullmatch(name.rpartition(".")[2]):
            # 2130706433, 0x7f.1 and 0177.0.0.1 are 127.0.0.1 to the system's resolver
            self._check_literal(host, name)
        elif not _HOST.fullmatch(name):
            raise OutboundRefused("host", "The URL's host is not a name.")

    def _check_literal(self, host: str, name: str) -> None:
        try:
            address = ip_address(name)
        except ValueError:
            raise OutboundRefused("host", "The URL's host is not an address in its usual form.") from None
        if "%" in name:
            raise OutboundRefused("host", "The URL's host has a zone.")
        self.check_addresses(host, (str(address),))

    def _allows(self, answer: str) -> bool:
        try:
            outer = ip_address(answer)
        except ValueError:
            return False
        inner = unwrap(outer)
        if any(address in network for address in (outer, inner) for network in self.networks):
            return True
        return is_public(inner)


def destinations(allow: Iterable[str] = (), ports: Iterable[int] | None = None) -> Destinations:
    """Read an allow-list of addresses, networks and host names.

    >>> destinations(["10.1.0.0/16", "Hooks.Example.Internal"]).hosts
    frozenset({'hooks.example.internal'})

    Raises:
        ValueError: An entry is none of the three.
    """
    networks: list[IPv4Network | IPv6Network] = []
    hosts: set[str] = set()
    for entry in allow:
        try:
            networks.append(ip_network(entry.strip("[]")))
        except ValueError as error:
            name = _plain(entry)
            if "/" in entry or _NUMBER.fullmatch(name.rpartition(".")[2]) or not _HOST.fullmatch(name):
                raise ValueError(f"{entry!r} is neither a network (10.0.0.0/8) nor a host name") from error
            hosts.add(name)
    return Destinations(tuple(networks), frozenset(hosts), None if ports is None else frozenset(ports))


def is_public(address: Address) -> bool:
    """Say whether ``address`` is a unicast address of the public internet.

    >>> [is_public(ip_address(text)) for text in ("93.184.216.34", "100.64.0.1", "224.0.0.1")]
    [True, False, False]
    """
    if any(address in network for network in _NEVER):
        return False
    if address.is_multicast or address.is_reserved or not address.is_global:
        return False
    return isinstance(address, IPv4Address) or address in _GLOBAL_UNICAST


def unwrap(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address carries, else the address itself.

    Mapped (``::ffff:a.b.c.d``), compatible (``::a.b.c.d``), NAT64, 6to4 and ISATAP.
    Teredo is not opened: it is refused as a whole.
    """
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    number = int(address)
    low = IPv4Address(number & 0xFFFF_FFFF)
    is_compatible = number >> 32 == 0
    is_isatap = (number >> 32) & 0xFFFF_FFFF in _ISATAP
    return low if is_compatible or is_isatap or address in _NAT64 else address


def _plain(host: str) -> str:
    """Return a host without brackets, the root's dot and upper case."""
    return host.strip("[]").lower().removesuffix(".")
