"""`Memcached`: one server, asked in the text protocol that all its versions and proxies speak.

    get <key>                                →  VALUE <key> <flags> <bytes> … END, or END
    set <key> 0 <seconds> <bytes> …          →  STORED, or SERVER_ERROR <why not>
    version                                  →  VERSION <version>

A connection carries one command at a time. One that broke, was late or said something else is closed, never
used again: what comes over it later could be taken for the answer to another question.

Source: memcached, ``doc/protocol.txt``; for logging in ``try_read_command_asciiauth`` in ``proto_text.c``.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from modules.rest.cache.keepers import KeeperAway, KeeperBusy
from modules.rest.cache.memcached_url import MemcachedUrlError, join_host

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from modules.rest.cache.memcached_url import MemcachedAddress

MAX_CONNECTIONS: Final = 32
"""To one server; who finds all of them taken waits."""
PATIENCE_SECONDS: Final = 0.25
"""For a connection to be free, for one to be made, and for an answer: each as long. A read of the database
takes less: who waits longer than this for a cache has lost by it.
"""
MAX_LIFE_SECONDS: Final = 30 * 86_400
"""What is more is a date to Memcached."""

_LINE_BYTES: Final = 2048
_TOO_LARGE: Final = (b"SERVER_ERROR object too large", b"SERVER_ERROR out of memory")


class _Unexpected(Exception):
    """The server said something that is no answer."""


class _Line:
    """A connection, and whether it may be used again."""

    __slots__ = ("_reader", "_writer")

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @property
    def is_open(self) -> bool:
        return not (self._reader.at_eof() or self._writer.is_closing())

    def close(self) -> None:
        """Close it at once, whatever is under way."""
        self._writer.transport.abort()

    async def ask(self, command: bytes) -> bytes:
        """Send a command and return the first line of the answer, without its end."""
        self._writer.write(command)
        await self._writer.drain()
        return await self.line()

    async def line(self) -> bytes:
        line = await self._reader.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionResetError("the server closed the connection")
        return line[:-2]

    async def data(self, size: int) -> bytes:
        """Return a block, without the line break that follows it."""
        block = await self._reader.readexactly(size + 2)
        if not block.endswith(b"\r\n"):
            raise _Unexpected("a block that is longer than was said")
        return block[:-2]


class Memcached:
    """A server. It connects with the first command.

    Args:
        address: Of which ``place`` says which host is meant.
        most_bytes: Of one value; what is larger is not read.
        patience_seconds: How long a step may take.

    Raises:
        MemcachedUrlError: A file for TLS is missing or is none.

    Attributes:
        kind: What `Cache-Status`, metrics and the log call it.
        name: Host and port: which values are kept here is decided by it.
    """

    kind: Final = "memcached"

    def __init__(
        self,
        address: MemcachedAddress,
        place: int,
        most_bytes: int,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._host, self._port = address.hosts[place]
        self.name = join_host(self._host, self._port)
        self._most_bytes = most_bytes
        self._patience = patience_seconds
        self._tls = _tls_of(address)
        self._credentials: bytes | None = None
        if address.user is not None and address.password is not None:
            self._credentials = f"{address.user} {address.password}".encode()
        self._free: list[_Line] = []
        self._room = asyncio.Semaphore(MAX_CONNECTIONS)

    async def close(self) -> None:
        """Give the connections back."""
        while self._free:
            self._free.pop().close()

    async def get(self, key: str) -> bytes | None:
        """Return what is kept, None where nothing is.

        Raises:
            KeeperAway: The server was not reached, was late, or does not speak the protocol.
            KeeperBusy: All connections were taken for too long.
        """
        name = key.encode()
        async with self._line() as line:
            first = await line.ask(b"get %b\r\n" % name)
            if first == b"END":
                return None
            words = first.split(b" ")
            if words[:2] != [b"VALUE", name] or len(words) < 4 or not words[3].isdigit():  # noqa: PLR2004
                raise _Unexpected(_shown(first))
            if (size := int(words[3])) > self._most_bytes:
                raise _Unexpected(f"a value of {size} bytes")
            value = await line.data(size)
            if (last := await line.line()) != b"END":
                raise _Unexpected(_shown(last))
            return value

    async def set(self, key: str, value: bytes, milliseconds: int) -> bool:
        """Have a value kept; say whether the server takes one of this size.

        Raises:
            KeeperAway, KeeperBusy: As for `get`.
        """
        seconds = min(-(-milliseconds // 1000), MAX_LIFE_SECONDS)
        async with self._line() as line:
            said = await line.ask(
                b"set %b 0 %d %d\r\n%b\r\n" % (key.encode(), max(seconds, 1), len(value), value)
            )
            if said.startswith(_TOO_LARGE):  # it has read the value, and thrown it away
                return False
            if said != b"STORED":
                raise _Unexpected(_shown(said))
            return True

    async def version(self) -> str:
        """Return the version that the server says it has.

        Raises:
            KeeperAway, KeeperBusy: As for `get`.
        """
        async with self._line() as line:
            said = await line.ask(b"version\r\n")
            if not said.startswith(b"VERSION "):
                raise _Unexpected(_shown(said))
            return said[8:].decode("utf-8", "replace")

    @asynccontextmanager
    async def _line(self) -> AsyncIterator[_Line]:
        """Lend a connection; one in whose use anything went wrong is closed."""
        try:
            async with asyncio.timeout(self._patience):
                await self._room.acquire()
        except TimeoutError:
            raise KeeperBusy(f"all connections to {self.name} are taken") from None
        try:
            line = await self._open()
            try:
                async with asyncio.timeout(self._patience):
                    yield line
            except BaseException:
                line.close()
                raise
            self._free.append(line)
        except TimeoutError:
            raise KeeperAway(f"{self.name} did not answer in time") from None
        except ssl.SSLCertVerificationError as error:
            raise KeeperAway(
                f"{self.name} showed a certificate that is refused: {error.verify_message}"
            ) from error
        except _Unexpected as error:
            raise KeeperAway(f"{self.name} said what is no answer: {error}") from error
        except (OSError, EOFError, ValueError) as error:  # ValueError: a line without an end
            reason = str(error) or type(error).__name__
            raise KeeperAway(f"{self.name} is not reachable: {reason}") from error
        finally:
            self._room.release()

    async def _open(self) -> _Line:
        """Return a connection that was given back, or a new one."""
        while self._free:
            line = self._free.pop()
            if line.is_open:
                return line
            line.close()
        async with asyncio.timeout(self._patience):
            streams = await asyncio.open_connection(self._host, self._port, ssl=self._tls, limit=_LINE_BYTES)
        line = _Line(*streams)
        if self._credentials is not None:
            try:
                await self._log_in(line, self._credentials)
            except BaseException:
                line.close()
                raise
        return line

    async def _log_in(self, line: _Line, credentials: bytes) -> None:
        """Say who we are.

        To a server that asks, the line is ``set``, any three words, and a length. One that does not ask would
        keep the password for everybody to read, if the words were numbers; as they are none, it refuses.
        """
        async with asyncio.timeout(self._patience):
            said = await line.ask(b"set login login login %d\r\n%b\r\n" % (len(credentials), credentials))
        if said.startswith(b"CLIENT_ERROR auth"):
            raise KeeperAway(f"{self.name} refused the user or password")
        if said != b"STORED":
            raise KeeperAway(f"{self.name} asks for no password: take user and password out of the URL")


def _tls_of(address: MemcachedAddress) -> ssl.SSLContext | None:
    if not address.tls:
        return None
    options = address.options
    try:
        context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"))
        if (certificate := options.get("ssl_certfile")) is not None:
            context.load_cert_chain(certificate, options.get("ssl_keyfile"))
    except (OSError, ssl.SSLError) as error:
        raise MemcachedUrlError(f"a file that the Memcached URL names cannot be used: {error}") from error
    return context


def _shown(said: bytes) -> str:
    return said[:100].decode("ascii", "backslashreplace")
