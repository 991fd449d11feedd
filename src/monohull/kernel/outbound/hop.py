"""One request of a chain, and the one that a redirect makes of it."""

from __future__ import annotations

import re
from typing import Final

import httpx
from msgspec import Struct

from monohull.kernel.outbound.errors import OutboundRefused

_METHOD: Final = re.compile(r"[A-Z]{1,20}")
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
_HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e]{0,8192}")
_OURS: Final = frozenset(
    {
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "upgrade",
        "te",
        "trailer",
        "expect",
        "proxy-authorization",
        "proxy-connection",
        "accept-encoding",
    }
)
"""Headers that decide where a request ends or who reads it; a caller may not set them."""

_ACROSS_ORIGINS: Final = frozenset({"accept", "accept-language", "content-type", "user-agent"})
"""The only headers that follow a redirect to another origin."""

_KEEPS_METHOD: Final = frozenset({307, 308})


class Hop(Struct, frozen=True):
    """A request, as far as the caller decides it."""

    method: str
    url: str
    headers: dict[str, str]
    body: bytes

    def check(self, max_bytes: int) -> None:
        """Look at method, size and headers.

        Raises:
            OutboundRefused: ``method``, ``request_too_large`` or ``header``.
        """
        if not _METHOD.fullmatch(self.method) or self.method in ("CONNECT", "TRACE"):
            raise OutboundRefused("method", "This method is not sent to other hosts.")
        if len(self.body) > max_bytes:
            raise OutboundRefused("request_too_large", f"The request has more than {max_bytes} bytes.")
        for name, value in self.headers.items():
            if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
                raise OutboundRefused("header", "A header is not well-formed.")
            if name.lower() in _OURS:
                raise OutboundRefused("header", f"The header {name} cannot be set.")

    def redirected(self, status: int, location: str) -> Hop:
        """Return the request that ``Location`` asks for.

        Raises:
            OutboundRefused: It leads from https to http, or is no URL.
        """
        here = httpx.URL(self.url)
        try:
            there = here.join(location)
        except (httpx.InvalidURL, ValueError):
            raise OutboundRefused("url", "The host redirected to something that is no URL.") from None
        if here.scheme == "https" and there.scheme != "https":
            raise OutboundRefused("downgrade", "The host redirected from https to http.")
        headers = self.headers
        if (here.scheme, here.host, here.port) != (there.scheme, there.host, there.port):
            headers = {name: value for name, value in headers.items() if name.lower() in _ACROSS_ORIGINS}
        if status in _KEEPS_METHOD or self.method in ("GET", "HEAD"):
            return Hop(self.method, str(there), headers, self.body)
        headers = {name: value for name, value in headers.items() if name.lower() != "content-type"}
        return Hop("GET", str(there), headers, b"")
