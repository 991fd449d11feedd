"""Heads of requests: the bytes before the body, read once for all requests that bring the same.

Strict where two readers could disagree about where a request ends: a head that
could be read in two ways is refused, never repaired. A client sends the same
header lines again and again, so lines that were read are kept by their bytes;
what has to be worked out for each request is its first line alone.

Source: RFC 9110 and RFC 9112.
"""

from __future__ import annotations

import re
from typing import Final, TypeAlias
from urllib.parse import unquote_to_bytes

from msgspec import Struct

from monohull.kernel.errors import InvalidRequest, Problem

MAX_HEAD_BYTES: Final = 128 * 1024
MAX_LINES: Final = 100
MAX_KEPT: Final = 1000
"""Sets of header lines; about 3 MB, and 20 MB with the worst. The one that was read first goes."""
MAX_KEPT_BYTES: Final = 4096

_REQUEST: Final = re.compile(
    rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,40}) "
    rb"(?:(?i:https?)://([0-9A-Za-z._~%!$&'()+,;=:\[\]-]++))?(/[^?#\x00-\x20\x7f]*|\*)"
    rb"(?:\?([^#\x00-\x20\x7f]*))?(?:#[^\x00-\x20\x7f]*)? "
    rb"HTTP/(\d)\.(\d)"
)
LINE: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t\x20-\x7e\x80-\xff]*)")
"""Each of these can match in one way only: what could in several takes minutes for a header of spaces."""
_LENGTH: Final = re.compile(rb"\d{1,18}")
_HOST: Final = re.compile(rb"[0-9A-Za-z._~%!$&'()*+,;=:\[\]-]*")
"""Whatever a name, an address and a port can be made of; nothing that begins a path or names a user."""
_OWN: Final = frozenset({b"host", b"content-length", b"transfer-encoding", b"connection", b"expect"})
_IDS: Final = frozenset({b"x-request-id", b"traceparent"})
"""New each time, so that lines with them are not kept."""

Pairs: TypeAlias = list[tuple[bytes, bytes]]


class HeadTooLarge(Problem):
    """The header of the request has more bytes or lines than a server takes."""

    code = "header_too_large"
    status = 431
    hint = f"Send no more than {MAX_HEAD_BYTES // 1024} KiB in {MAX_LINES} lines."


class VersionUnknown(Problem):
    """The request is of another version of HTTP than 1.0 and 1.1."""

    code = "http_version_unknown"
    status = 505
    hint = "Speak HTTP/1.1, or have a proxy in between do so."


class Lines(Struct, frozen=True):
    """What the header lines of a request say about how it is read.

    Attributes:
        pairs: Names in lower case, and values.
        has_host: Whether they name a host.
        length: Bytes of the body; None when it comes in chunks.
        keeps: Whether the connection goes on afterwards; None when nothing is said about it.
        expects: Whether the client waits for ``100 Continue``.
    """

    pairs: Pairs
    has_host: bool
    length: int | None
    keeps: bool | None
    expects: bool


class Target(Struct, frozen=True):
    """The first line of a request.

    Attributes:
        path: Decoded.
        raw_path: As it came.
        is_newer: HTTP/1.1, and not 1.0.
        authority: Of a target that is a whole URL; it counts in place of ``Host``.
    """

    method: str
    path: str
    raw_path: bytes
    query: bytes
    is_newer: bool
    authority: bytes | None = None


def read_target(line: bytes) -> Target:
    """Read a request line.

    >>> read_target(b"GET /a%20b?c=d HTTP/1.1").path
    '/a b'

    Raises:
        InvalidRequest: 400, it is none.
        VersionUnknown: 505.
    """
    match = _REQUEST.fullmatch(line)
    if match is None:
        raise InvalidRequest("The first line of the request is none of HTTP/1.1.")
    method, authority, raw_path, query, major, minor = match.groups()
    if major != b"1":
        raise VersionUnknown(f"HTTP/{major.decode()}.{minor.decode()} is not spoken here.")
    if raw_path == b"*" and (method, authority, query) != (b"OPTIONS", None, None):
        raise InvalidRequest("The path of the request does not begin with a slash.")
    if b"%" in raw_path:
        path = unquote_to_bytes(raw_path).decode("utf-8", "replace")
    else:
        path = raw_path.decode("utf-8", "replace")
    return Target(method.decode(), path, raw_path, query or b"", minor != b"0", authority)


