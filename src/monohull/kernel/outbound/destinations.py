"""Where outgoing requests may go: the check of a URL and of every address behind its name.

People give us URLs (webhooks, identity providers, images) and we call them from
inside the network. So the only addresses that pass are those of the public
internet, and those that the configuration names.

What is public stands in `addresses`.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

import httpx
from msgspec import Struct

from monohull.kernel.addresses import (
    Network,
    is_host_name,
    is_numeric,
    is_public,
    parse_allowed,
    plain_host,
    unwrap,
)
from monohull.kernel.outbound.errors import OutboundRefused

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_URL_CHARACTERS: Final = 8192
MAX_PORT: Final = 65_535


class Destinations(Struct, frozen=True):
    """What may be reached beside the public internet.

    Attributes:
        networks: Private networks that are allowed all the same.
        hosts: Names that may resolve to any address, in lower case.
        ports: The only ports, or None for all.
    """

    networks: tuple[Network, ...] = ()
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
        if plain_host(host) not in self.hosts and not all(map(self._allows, found)):
            raise OutboundRefused("address", "The host is not on the public internet.")
        return found

    def _check_host(self, host: str) -> None:
        name = plain_host(host)
        if ":" in name or is_numeric(name):
            self._check_literal(host, name)
        elif not is_host_name(name):
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

    Raises:
        ValueError: An entry is none of the three.
    """
    networks, hosts = parse_allowed(allow)
    return Destinations(networks, hosts, None if ports is None else frozenset(ports))
