"""Read ``MONOHULL_REST_CACHE_MEMCACHED``: one server of Memcached, or several.

    memcached://[user:password@]host[:11211][,host[:11211]…]          memcacheds:// with TLS

Options follow ``?``; they are listed in `OPTIONS`. With TLS a server has to show a certificate of its name.
Nothing here connects, or imports what does: settings are checked with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping

PORT: Final = 11211
OPTIONS: Final = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"})
"""What may follow ``?``: paths of PEM files, of the authority to trust and of a certificate to show."""
MAX_CREDENTIAL_CHARACTERS: Final = 200
"""Of user and password each. Memcached reads no more than 256 bytes of a line of its file."""

_SCHEMES: Final = {"memcached": False, "memcacheds": True}
_MAX_PORT: Final = 65535


class MemcachedUrlError(ValueError):
    """A URL that cannot be read. Its text never repeats the URL, which may hold a password."""


class MemcachedAddress(Struct, frozen=True, kw_only=True):
    """What a URL says, parsed and not yet tried.

    Attributes:
        tls: Whether connections are encrypted.
        hosts: ``(host, port)`` of each server.
        user: None where the servers ask nobody who they are; ``password`` is None then, too.
        options: By the names in `OPTIONS`.
    """

    tls: bool
    hosts: tuple[tuple[str, int], ...]
    user: str | None = None
    password: str | None = None
    options: Mapping[str, str] = {}

    def __repr__(self) -> str:
        return f"MemcachedAddress({self.describe()})"

    def describe(self) -> str:
        """Return the address without user and password, for ``doctor``."""
        return f"{'tls ' if self.tls else ''}{', '.join(join_host(*host) for host in self.hosts)}"


def join_host(host: str, port: int) -> str:
    """Return a host as it is written.

    >>> join_host("cache", 11211), join_host("::1", 11211)
    ('cache:11211', '[::1]:11211')
    """
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_memcached_url(url: str) -> MemcachedAddress:
    """Read ``url``.

    Raises:
        MemcachedUrlError: It names no known scheme, host, port or option, or half of user and password.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise MemcachedUrlError("the Memcached URL is not a URL") from None
    if parts.scheme not in _SCHEMES:
        raise MemcachedUrlError("the Memcached URL must start with memcached:// or memcacheds://")
    if parts.path.strip("/") or parts.fragment:
        raise MemcachedUrlError("nothing may follow the hosts of a Memcached URL but options after a ?")
    tls = _SCHEMES[parts.scheme]
    credentials, _, listed = parts.netloc.rpartition("@")
    user, password = _credentials(credentials)
    hosts = tuple(_host(text) for text in listed.split(",") if text)
    if not hosts:
        raise MemcachedUrlError("the Memcached URL names no host")
    if len(set(hosts)) < len(hosts):
        raise MemcachedUrlError("the Memcached URL names a host twice")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := sorted(set(options) - OPTIONS):
        known = ", ".join(sorted(OPTIONS))
        raise MemcachedUrlError(f"the Memcached URL has an unknown option {unknown[0]!r}; known are {known}")
    if options and not tls:
        raise MemcachedUrlError("options of the Memcached URL are of TLS; write memcacheds://")
    return MemcachedAddress(tls=tls, hosts=hosts, user=user, password=password, options=options)


def _credentials(text: str) -> tuple[str | None, str | None]:
    """Split user and password, which Memcached takes apart at the first space."""
    if not text:
        return None, None
    user, _, password = (unquote(part) for part in text.partition(":"))
    if not user or not password:
        raise MemcachedUrlError("the Memcached URL must have both a user and a password, or neither")
    if " " in user or not user.isprintable() or not password.isprintable():
        raise MemcachedUrlError("the user in the Memcached URL has a space, or one of both a line break")
    if max(len(user), len(password)) > MAX_CREDENTIAL_CHARACTERS:
        raise MemcachedUrlError(
            f"the user and password in the Memcached URL may have {MAX_CREDENTIAL_CHARACTERS} characters each"
        )
    return user, password


def _host(text: str) -> tuple[str, int]:
    host, colon, port = text, "", ""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        colon, port = rest[:1], rest[1:]
    elif ":" in text:
        host, colon, port = text.partition(":")
    if not host or (colon and colon != ":"):
        raise MemcachedUrlError("the Memcached URL names a host that cannot be read")
    if not colon:
        return host, PORT
    if not (port.isascii() and port.isdecimal() and 0 < int(port) <= _MAX_PORT):
        raise MemcachedUrlError(f"the Memcached URL has a port that is no number from 1 to {_MAX_PORT}")
    return host, int(port)
