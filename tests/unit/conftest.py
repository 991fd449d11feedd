"""Unit tests do no I/O: a socket to anywhere is an error."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pytest_socket import disable_socket, enable_socket

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _no_sockets() -> Iterator[None]:
    # asyncio's own wake-up pipe is a Unix socket pair
    disable_socket(allow_unix_socket=True)
    yield
    enable_socket()
