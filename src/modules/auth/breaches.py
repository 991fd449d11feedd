"""Passwords that are known from leaks: looked up in a file, or asked for by the first digits of a hash.

The file has one SHA-1 in hexadecimal a line, sorted, with or without
``:count`` behind it: the form in which Have I Been Pwned hands out its list. A
look-up is a binary search over the mapped file, some forty reads whatever its
size.

The endpoint learns the first five of forty digits and answers with every
suffix it knows (k-anonymity); padding hides how many those are. When it does
not answer the password passes, unless the settings say otherwise.
"""

from __future__ import annotations

import asyncio
import hashlib
import mmap
from typing import TYPE_CHECKING, ClassVar, Final

from monohull.kernel.errors import Unavailable
from monohull.kernel.observation import SILENT, Level, Observation
from monohull.kernel.outbound import OutboundFailed, OutboundLimits, OutboundRefused

if TYPE_CHECKING:
    from pathlib import Path

    from modules.auth.settings import AuthSettings
    from monohull.kernel.observation import Observer
    from monohull.kernel.outbound import Outbound

PREFIX_DIGITS: Final = 5
DIGITS: Final = 40
LIMITS: Final = OutboundLimits(connect_seconds=2, read_seconds=3, total_seconds=4)
OK: Final = 200


class BreachesUnknown(Observation, frozen=True):
    """Nobody could say whether a password was leaked; it was taken, or refused, as the settings say."""

    event: ClassVar[str] = "auth.breaches_unknown"
    level: ClassVar[Level] = "warning"

    reason: str


class BreachCheckUnavailable(Unavailable):
    """New passwords have to be looked up, and nobody answers."""

    code = "breach_check_unavailable"


class Breaches:
    """Knows leaked passwords.

    Args:
        outbound: Asks the endpoint.
        file: A sorted list, or None.
        url: What the first digits are appended to, or None.
        fails_closed: Whether new passwords are refused while nobody can say.
        observer: Told when nobody can say.
    """

    def __init__(
        self,
        outbound: Outbound,
        *,
        file: Path | None = None,
        url: str | None = None,
        fails_closed: bool = False,
        observer: Observer = SILENT,
    ) -> None:
        self._outbound = outbound
        self._file = file
        self._url = url
        self._fails_closed = fails_closed
        self._observer = observer

    async def know(self, password: str) -> bool:
        """Say whether ``password`` was leaked.

        Raises:
            BreachCheckUnavailable: 503, nobody can say and it must be known.
        """
        digest = hashlib.sha1(password.encode("utf-8", "surrogatepass"), usedforsecurity=False)
        digits = digest.hexdigest().upper()
        try:
            if self._file is not None and await asyncio.to_thread(find_line, self._file, digits):
                return True
            return self._url is not None and await self._ask(self._url, digits)
        except (OutboundFailed, OutboundRefused, OSError, ValueError) as error:
            self._observer.observe(BreachesUnknown(reason=f"{type(error).__name__}: {error}"))
            if self._fails_closed:
                raise BreachCheckUnavailable(
                    "The password cannot be looked up among leaked ones at the moment."
                ) from error
            return False

    async def _ask(self, url: str, digits: str) -> bool:
        reply = await self._outbound.request(
            "GET", url + digits[:PREFIX_DIGITS], headers={"Add-Padding": "true"}, limits=LIMITS
        )
        if reply.status != OK:
            raise ValueError(f"the endpoint answered {reply.status}")
        suffix = digits[PREFIX_DIGITS:].encode()
        for line in reply.body.upper().splitlines():
            found, _, count = line.strip().partition(b":")
            if found == suffix:
                return count != b"0"  # padding is counted so
        return False


def build_breaches(settings: AuthSettings, outbound: Outbound, observer: Observer) -> Breaches | None:
    """Return what the settings ask for."""
    url = settings.password_hibp_url if settings.password_hibp_enabled else None
    if url is None and settings.password_breached_list is None:
        return None
    return Breaches(
        outbound,
        file=settings.password_breached_list,
        url=url,
        fails_closed=settings.password_hibp_fail_closed,
        observer=observer,
    )


def find_line(path: Path, digits: str) -> bool:
    """Say whether a sorted file has a line that begins with ``digits``.

    Raises:
        OSError: It cannot be read. ValueError: It is empty.
    """
    wanted = digits.encode()
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as lines:
        low, high = 0, len(lines)
        while low < high:
            start = lines.rfind(b"\n", 0, (low + high) // 2) + 1
            found = lines[start : start + DIGITS].upper()
            if found == wanted:
                return True
            end = lines.find(b"\n", start)
            if found < wanted:
                low = len(lines) if end < 0 else end + 1
            else:
                high = start
    return False
