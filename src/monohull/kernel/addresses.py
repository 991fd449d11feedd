"""Which addresses are on the public internet, and how an allow-list of others is written.

An allow-list of what is global, never a block-list: what nobody thought of is
not public. IPv6 forms that carry an IPv4 address are opened and the address
inside is judged.

Source: the IANA special-purpose address registries, RFC 6890.
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

if TYPE_CHECKING:
    from collections.abc import Iterable

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

_HOST: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_SITE_BITS: Final = 64
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


def network_of(text: str | None) -> str:
    """Return what counts as one caller: an IPv4 address, or the /64 that one IPv6 customer holds.

    >>> network_of("203.0.113.9"), network_of("2001:db8::1"), network_of(None)
    ('203.0.113.9', '2001:db8::/64', 'local')
    """
    try:
        address = ip_address(text or "")
    except ValueError:  # a socket's path, say
        return "local"
    if isinstance(address, IPv6Address):
        return str(ip_network((address.packed, _SITE_BITS), strict=False))
    return str(address)


def is_public(address: Address) -> bool:
    """Say whether ``address`` is a unicast address of the public internet.

    >>> [is_public(IPv4Address(text)) for text in ("93.184.216.34", "100.64.0.1", "224.0.0.1")]
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


def unmapped(text: str) -> str:
    """Return an IPv4 address that a socket for both kinds shows as an IPv6 one as what it is.

    >>> unmapped("::ffff:203.0.113.7"), unmapped("2001:db8::1"), unmapped("junk")
    ('203.0.113.7', '2001:db8::1', 'junk')
    """
    if not text.startswith("::"):
        return text
    try:
        mapped = IPv6Address(text).ipv4_mapped
    except ValueError:
        return text
    return text if mapped is None else str(mapped)


def parse_allowed(entries: Iterable[str]) -> tuple[tuple[Network, ...], frozenset[str]]:
    """Read addresses, networks and host names.

    >>> parse_allowed(["10.1.0.0/16", "Hooks.Example.Internal"])
    ((IPv4Network('10.1.0.0/16'),), frozenset({'hooks.example.internal'}))

    Raises:
        ValueError: An entry is none of the three.
    """
    networks: list[Network] = []
    hosts: set[str] = set()
    for entry in entries:
        try:
            networks.append(ip_network(entry.strip("[]")))
        except ValueError as error:
            name = plain_host(entry)
            if not is_host_name(name):
                raise ValueError(f"{entry!r} is neither a network (10.0.0.0/8) nor a host name") from error
            hosts.add(name)
    return tuple(networks), frozenset(hosts)


def is_numeric(host: str) -> bool:
    """Say whether resolvers may read ``host`` as an address: its last label is a number.

    ``2130706433``, ``0x7f.1`` and ``0177.0.0.1`` are 127.0.0.1 to the system's
    resolver. The URL standard calls it "ends in a number".
    """
    return _NUMBER.fullmatch(host.rpartition(".")[2]) is not None


def is_host_name(host: str) -> bool:
    """Say whether ``host``, in lower case, is a name and cannot be read as an address."""
    return _HOST.fullmatch(host) is not None and not is_numeric(host)


def plain_host(host: str) -> str:
    """Return a host without brackets, the root's dot and upper case."""
    return host.strip("[]").lower().removesuffix(".")
