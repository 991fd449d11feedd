"""Against h11, another reader of the same bytes: what is accepted here means the same there.

More may be refused here than there, and nothing may be understood in another
way: where a request ends, what its lines are, and which bytes are its body. One thing
is taken that h11 refuses, and left out here: letters beyond ASCII in an address,
which ``curl`` sends as they were typed.
"""

from __future__ import annotations

import asyncio
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import h11
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from msgspec import Struct

from monohull.kernel.server.connection import Connections

if TYPE_CHECKING:
    from monohull.kernel.asgi import Receive, Scope, Send

ABSOLUTE: Final = re.compile(rb"https?://([^/?#]+)")


class Request(Struct):
    """What a reader saw of a request."""

    method: bytes
    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""
    is_whole: bool = False


class Wire(asyncio.Transport):
    """A transport without a network: what is written is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_closed = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 1) if name in {"peername", "sockname"} else default

    def write(self, data: Any) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = True

    def pause_reading(self) -> None:
        raise AssertionError("so little has nobody stop")

    def resume_reading(self) -> None:
        return

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        return


async def read_here(pieces: list[bytes]) -> tuple[list[Request], bytes]:
    """Return the requests, and the status of a refusal at the end, if there is one."""
    seen: list[Request] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raw, query = scope["raw_path"], scope["query_string"]
        target = raw + (b"?" + query if query else b"")
        request = Request(scope["method"].encode(), target, list(scope["headers"]))
        seen.append(request)
        while not request.is_whole:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            request.body += message["body"]
            request.is_whole = not message["more_body"]
        await send({"type": "http.response.start", "status": 299, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    connections = Connections(app, most=1)
    connection, wire = connections.connect(), Wire()
    connection.connection_made(wire)
    for piece in pieces:
        if not wire.is_closed:
            connection.data_received(piece)
        for _ in range(20):
            await asyncio.sleep(0)
    statuses: list[bytes] = re.findall(rb"HTTP/1\.1 (\d\d\d) ", wire.written)
    wire.is_closed = True
    connection.connection_lost(None)
    for _ in range(5):
        await asyncio.sleep(0)
    return seen, statuses[-1] if statuses and statuses[-1] != b"299" else b""


def read_there(stream: bytes) -> list[Request]:
    """Return the requests that h11 sees, until it refuses or the connection would end."""
    seen: list[Request] = []
    while True:
        while stream.startswith(b"\r\n"):  # h11 knows no empty lines before a request
            stream = stream[2:]
        there = h11.Connection(h11.SERVER, max_incomplete_event_size=2**20)
        there.receive_data(stream)
        request, version = Request(b"", b"", []), b"1.1"
        try:
            while not isinstance(part := there.next_event(), h11.EndOfMessage):
                if isinstance(part, h11.Request):
                    target, headers = part.target, list(part.headers)
                    if whole := ABSOLUTE.match(target):
                        target = target[whole.end() :]
                        headers = [(name, whole[1] if name == b"host" else value) for name, value in headers]
                    target = target.split(b"#")[0]
                    target = target[:-1] if target.endswith(b"?") and target.count(b"?") == 1 else target
                    request = Request(part.method, target, headers)
                    version = part.http_version
                    seen.append(request)
                elif isinstance(part, h11.Data):
                    request.body += bytes(part.data)
                else:
                    return seen
        except h11.RemoteProtocolError:
            return seen
        request.is_whole = True
        connection = b",".join(value.lower() for name, value in request.headers if name == b"connection")
        wishes = [wish.strip() for wish in connection.split(b",")]
        if b"close" in wishes or (version < b"1.1" and b"keep-alive" not in wishes):
            return seen
        stream = there.trailing_data[0]


METHODS: Final = [b"GET", b"POST", b"HEAD", b"OPTIONS", b"get", b"CONNECT", b"G T", b"", b"PRI", b"\x00"]
TARGETS: Final = [
    *(b"/", b"/a?b=c", b"/a?", b"/a?b?c", b"/a#b", b"/%00%ff", b"/\\", b"*", b"a", b"", b"//a", b"/a b"),
    *(b"http://a/b", b"http://a", b"http://a*", b"https://a:1/?b", b"a:443", b"/\t", b"/\x7f"),
    *(b"http://b?c", b"http://c@b/", b"http://b#c", b"http:///b", b"*?a"),
]
VERSIONS: Final = [
    *(b"HTTP/1.1",) * 6,
    *(b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0", b"HTTP/0.9", b"HTTP/1.10", b"http/1.1", b"", b"HTTP/1.1 "),
]
LINES: Final = [
    *(
        b"Host: a",
        b"HOST:a",
        b"Host: b",
        b"Host: a b",
        b"Host: a/b",
        b"Host : a",
        b"Host\t: a",
        b" Host: a",
        b"Host:",
        b"X-A: 1",
    ),
    *(
        b"X-A:  b c \t",
        b"X\xff: 1",
        b"X(: 1",
        b": 1",
        b"X",
        b"X: a\rb",
        b"X: a\nY: b",
        b"X: \x00",
        b"X: \x0b",
    ),
    *(b" folded", b"\tfolded", b"Connection: close", b"Connection: keep-alive", b"Connection: a, Close"),
    *(b"Content-Length: 3", b"Content-Length: 03", b"Content-Length: +3", b"Content-Length: 3, 3"),
    *(b"Content-Length: 0x3", b"Content-Length: 3 3", b"Content-Length:", b"Content-Length: -3"),
    *(b"Content_Length: 3", b"Content-Length\x00: 3", b"Content-Length: \x0b3", b"content-length:4"),
    *(b"Transfer-Encoding: chunked", b"transfer-encoding:\tCHUNKED ", b"Transfer-Encoding: chunked, chunked"),
    *(b"Transfer-Encoding: identity", b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: \x0bchunked"),
    *(b"Transfer-Encoding: chunked\x00", b"Transfer-Encoding:", b"Transfer_Encoding: chunked"),
    *(b"Transfer-Encoding: xchunked", b"Transfer-Encoding : chunked", b'Transfer-Encoding: "chunked"'),
    *(b"Transfer-Encoding: chunked;a=b", b"Expect: 100-continue", b"Upgrade: websocket", b"TE: trailers"),
]
SIZES: Final = [
    *(
        b"3",
        b"03",
        b"000000000000003",
        b"0000000000000003",
        b"0x3",
        b"+3",
        b"-3",
        b" 3",
        b"3 ",
        b"3\t",
        b"3_",
    ),
    *(b"3;a=b", b"3 ;a", b"3;\x00", b'3;"\n"', b"4", b"2", b"ffffffffffffffff", b"", b"3,3", b"3\r"),
]
ENDS: Final = [*(b"\r\n",) * 12, b"\n", b"\r", b"\r\r\n", b"\n\r", b"\r\n\r\n", b""]
TRAILERS: Final = [*(b"",) * 4, b"X: a", b"GET / HTTP/1.1", b"Content-Length: 9", b" folded", b"X : a"]
GOOD_LINES: Final = [b"X-A: 1", b"X-A:  b c \t", b"X-B:", b"Connection: keep-alive", b"TE: trailers"]
GOOD_VERSIONS: Final = [b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.2", b"HTTP/1.0"]


class Picker:
    """Draws what is as it should be, and now and then what is not."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw

    def one(self, good: list[bytes], other: list[bytes]) -> bytes:
        is_good = self.draw(st.integers(0, 24))
        return self.draw(st.sampled_from(good if is_good else other))

    @property
    def end(self) -> bytes:
        return self.one([b"\r\n"], ENDS[-6:])


