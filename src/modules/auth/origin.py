"""Where a request comes from, as far as sessions and limits care."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from monohull.kernel.addresses import network_of

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from litestar import Request

MAX_USER_AGENT_CHARACTERS: Final = 512


class Origin(Struct, frozen=True):
    """The client's address, proxies that we trust taken off, and what it calls itself."""

    address: str | None = None
    user_agent: str | None = None

    @property
    def ip(self) -> IPv4Address | IPv6Address | None:
        """The address for a column of type inet; None for what is none, such as a socket's path."""
        try:
            return ip_address(self.address or "")
        except ValueError:
            return None

    @property
    def network(self) -> str:
        """What counts as one caller: an IPv4 address, or the /64 that one IPv6 customer holds."""
        return network_of(self.address)

    @property
    def agent(self) -> str | None:
        return (self.user_agent or "").replace("\0", "")[:MAX_USER_AGENT_CHARACTERS] or None


def origin_of(request: Request[Any, Any, Any]) -> Origin:
    """Say where ``request`` comes from."""
    return Origin(request.scope["state"].get("address"), request.headers.get("user-agent"))
