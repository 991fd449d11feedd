"""`HeaderSet`: what the headers of a request say, worked out once for all requests that bring the same.

A client sends the same header lines again and again, and what the edge and the
wires need to know of them (who asks, what is accepted, what the database is
told) depends on nothing else. So the few hundred sets that are in use are kept,
each with what was found out from it. What may change meanwhile is no part of
it: a `Standing` is asked at each request whether the credential still holds.

Sets that are new each time (a trace, a request id) and those of unusual size
are looked at and forgotten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from monohull.kernel.trace import Trace, new_trace, read_trace

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from monohull.kernel.authentication import Authentication, Credentials
    from monohull.kernel.principal import Standing

MAX_SETS: Final = 500
"""About 10 MB with what the data API remembers of each; the one that was seen first goes."""
MAX_SET_BYTES: Final = 4096
MAX_NOTES: Final = 20
"""How much rooms may remember of a set; then they begin anew."""

_FORWARDED: Final = frozenset({b"x-forwarded-for", b"forwarded", b"x-real-ip", b"via"})
_OWN_IDS: Final = (b"x-request-id", b"traceparent")


class HeaderSet:
    """The headers of a request.

    Attributes:
        by_name: Each value by its name, or None when one is repeated and they have to be looked at with care.
        credentials: What they say about who asks.
        has_origin: Whether a browser may have to be told something.
        is_forwarded: Whether somebody asks for another.
        has_length: Whether a ``Content-Length`` is there, or may be.
        standing: Whom the credentials stood for the last time, as far as that can be asked without waiting.
        notes: What rooms derived from these headers, by keys of their own; `note` adds to them.
    """

    __slots__ = (
        "_pairs",
        "by_name",
        "credentials",
        "has_length",
        "has_origin",
        "is_forwarded",
        "is_traced",
        "notes",
        "standing",
    )

    def __init__(
        self,
        pairs: Sequence[tuple[bytes, bytes]],
        by_name: dict[bytes, bytes] | None,
        credentials: Credentials,
    ) -> None:
        self._pairs = pairs
        self.by_name = by_name
        self.credentials = credentials
        self.has_origin = by_name is None or b"origin" in by_name
        self.has_length = by_name is None or b"content-length" in by_name
        self.is_forwarded = any(name in _FORWARDED for name, _ in pairs)
        self.is_traced = by_name is None or any(name in by_name for name in _OWN_IDS)
        self.standing: Standing | None = None
        self.notes: dict[Hashable, Any] = {}

    @property
    def size_bytes(self) -> int:
        return sum(len(name) + len(value) for name, value in self._pairs)

    def note(self, key: Hashable, value: Any) -> None:
        """Remember what was derived from these headers."""
        if len(self.notes) >= MAX_NOTES and key not in self.notes:
            self.notes.clear()
        self.notes[key] = value

    def trace(self) -> Trace:
        """Return the trace that the headers ask for, or a new one."""
        return read_trace(self._pairs) if self.is_traced else new_trace()


class HeaderSets:
    """The sets that are in use.

    Args:
        authentication: Reads the credentials.
    """

    def __init__(self, authentication: Authentication) -> None:
        self._authentication = authentication
        self._kept: dict[Hashable, HeaderSet] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def of(self, scope: Mapping[str, Any]) -> HeaderSet:
        """Return the set of an ASGI request, with what is known of it."""
        pairs = scope["headers"]
        client = scope.get("client")
        key = (client[0] if client else None, *pairs)
        try:
            found = self._kept.get(key)
        except TypeError:  # a server that gives lists
            return self.read(scope)
        return self._keep(key, scope) if found is None else found

    def read(self, scope: Mapping[str, Any]) -> HeaderSet:
        """Return the set of a request or a websocket, with nothing remembered."""
        pairs = scope["headers"]
        by_name = dict(pairs)
        singles = by_name if len(by_name) == len(pairs) else None
        return HeaderSet(pairs, singles, self._authentication.credentials(scope, singles))

    def _keep(self, key: Hashable, scope: Mapping[str, Any]) -> HeaderSet:
        found = self.read(scope)
        if not found.is_traced and found.size_bytes <= MAX_SET_BYTES:
            self._kept[key] = found
            if len(self._kept) > MAX_SETS:
                del self._kept[next(iter(self._kept))]
        return found
