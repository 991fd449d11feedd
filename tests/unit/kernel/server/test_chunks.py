"""Bodies in chunks, however the network cuts them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monohull.kernel.errors import InvalidRequest
from monohull.kernel.server.chunks import MAX_LINE_BYTES, MAX_TRAILER_BYTES, Chunks


def read(sent: bytes, cuts: list[int]) -> tuple[bytes, bytes, bool]:
    """Return body, what follows it, and whether the body was complete."""
    chunks, body, behind = Chunks(), b"", b""
    places = [0, *sorted(min(cut, len(sent)) for cut in cuts), len(sent)]
    for start, stop in pairwise(places):
        if chunks.is_complete:
            behind += sent[start:stop]
            continue
        piece, rest = chunks.feed(sent[start:stop])
        body += piece
        behind += rest
    return body, behind, chunks.is_complete


@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=5),
    st.binary(max_size=10),
    st.lists(st.integers(0, 400), max_size=8),
    st.sampled_from([b"", b";a=b", b"; c", b"  "]),
    st.sampled_from([b"", b"X-Sum: 1\r\n"]),
)
def test_any_cut(
    pieces: list[bytes], behind: bytes, cuts: list[int], extension: bytes, trailer: bytes
) -> None:
    sent = b"".join(b"%X%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces)
    sent += b"0\r\n" + trailer + b"\r\n"
    assert read(sent + behind, cuts) == (b"".join(pieces), behind, True)


@pytest.mark.parametrize(
    "sent",
    [
        b"xyz\r\n",
        b"\r\n",
        b"-1\r\n",
        b"+1\r\na\r\n",
        b"0x1\r\na\r\n",
        b"1 1\r\na\r\n",
        b"1 ;a\r\na\r\n",
        b" 1\r\na\r\n",
        b"1_0\r\na\r\n",
        b"1\na\r\n",
        b"1\r\nab\r\n",
        b"1\r\na\n",
        b"1;\x00\r\n",
        b"1234567890123456\r\n",
        b"1" * (MAX_LINE_BYTES + 1),
        b"0\r\nGET / HTTP/1.1\r\n\r\n",
        b"0\r\n X: a\r\n\r\n",
        b"0\r\nX : a\r\n\r\n",
        b"0\r\nX: \0\r\n\r\n",
        b"0\r\n" + b"X: aaaaaaaa\r\n" * (MAX_TRAILER_BYTES // 8),
    ],
)
def test_what_are_no_chunks(sent: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read(sent, [])


@pytest.mark.parametrize("sent", [b"", b"5", b"5\r\n", b"5\r\nhel", b"5\r\nhello\r\n", b"0\r\n"])
def test_what_is_not_complete(sent: bytes) -> None:
    assert not read(sent, [])[2]
