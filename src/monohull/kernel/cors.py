"""Cross-origin requests, for every wire alike.

Browsers call all of them with the same clients, so the answer is given at the
edge, before any room is asked: one list of origins, one list of headers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

RawHeaders: TypeAlias = list[tuple[bytes, bytes]]

ALLOWED_HEADERS: Final = (
    "authorization, x-client-info, apikey, content-type, accept, accept-profile, content-profile, prefer, "
    "range, range-unit, x-upsert, x-supabase-api-version, x-jwt-aud, x-retry-count, x-region, x-request-id, "
    "if-match, if-none-match, idempotency-key, traceparent, tracestate, baggage"
)
EXPOSED_HEADERS: Final = (
    "content-encoding, content-location, content-range, content-type, date, location, link, etag, "
    "range-unit, transfer-encoding, preference-applied, retry-after, ratelimit, ratelimit-policy, "
    "server-timing, x-request-id, x-total-count, x-supabase-api-version, x-sb-error-code, x-relay-error, "
    "upload-offset, upload-length, tus-resumable"
)
METHODS: Final = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
MAX_AGE_SECONDS: Final = 86400


class Cors:
    """Answers what a browser wants to know about origins.

    Args:
        origins: Allowed origins; ``*`` allows any, without credentials. Named
            origins may send credentials.
    """

    def __init__(self, origins: Sequence[str]) -> None:
        self._any = "*" in origins
        self._origins = frozenset(origin.encode() for origin in origins)

    def headers(self, origin: bytes | None) -> RawHeaders:
        """Return the headers for an answer to ``origin``; none when it is not allowed."""
        if origin is None:
            return []
        if not self._any and origin not in self._origins:
            return [(b"vary", b"Origin")]
        allowed = [(b"access-control-expose-headers", EXPOSED_HEADERS.encode())]
        if self._any and origin not in self._origins:
            return [(b"access-control-allow-origin", b"*"), *allowed]
        return [
            (b"access-control-allow-origin", origin),
            (b"access-control-allow-credentials", b"true"),
            (b"vary", b"Origin"),
            *allowed,
        ]

    def preflight(self, headers: Iterable[tuple[bytes, bytes]]) -> RawHeaders:
        """Return the headers that answer an ``OPTIONS`` with ``Access-Control-Request-Method``."""
        asked = dict(headers)
        base = self.headers(asked.get(b"origin"))
        if not any(name == b"access-control-allow-origin" for name, _ in base):
            return base
        # what is asked for is echoed: clients add headers of their own, and headers give no right here
        wanted = asked.get(b"access-control-request-headers", ALLOWED_HEADERS.encode())
        return [
            *base,
            (b"access-control-allow-methods", METHODS.encode()),
            (b"access-control-allow-headers", wanted),
            (b"access-control-max-age", str(MAX_AGE_SECONDS).encode()),
        ]


def is_preflight(method: str, headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Say whether a request is a browser's question and not a request of its own."""
    return method == "OPTIONS" and any(name == b"access-control-request-method" for name, _ in headers)
