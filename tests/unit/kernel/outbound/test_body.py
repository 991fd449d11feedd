"""Bodies in pieces, compressed, damaged and too large."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from typing import TYPE_CHECKING

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monohull.kernel.outbound import OutboundFailed
from monohull.kernel.outbound.body import read_body

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

RAW = zlib.compressobj(wbits=-zlib.MAX_WBITS)
RAW_DEFLATE = RAW.compress(b"raw" * 100) + RAW.flush()


async def pieces(body: bytes, size: int) -> AsyncIterator[bytes]:
    for at in range(0, len(body), size):
        yield body[at : at + size]


async def read(body: bytes, encoding: str | None = None, *, size: int = 7, limit: int = 10_000) -> bytes:
    headers = httpx.Headers({} if encoding is None else {"Content-Encoding": encoding})
    return await read_body(pieces(body, size), headers, limit)


@given(st.binary(max_size=2000), st.integers(1, 50))
async def test_any_body_in_any_pieces(body: bytes, size: int) -> None:
    assert await read(body, size=size) == body
    assert await read(gzip.compress(body), "gzip", size=size) == body
    assert await read(zlib.compress(body), "deflate", size=size) == body


async def test_deflate_without_its_header() -> None:
    assert await read(RAW_DEFLATE, "deflate", size=1000) == b"raw" * 100


@pytest.mark.parametrize(("encoding", "size"), [(None, 101), ("gzip", 101), ("gzip", 100_000_000)])
async def test_a_body_above_the_limit_is_refused(encoding: str | None, size: int) -> None:
    body = b"\0" * size if encoding is None else gzip.compress(b"\0" * size, 1)
    tracemalloc.start()
    with pytest.raises(OutboundFailed) as caught:
        await read(body, encoding, size=65_536, limit=100)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert caught.value.reason == "response_too_large"
    assert peak < 1_000_000, "a bomb of 100 MB was not unpacked"


async def test_a_body_of_the_limit_passes() -> None:
    assert len(await read(b"x" * 100, limit=100)) == 100
    assert len(await read(gzip.compress(b"x" * 100), "x-gzip", limit=100)) == 100


async def test_an_announced_length_is_believed() -> None:
    with pytest.raises(OutboundFailed, match="more than 10 bytes"):
        await read_body(pieces(b"", 1), httpx.Headers({"Content-Length": "11"}), 10)
    assert await read_body(pieces(b"x", 1), httpx.Headers([(b"content-length", b"\xb2")]), 10) == b"x"


@pytest.mark.parametrize(
    ("body", "encoding", "message"),
    [
        (b"x", "br", "not asked for"),
        (b"x", "gzip, gzip", "not asked for"),
        (b"not gzip at all", "gzip", "damaged"),
        (gzip.compress(b"x" * 1000, mtime=0)[:-9], "gzip", "ends in the middle"),
        (gzip.compress(b"x" * 1000, mtime=0)[:-5] + b"12345", "gzip", "damaged"),
    ],
)
async def test_an_encoding_that_cannot_be_undone(body: bytes, encoding: str, message: str) -> None:
    with pytest.raises(OutboundFailed, match=message) as caught:
        await read(body, encoding)
    assert caught.value.reason == "encoding"


async def test_no_body_needs_no_decoding() -> None:
    assert await read(b"", "gzip") == b""
