"""Take the body of a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monohull.kernel.errors import ClientGone

if TYPE_CHECKING:
    from monohull.kernel.asgi import Receive


async def read_body(receive: Receive) -> bytes:
    """Return the whole body; the edge has limited its size.

    Raises:
        ClientGone: 499, only a part of it came.
    """
    message = await receive()
    first: bytes = message.get("body", b"")
    if message["type"] == "http.request" and not message.get("more_body", False):
        return first
    parts = [first]
    while message.get("more_body", False):
        message = await receive()
        parts.append(message.get("body", b""))
    if message["type"] != "http.request":
        raise ClientGone("The client closed the connection before its body was there.")
    return b"".join(parts)
