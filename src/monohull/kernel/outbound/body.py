"""Reading an answer's body: counted while it streams, decompressed no further than allowed."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

from monohull.kernel.outbound.errors import OutboundFailed

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Mapping

    import httpx

_DECODERS: Final[Mapping[str, int]] = {
    "gzip": zlib.MAX_WBITS | 16,
    "x-gzip": zlib.MAX_WBITS | 16,
    "deflate": zlib.MAX_WBITS,
}


async def read_body(parts: AsyncIterable[bytes], headers: httpx.Headers, max_bytes: int) -> bytes:
    """Join ``parts`` and undo their encoding, never holding much more than ``max_bytes``.

    Raises:
        OutboundFailed: ``response_too_large`` or ``encoding``.
    """
    encoding = headers.get("Content-Encoding", "identity").strip().lower()
    if encoding != "identity" and encoding not in _DECODERS:
        raise OutboundFailed("encoding", "The answer has an encoding that was not asked for.")
    announced = headers.get("Content-Length", "0")
    too_large = OutboundFailed("response_too_large", f"The answer has more than {max_bytes} bytes.")
    if announced.isascii() and announced.isdigit() and int(announced) > max_bytes:
        raise too_large
    unpack = _Unpacking(_DECODERS[encoding], max_bytes) if encoding in _DECODERS else None
    received, decoded = 0, bytearray()
    async for part in parts:
        received += len(part)
        decoded += part if unpack is None else unpack.feed(part)
        if received > max_bytes or len(decoded) > max_bytes:
            raise too_large
    if unpack is not None and received and not unpack.is_complete:
        raise OutboundFailed("encoding", "The compressed answer ends in the middle.")
    return bytes(decoded)


class _Unpacking:
    """gzip or deflate, at most ``max_bytes`` and one more: a thousandfold bomb stays a small array."""

    def __init__(self, window_bits: int, max_bytes: int) -> None:
        self._decoder = zlib.decompressobj(window_bits)
        self._is_first = True
        self._left = max_bytes + 1

    @property
    def is_complete(self) -> bool:
        return self._decoder.eof or self._left <= 0

    def feed(self, part: bytes) -> bytes:
        if self._left <= 0:
            return b""
        try:
            found = self._decompress(part)
        except zlib.error:
            raise OutboundFailed("encoding", "The compressed answer is damaged.") from None
        self._left -= len(found)
        return found

    def _decompress(self, part: bytes) -> bytes:
        try:
            found = self._decoder.decompress(part, self._left)
        except zlib.error:
            if not self._is_first:
                raise
            # servers that say deflate and leave the zlib header away
            self._decoder = zlib.decompressobj(-zlib.MAX_WBITS)
            found = self._decoder.decompress(part, self._left)
        self._is_first = False
        return found
