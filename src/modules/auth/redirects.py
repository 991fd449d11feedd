"""Where links and redirects may end: the application's own addresses, and those of the allow list.

An open redirect would hand tokens to whoever wrote the link. So an address is
taken apart as browsers do, and what they might read in two ways is refused:
backslashes, white space, user names, numbers in place of an address.

Source: supabase/auth, ``internal/utilities/request.go: IsRedirectURLValid``; the
globs are those of ``gobwas/glob`` with the separators ``.`` and ``/``.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, urlencode, urlsplit, urlunsplit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_URL_CHARACTERS: Final = 2048

_UNFIT: Final = re.compile(r"[\x00-\x20\x7f\\]")
_NUMERIC_HOST: Final = re.compile(r"(0x[0-9a-f]*|\d+)(\.(0x[0-9a-f]*|\d+))*\.?", re.IGNORECASE)
_PORTS: Final = {"http": 80, "https": 443}
_SCRIPTS: Final = frozenset({"javascript", "data", "vbscript", "blob", "file"})


class Redirects:
    """Decides.

    Args:
        site_url: The application.
        allow_list: Globs of further addresses: ``*`` is anything but ``.`` and ``/``, ``**`` anything,
            ``?`` one character, ``[a-z]`` and ``{a,b}`` a choice.
    """

    def __init__(self, site_url: str, allow_list: Iterable[str] = ()) -> None:
        self.site_url = site_url
        self._site = urlsplit(site_url)
        self._globs = [(compile_glob(pattern), _authority_glob(pattern)) for pattern in allow_list]

    def choose(self, wanted: str | None, referrer: str | None = None) -> str:
        """Return the first that is allowed: what was asked for, where the request came from, the site."""
        return next((url for url in (wanted, referrer) if url and self.allows(url)), self.site_url)

    def allows(self, url: str) -> bool:
        """Say whether tokens may be carried to ``url``."""
        if len(url) > MAX_URL_CHARACTERS or _UNFIT.search(url):
            return False
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            return False
        host = (parts.hostname or "").lower()
        address = _address(host)
        if not _is_plain(parts, host) or (address is None and _NUMERIC_HOST.fullmatch(host)):
            return False
        if address is not None and address.is_loopback and parts.scheme in _PORTS:
            return True
        return self._is_site(parts, host, port) or self._is_listed(parts)

    def _is_site(self, parts: SplitResult, host: str, port: int | None) -> bool:
        site = self._site
        if (parts.scheme, host) != (site.scheme, (site.hostname or "").lower()):
            return False
        default = _PORTS.get(parts.scheme)
        return host == "localhost" or (port or default) == (site.port or default)

    def _is_listed(self, parts: SplitResult) -> bool:
        plain = urlunsplit(parts._replace(fragment=""))
        return any(
            whole.fullmatch(plain) and (authority is None or authority.fullmatch(parts.netloc))
            for whole, authority in self._globs
        )


def _is_plain(parts: SplitResult, host: str) -> bool:
    """Say whether every reader sees the same scheme and host in it."""
    if not parts.scheme or parts.scheme in _SCRIPTS or "@" in parts.netloc:
        return False
    return bool(host) or parts.scheme not in _PORTS


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def compile_glob(pattern: str) -> re.Pattern[str]:
    r"""Turn a glob into a regular expression.

    >>> bool(compile_glob("https://*.example.com/**").fullmatch("https://a.example.com/x/y"))
    True
    """
    written: list[str] = []
    position, depth = 0, 0
    while position < len(pattern):
        rest = pattern[position:]
        char = rest[0]
        step = 1
        if rest.startswith("**"):
            written.append(".*")
            step = 2
        elif (choice := re.match(r"\[(!?)([^\]\[\\]+)\]", rest)) is not None:
            written.append(f"[{'^' if choice[1] else ''}{re.escape(choice[2]).replace(chr(92) + '-', '-')}]")
            step = choice.end()
        elif char == "\\" and len(rest) > 1:
            written.append(re.escape(rest[1]))
            step = 2
        else:
            depth += (char == "{") - (char == "}")
            written.append(_plain(char, in_braces=depth > 0 or char == "}"))
        position += step
    try:
        return re.compile("".join(written), re.DOTALL)
    except re.error:
        return re.compile(re.escape(pattern))


def _plain(char: str, *, in_braces: bool) -> str:
    special = {"*": "[^./]*", "?": "[^./]"}
    if in_braces:
        special |= {"{": "(?:", ",": "|", "}": ")"}
    return special.get(char, re.escape(char))


def _authority_glob(pattern: str) -> re.Pattern[str] | None:
    """Return what the host has to match by itself, so that no wildcard reaches from it into the query."""
    _, separator, rest = pattern.partition("://")
    authority = re.split(r"[/?#](?![^\[{]*[\]}])", rest, maxsplit=1)[0]
    return compile_glob(authority) if separator and authority else None


def with_query(url: str, values: Mapping[str, str]) -> str:
    """Add ``values`` to the query of ``url``; its fragment goes."""
    parts = urlsplit(url)
    query = "&".join(filter(None, (parts.query, urlencode(values))))
    return urlunsplit(parts._replace(query=query, fragment=""))


def with_fragment(url: str, values: Mapping[str, str]) -> str:
    """Put ``values`` into the fragment of ``url``, where no server sees them."""
    return f"{urlunsplit(urlsplit(url)._replace(fragment=''))}#{urlencode(values)}"