_NEWER: Final = b" HTTP/1.1"
OF_QUERIES: Final = bytes(byte for byte in range(0x21, 0x100) if byte not in b"#\x7f")
MAX_KEPT_TARGETS: Final = 1000
MAX_KEPT_TARGET_BYTES: Final = 200
"""Of each kind; less than a megabyte."""


class KnownLines:
    """Lines that were read before: of headers all together, of first ones what comes before the query."""

    def __init__(self) -> None:
        self._kept: dict[bytes, Lines] = {}
        self._targets: dict[bytes, Target] = {}
        self._plain: dict[bytes, Target] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def read_target(self, line: bytes) -> Target:
        """Do what the function of this name does, and read anew no more than the query."""
        if (whole := self._plain.get(line)) is not None:
            return whole
        before, mark, rest = line.partition(b"?")
        kept = self._targets.get(before)
        if kept is not None and rest.endswith(_NEWER):
            query = rest[: -len(_NEWER)]
            if not query.translate(None, OF_QUERIES):
                return Target(kept.method, kept.path, kept.raw_path, query, True)
        target = read_target(line)
        if len(before) <= MAX_KEPT_TARGET_BYTES:
            if not mark:
                _keep(self._plain, line, target)
            elif before == b"%b %b" % (target.method.encode(), target.raw_path):
                _keep(self._targets, before, target)
        return target

    def read(self, block: bytes) -> Lines:
        """Return what the header lines ``block`` say, each with its line feed.

        Raises:
            InvalidRequest, HeadTooLarge: As `read_lines` raises them.
        """
        return self._kept.get(block) or self._read(block)

    def _read(self, block: bytes) -> Lines:
        lines = read_lines(block)
        is_new_each_time = any(name in _IDS for name, _ in lines.pairs)
        if len(block) <= MAX_KEPT_BYTES and not is_new_each_time:
            self._kept[block] = lines
            if len(self._kept) > MAX_KEPT:
                del self._kept[next(iter(self._kept))]
        return lines


def _keep(kept: dict[bytes, Target], line: bytes, target: Target) -> None:
    kept[line] = target
    if len(kept) > MAX_KEPT_TARGETS:
        del kept[next(iter(kept))]


def read_lines(block: bytes) -> Lines:
    r"""Read header lines.

    >>> read_lines(b"Host: a\r\nContent-Length: 3\r\n").length
    3

    Raises:
        InvalidRequest: 400, a line is none, or they contradict each other.
        HeadTooLarge: 431.
    """
    lines = block.split(b"\r\n")
    if len(lines) > MAX_LINES + 1:
        raise HeadTooLarge(f"The header has {len(lines) - 1} lines.")
    pairs: Pairs = []
    own: dict[bytes, bytes] = {}
    for line in lines[:-1]:
        match = LINE.fullmatch(line)
        if match is None:
            raise InvalidRequest("A line of the header is none: a name, a colon and a value are expected.")
        name, value = match[1].lower(), match[2].strip(b" \t")
        pairs.append((name, value))
        if name in _OWN:
            if name in own:
                if name != b"connection":
                    raise InvalidRequest(f"The header {name.decode()} is there more than once.")
                value = own[name] + b"," + value
            own[name] = value
    if not _HOST.fullmatch(own.get(b"host", b"")):
        raise InvalidRequest("The Host header is not a name or an address with a port.")
    expects = own.get(b"expect")
    return Lines(
        pairs,
        has_host=b"host" in own,
        length=_length(own),
        keeps=_keeps(own.get(b"connection")),
        expects=expects is not None and expects.lower() == b"100-continue",
    )


def _length(own: dict[bytes, bytes]) -> int | None:
    """Return how many bytes the body has, None for one in chunks."""
    length, coding = own.get(b"content-length"), own.get(b"transfer-encoding")
    if coding is not None:
        if length is not None:
            raise InvalidRequest("The header has both Content-Length and Transfer-Encoding.")
        if coding.lower() != b"chunked":
            raise InvalidRequest("The only Transfer-Encoding that is known here is chunked.")
        return None
    if length is not None and not _LENGTH.fullmatch(length):
        raise InvalidRequest("The Content-Length header is not a number.")
    return int(length or b"0")


def _keeps(connection: bytes | None) -> bool | None:
    if connection is None:
        return None
    wishes = {wish.strip() for wish in connection.lower().split(b",")}
    if b"close" in wishes:
        return False
    return True if b"keep-alive" in wishes else None
