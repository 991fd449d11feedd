"""Codes of authenticator apps: RFC 6238 over SHA-1, six digits, steps of 30 seconds.

These parameters are what every app understands; the URI names them nonetheless.

>>> code_at("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", 1111111109 // PERIOD_SECONDS)
'081804'
"""

from __future__ import annotations

import base64
import hmac
import secrets
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import segno

from monohull.kernel.crypto import constant_time_equal

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET_BYTES: Final = 20
"""As long as SHA-1's output, which RFC 4226 recommends."""

DIGITS: Final = 6
PERIOD_SECONDS: Final = 30
SKEW_STEPS: Final = 1
"""How many steps the app's clock may be off, in both directions."""

QUIET_MODULES: Final = 4
"""Width of the white border that a QR code needs to be found."""


def new_secret() -> str:
    """Return a secret as 32 characters of base32, the way people type it into an app."""
    return base64.b32encode(secrets.token_bytes(SECRET_BYTES)).decode()


def code_at(secret: str, step: int) -> str:
    """Return the code of a time step, which is unix time divided by `PERIOD_SECONDS`."""
    digest = hmac.digest(base64.b32decode(secret), step.to_bytes(8, "big"), "sha1")
    offset = digest[-1] & 0x0F
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFF_FFFF
    return f"{number % 10**DIGITS:0{DIGITS}d}"


def find_step(secret: str, code: str, *, at: int) -> int | None:
    """Return the step whose code this is, or None when it is none of now.

    Every step is compared, so that the time taken tells nothing.

    Args:
        secret: In base32.
        code: What somebody typed.
        at: Unix time.
    """
    now = at // PERIOD_SECONDS
    steps = range(now - SKEW_STEPS, now + SKEW_STEPS + 1)
    found = [step for step in steps if constant_time_equal(code_at(secret, step), code)]
    return found[-1] if found else None


def uri(secret: str, *, issuer: str, account: str) -> str:
    """Return what the QR code says."""
    label = f"{quote(issuer, safe='')}:{quote(account, safe='@')}"
    parameters = f"algorithm=SHA1&digits={DIGITS}&issuer={quote(issuer, safe='')}&period={PERIOD_SECONDS}"
    return f"otpauth://totp/{label}?{parameters}&secret={secret}"


def qr_code(text: str) -> str:
    """Return ``text`` as a QR code in SVG.

    Clients put it behind ``data:image/svg+xml;utf-8,``, where ``#`` would begin
    a fragment: colours are named.
    """
    matrix = segno.make(text, error="m", micro=False).matrix
    size = len(matrix) + 2 * QUIET_MODULES
    path = "".join(
        f"M{start + QUIET_MODULES} {row + QUIET_MODULES}h{length}v1h-{length}z"
        for row, line in enumerate(matrix)
        for start, length in _runs(line)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {size}" width="{size * 4}"'
        f' height="{size * 4}" shape-rendering="crispEdges">'
        f'<rect width="{size}" height="{size}" fill="white"/><path fill="black" d="{path}"/></svg>'
    )


def _runs(line: bytes | bytearray) -> Iterator[tuple[int, int]]:
    """Yield where dark modules begin in a line, and how many follow each other."""
    start = 0
    while start < len(line):
        if not line[start]:
            start += 1
            continue
        end = start
        while end < len(line) and line[end]:
            end += 1
        yield start, end - start
        start = end
