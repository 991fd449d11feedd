"""Cross-origin requests, for every wire alike.

Browsers call all of them with the same clients, so the answer is given at the
edge, before any room is asked: one list of origins, one list of headers. A wire
whose clients know other words brings a `CorsDialect`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

RawHeaders: TypeAlias = list[tuple[bytes, bytes]]

ALLOWED_HEADERS: Final = (
    "authorization, x-client-info, apikey, content-type, accept, accept-profile, content-profile, prefer, "
    "range, range-unit, x-upsert, x-supabase-api-version, x-jwt-aud, x-retry-count, x-region, x-request-id, "
    "if-match, if-none-match, idempotency-key, cursor, traceparent, tracestate, baggage"
)
EXPOSED_HEADERS: Final = (
    "content-encoding, content-location, content-range, content-type, date, location, link, etag, "
    "range-unit, transfer-encoding, preference-applied, retry-after, ratelimit, ratelimit-policy, "
    "server-timing, x-request-id, x-total-count, x-supabase-api-version, x-sb-error-code, x-relay-error, "
    "upload-offset, upload-length, tus-resumable"
)
METHODS: Final = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
MAX_AGE_SECONDS: Final = 86400


class CorsDialect(Struct, frozen=True):
    """What a wire says to browsers.

    Attributes:
        exposed: Values of ``Access-Control-Expose-Headers``, each a header of its own.
        methods: Value of ``Access-Control-Allow-Methods``.
        before, after: Header names that surround those that a preflight asks for.
        preflight_status: Status of the answer to one.
    """

    exposed: tuple[str, ...] = (EXPOSED_HEADERS,)
    methods: str = METHODS
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    preflight_status: int = 204


PLATFORM: Final = CorsDialect()


class Cors:
    """Answers what a browser wants to know about origins.

    Args:
        origins: Allowed origins; ``*`` allows any, without credentials. Named
            origins may send credentials.
        dialect: The wire's own words.
    """

    def __init__(self, origins: Sequence[str], dialect: CorsDialect = PLATFORM) -> None:
        self._any = "*" in origins
        self._origins = frozenset(origin.encode() for origin in origins)
        self._dialect = dialect
        self._exposed = [(b"access-control-expose-headers", line.encode()) for line in dialect.exposed]

    @property
    def preflight_status(self) -> int:
        return self._dialect.preflight_status

    def headers(self, origin: bytes | None) -> RawHeaders:
        """Return the headers for an answer to ``origin``; none when it is not allowed."""
        if origin is None:
            return []
        if not self._any and origin not in self._origins:
            return [(b"vary", b"Origin")]
        if self._any and origin not in self._origins:
            return [(b"access-control-allow-origin", b"*"), *self._exposed]
        return [
            (b"access-control-allow-origin", origin),
            (b"access-control-allow-credentials", b"true"),
            (b"vary", b"Origin"),
            *self._exposed,
        ]

    def preflight(self, headers: Iterable[tuple[bytes, bytes]]) -> RawHeaders:
        """Return the headers that answer an ``OPTIONS`` with ``Access-Control-Request-Method``."""
        asked = dict(headers)
        base = self.headers(asked.get(b"origin"))
        if not any(name == b"access-control-allow-origin" for name, _ in base):
            return base
        # what is asked for is echoed: clients add headers of their own, and headers give no right here
        wanted = asked.get(b"access-control-request-headers")
        return [
            *base,
            (b"access-control-allow-methods", self._dialect.methods.encode()),
            (b"access-control-allow-headers", self._allowed(wanted)),
            (b"access-control-max-age", str(MAX_AGE_SECONDS).encode()),
        ]

    def _allowed(self, wanted: bytes | None) -> bytes:
        dialect = self._dialect
        if not (dialect.before or dialect.after):
            return ALLOWED_HEADERS.encode() if wanted is None else wanted
        names = (name.strip() for name in (wanted or b"").split(b","))
        before, after = ([name.encode() for name in part] for part in (dialect.before, dialect.after))
        return b", ".join([*before, *(name for name in names if name), *after])


def is_preflight(method: str, headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Say whether a request is a browser's question and not a request of its own."""
    return method == "OPTIONS" and any(name == b"access-control-request-method" for name, _ in headers)