@st.composite
def a_request(draw: st.DrawFn) -> bytes:
    pick = Picker(draw)
    parts = [
        pick.one(METHODS[:4], METHODS),
        pick.one(TARGETS[:5], TARGETS),
        pick.one(GOOD_VERSIONS, VERSIONS),
    ]
    stream = b" ".join(parts) + pick.end
    lines = [pick.one([b"Host: a"], LINES)]
    lines += [pick.one(GOOD_LINES, LINES) for _ in range(draw(st.integers(0, 3)))]
    body = b""
    kind = draw(st.sampled_from(["none", "length", "chunks", "any"]))
    if kind == "length":
        body = draw(st.sampled_from([b"abc", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\r\n"]))
        lines.append(pick.one([b"Content-Length: %d" % len(body)], LINES))
    elif kind == "chunks":
        lines.append(pick.one([b"Transfer-Encoding: chunked", b"transfer-encoding:\tCHUNKED "], LINES))
        for _ in range(draw(st.integers(0, 2))):
            body += pick.one([*SIZES[:3], b"3;a=b", b"3 "], SIZES) + pick.end + b"abc" + pick.end
        trailer = pick.one([b"", b"X: a"], TRAILERS)
        body += b"0" + pick.end + (trailer + b"\r\n" if trailer else b"") + pick.end
    elif kind == "any" and not draw(st.integers(0, 3)):
        body = draw(st.binary(max_size=12))
    for line in draw(st.permutations(lines)):
        stream += line + pick.end
    return stream + pick.end + body


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    stream = b"".join(draw(st.lists(a_request(), min_size=1, max_size=3)))
    for _ in range(draw(st.sampled_from([0, 0, 0, 0, 0, 1, 2]))):
        at = draw(st.integers(0, len(stream)))
        other = draw(
            st.sampled_from([b"\r", b"\n", b"\r\n", b" ", b"\t", b"\x00", b":", b"0", b"\x7f", b";"])
        )
        stream = stream[:at] + other + stream[at + draw(st.sampled_from([0, 0, 1, 3])) :]
    return stream


def comparable(requests: list[Request]) -> list[Request]:
    for request in requests:
        request.headers = [
            (name, value.lower() if name == b"transfer-encoding" else value)
            for name, value in request.headers
        ]
    return requests


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(streams(), st.lists(st.integers(1, 400), max_size=10))
def test_what_is_accepted_means_the_same(stream: bytes, cuts: list[int]) -> None:
    places = sorted({0, *(cut for cut in cuts if cut < len(stream)), len(stream)})
    pieces = [stream[start:stop] for start, stop in pairwise(places)]

    async def both() -> tuple[tuple[list[Request], bytes], tuple[list[Request], bytes]]:
        return await read_here([stream]), await read_here(pieces)

    (here, refusal), cut_up = asyncio.run(both())
    assert [one for one in here if one.is_whole] == [one for one in cut_up[0] if one.is_whole]
    assert bool(refusal) == bool(cut_up[1])
    there = comparable(read_there(stream))
    event(f"{sum(one.is_whole for one in here)} whole, refused: {refusal.decode() or 'no'}")
    for mine, other in zip(comparable(here), there, strict=False):
        if not mine.is_whole and refusal:  # its head meant the same, and its body came to nothing
            mine.body = other.body
        if not mine.is_whole:
            assert not other.is_whole or refusal, (mine, other)
            other.is_whole = False
        assert mine == other
    assert len(here) <= len(there), (here, there)
    if not refusal and not cut_up[1]:
        assert len([one for one in here if one.is_whole]) == len([one for one in there if one.is_whole])
