"""`Repeats`: requests that came before but for a part, and what answers them without reading the rest.

The key is every byte that is not of the query of a GET, or of the body of a
POST, and the client's host. So what is remembered was read, once, by the rules
of `heads`, and differs in nothing but a query that is made of the characters a
query may have, or in a body, whose length the head says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from monohull.kernel.server.heads import OF_QUERIES

if TYPE_CHECKING:
    from monohull.kernel.asgi import Again

MAX_REPEATS: Final = 1000
MAX_REPEAT_BYTES: Final = 2048
"""Of one, without what differs; all of them take 4 MB at most. The one remembered first goes."""
MAX_QUERY_BYTES: Final = 2048
MAX_BODY_BYTES: Final = 16 * 1024

Key: TypeAlias = tuple[str | None, bytes, bytes]
"""Host of the client, method and path, and all from the version of HTTP on; of a POST the whole head."""

_VERSION_BYTES: Final = len(b" HTTP/1.1")


class Repeats:
    """Those of a process.

    Attributes:
        kept: What answers each.
    """

    def __init__(self) -> None:
        self.kept: dict[Key, Again] = {}

    def __len__(self) -> int:
        return len(self.kept)

    @staticmethod
    def take_apart(host: str | None, data: bytes) -> tuple[Key, bytes] | None:
        r"""Return the key of a request and what differs; None of what is none of those that are remembered.

        Whether a body has the length that it should have is left to whoever is told of it.

        >>> Repeats.take_apart("::1", b"GET /a?b=c HTTP/1.1\r\nHost: d\r\n\r\n")
        (('::1', b'GET /a', b' HTTP/1.1\r\nHost: d\r\n\r\n'), b'b=c')
        """
        if not data.startswith(b"GET "):
            end = data.find(b"\r\n\r\n", 0, MAX_REPEAT_BYTES) + 4
            # 3 where it was not found
            if end < 4 or len(data) > end + MAX_BODY_BYTES or not data.startswith(b"POST "):  # noqa: PLR2004
                return None
            return (host, data[:end], b""), data[end:]
        if len(data) > MAX_REPEAT_BYTES + MAX_QUERY_BYTES:
            return None
        end = data.find(b"\r\n")
        mark = data.find(b"?", 0, end) if end > 0 else -1
        if mark < 0:
            return None
        end -= _VERSION_BYTES
        query = data[mark + 1 : end]
        if query.translate(None, OF_QUERIES):
            return None
        return (host, data[:mark], data[end:]), query

    @staticmethod
    def find_part(key: Key, data: bytes) -> bytes | None:
        r"""Return what `take_apart` would as what differs, if the key is this one of a GET.

        Whoever asks again on a connection asks for the same most often, and to see that takes half the time.

        >>> key = ("::1", b"GET /a", b" HTTP/1.1\r\nHost: d\r\n\r\n")
        >>> Repeats.find_part(key, b"GET /a?b=c HTTP/1.1\r\nHost: d\r\n\r\n")
        b'b=c'
        """
        _, before, after = key
        if not (after and data.endswith(after) and data.startswith(before)):
            return None
        part = data[len(before) : len(data) - len(after)]  # nothing where the two share their bytes
        is_query = part[:1] == b"?" and len(part) <= MAX_QUERY_BYTES and not part.translate(None, OF_QUERIES)
        return part[1:] if is_query else None

    def remember(self, key: Key, again: Again) -> None:
        """Have ``again`` answer such requests from now on."""
        if len(key[1]) + len(key[2]) > MAX_REPEAT_BYTES:
            return
        self.kept[key] = again
        if len(self.kept) > MAX_REPEATS:
            del self.kept[next(iter(self.kept))]

    def forget(self, key: Key) -> None:
        """Have such requests read."""
        self.kept.pop(key, None)
