"""Allow-lists of addresses: IPv4 and IPv6 networks, single addresses among them."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from monohull.kernel.addresses import Address, Network


def parse_networks(entries: Iterable[str]) -> tuple[Network, ...]:
    """Read networks; bits beyond the prefix have to be zero, for whoever set them meant something else.

    >>> parse_networks(["203.0.113.7", "2001:db8::/32"])
    (IPv4Network('203.0.113.7/32'), IPv6Network('2001:db8::/32'))

    Raises:
        ValueError: An entry is none, with what is wrong about it.
    """
    return tuple(ip_network(entry.strip()) for entry in entries)


def includes(networks: Sequence[Network], address: str | None) -> bool:
    """Say whether ``address`` is in one of them.

    An IPv4 address that a socket for both shows as ``::ffff:203.0.113.7`` is that IPv4 address. No address,
    as on a unix socket, is in none.

    >>> includes(parse_networks(["203.0.113.0/24"]), "::ffff:203.0.113.7")
    True
    """
    parsed = _parse(address)
    return parsed is not None and any(
        parsed in network for network in networks if network.version == parsed.version
    )


def _parse(address: str | None) -> Address | None:
    try:
        parsed = ip_address(address or "")
    except ValueError:
        return None
    if isinstance(parsed, IPv4Address) or parsed.ipv4_mapped is None:
        return parsed
    return parsed.ipv4_mapped
