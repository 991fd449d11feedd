"""Listening sockets of this process: closed from outside of the server that accepts on them.

A server that stops closes its listening socket and, at once, the connections
on which no request has come yet: a client that has just connected and sent one
gets no answer. So the socket goes first, while whatever was accepted is still
served, and the server hears of the stop a moment later.

Linux alone lets this be done without a reset for those who are connected and
not yet accepted: new attempts are ignored for a moment (their system repeats
them a second later, and is refused then), until the queue is empty.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import socket
import struct
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

DESCRIPTORS: Final = Path("/proc/self/fd")
SO_ATTACH_FILTER: Final = 26
DROP_FIRST_PACKETS: Final = (
    (0x30, 0, 0, 13),  # load the byte of the TCP header that holds the flags
    (0x54, 0, 0, 0x12),  # of these SYN and ACK
    (0x15, 0, 1, 0x02),  # SYN alone?
    (0x06, 0, 0, 0),  # then drop it
    (0x06, 0, 0, 0xFFFFFFFF),
)
"""A classic BPF program: ``code, jump if true, jump if false, operand``."""

HANDSHAKE_SECONDS: Final = 0.02
QUEUE_SECONDS: Final = 0.5
ARRIVAL_SECONDS: Final = 0.2
"""For the first request of a connection that was just accepted; a proxy sends it at once."""
QUEUE_OFFSET: Final = 24
"""Of ``tcpi_unacked`` in TCP_INFO, which for a listening socket says how many wait to be accepted."""


async def stop_listening() -> None:
    """Close what the server listens on, none of those who are connected being reset; nothing elsewhere."""
    if sys.platform != "linux":
        return
    with ExitStack() as stack:
        found = [(number, stack.enter_context(one)) for number, one in _listeners()]
        for _, one in found:
            with suppress(OSError):  # a sandbox may forbid filters; then a few may be reset
                _drop_first_packets(one)
        await asyncio.sleep(HANDSHAKE_SECONDS)
        with suppress(TimeoutError):
            async with asyncio.timeout(QUEUE_SECONDS):
                while any(_queued(one) for _, one in found):  # noqa: ASYNC110 the kernel tells nobody
                    await asyncio.sleep(HANDSHAKE_SECONDS)
        for number, one in found:
            # what the server holds is a socket that nobody can reach, and it notices nothing
            with socket.socket() as mute:
                os.dup2(mute.fileno(), number, inheritable=False)
            one.close()
    await asyncio.sleep(ARRIVAL_SECONDS)


def _listeners() -> Iterator[tuple[int, socket.socket]]:
    """Yield descriptor and a duplicate of each socket that a server of several processes listens on.

    Those share their port; what serves metrics does not.
    """
    for name in os.listdir(DESCRIPTORS):  # noqa: PTH208 numbers, not paths
        try:
            one = socket.socket(fileno=os.dup(int(name)))
        except OSError:  # no socket, or closed meanwhile
            continue
        is_shared = one.family in (socket.AF_INET, socket.AF_INET6) and all(
            one.getsockopt(socket.SOL_SOCKET, option)
            for option in (socket.SO_ACCEPTCONN, socket.SO_REUSEPORT)
        )
        if is_shared:
            yield int(name), one
        else:
            one.close()


def _drop_first_packets(one: socket.socket) -> None:
    code = b"".join(struct.pack("=HBBI", *step) for step in DROP_FIRST_PACKETS)
    kept = ctypes.create_string_buffer(code)
    program = struct.pack("@HP", len(DROP_FIRST_PACKETS), ctypes.addressof(kept))
    one.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


def _queued(one: socket.socket) -> int:
    info = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 64)
    waiting: int = struct.unpack_from("=I", info, QUEUE_OFFSET)[0]
    return waiting
