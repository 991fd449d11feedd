"""From a NATS URL to a client that is connected, or to nothing that stays open.

Streams publish and ingest reads through here. The library leaves its socket open where a server takes
the connection and then refuses the token, or does not speak in time.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from nats.aio.client import Client

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


CLOSE_SECONDS: Final = 1.0


async def open_nats(
    url: str,
    *,
    name: str,
    token: str | None,
    timeout_seconds: float,
    on_error: Callable[[Exception], Awaitable[None]],
    **options: Any,
) -> Client:
    """Connect once; a connection that is lost is not mended by the library.

    Args:
        url: Of one server.
        name: As the server lists the connection.
        token: None where the URL says all, or the server asks for nothing.
        timeout_seconds: For each step of the greeting; whole seconds, one at least.
        on_error: Given what the library cannot raise, for nobody waits there.
        options: Others of ``nats.connect``.

    Raises:
        nats.errors.Error: The server refuses, or none is there.
        TimeoutError: It takes the connection and does not greet.
    """
    client = Client()
    try:
        await client.connect(
            url,
            name=name,
            allow_reconnect=False,
            connect_timeout=max(1, int(timeout_seconds)),
            max_reconnect_attempts=1,
            error_cb=on_error,
            token=token,
            **options,
        )
    except BaseException:
        # a client that did not come to open anything complains, and one with TLS waits for the other side
        with suppress(Exception):
            async with asyncio.timeout(CLOSE_SECONDS):
                await client.close()
        raise
    return client
