"""Loopback ports for servers that restart: below the range the system hands to clients.

A port of the ephemeral range can be taken, while its server is down, by any
outgoing connection, even by a client of that server connecting to itself.
"""

from __future__ import annotations

import random
import socket
from typing import Final

from monohull.kernel.refusals import WrongSetup

LOOPBACK: Final = "127.0.0.1"
RANGE: Final = range(20000, 32000)
"""Linux hands out 32768 and up by default, macOS 49152 and up."""
ATTEMPTS: Final = 200


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Say whether a server could listen on ``port`` now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a port that is free now.

    Raises:
        WrongSetup: Two hundred random ones were all taken.
    """
    for port in random.SystemRandom().sample(RANGE, ATTEMPTS):
        if is_free(port):
            return port
    raise WrongSetup(f"no free port between {RANGE.start} and {RANGE.stop} on {LOOPBACK}")
