"""The text of a key: prefix, 190 random bits, checksum.

The checksum is a CRC-32 in base 62, as GitHub's tokens have it. It protects
nothing; it lets a scanner tell a leaked key from look-alikes, and lets us
refuse a typing error without asking the database.
"""

from __future__ import annotations

import re
import secrets
import string
import zlib
from typing import Final, Literal, TypeAlias

from monohull.kernel.crypto import constant_time_equal

Kind: TypeAlias = Literal["publishable", "secret"]

PREFIXES: Final[dict[Kind, str]] = {"publishable": "sb_publishable_", "secret": "sb_secret_"}
RANDOM_CHARACTERS: Final = 32
CHECKSUM_CHARACTERS: Final = 6
SHOWN_CHARACTERS: Final = 6
"""How much of the random part lists show."""

_ALPHABET: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_FORM: Final = re.compile(
    rf"(sb_(?:publishable|secret)_)([0-9A-Za-z]{{{RANDOM_CHARACTERS}}})_([0-9A-Za-z]{{{CHECKSUM_CHARACTERS}}})"
)


def generate(kind: Kind) -> str:
    """Return a new key."""
    random = "".join(secrets.choice(_ALPHABET) for _ in range(RANDOM_CHARACTERS))
    return f"{PREFIXES[kind]}{random}_{checksum(PREFIXES[kind] + random)}"


def checksum(text: str) -> str:
    """Return the six characters that end a key which begins with ``text``.

    >>> checksum("sb_secret_00000000000000000000000000000000")
    '3qZ3AM'
    """
    number = zlib.crc32(text.encode())
    digits = []
    for _ in range(CHECKSUM_CHARACTERS):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))


def looks_opaque(text: str) -> bool:
    """Say whether ``text`` wants to be a key of ours, well-formed or not."""
    return text.startswith(tuple(PREFIXES.values()))


def is_well_formed(text: str) -> bool:
    """Say whether ``text`` has the form of a key and its checksum holds."""
    match = _FORM.fullmatch(text)
    return match is not None and constant_time_equal(checksum(match[1] + match[2]), match[3])


def shown_prefix(key: str) -> str:
    """Return the beginning of ``key`` that lists show, enough to recognise it by."""
    match = _FORM.fullmatch(key)
    assert match is not None
    return match[1] + match[2][:SHOWN_CHARACTERS]
