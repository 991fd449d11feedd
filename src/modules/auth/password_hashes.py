"""Compare a password with a hash that somebody else made: bcrypt, scrypt, PBKDF2, Firebase's scrypt, Argon2.

People come with the hashes of their last provider and are not asked for a new
password: what is verified here is hashed anew, with our parameters, at the next
sign-in. Parameters are bounded, so that a row from outside cannot make a
sign-in take minutes or gigabytes.

Formats: ``$argon2…`` (PHC), ``$2b$…``, ``$scrypt$ln=…,r=…,p=…$salt$hash`` (PHC, passlib),
``$pbkdf2-sha256$rounds$salt$hash`` (passlib), ``$pbkdf2-sha512$i=…,l=…$salt$hash`` (Auth0),
``pbkdf2_sha256$rounds$salt$hash`` (Django), ``$fbscrypt$v=1,n=…,r=…,p=…,ss=…,sk=…$salt$hash`` (GoTrue).
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode
from typing import TYPE_CHECKING, Final

import bcrypt
from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import Argon2Error, InvalidHashError, VerificationError
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from monohull.kernel.crypto import constant_time_equal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_MEMORY_BYTES: Final = 256 * 1024 * 1024
MAX_BCRYPT_COST: Final = 15
"""About two seconds of a core."""

MAX_ITERATIONS: Final = 5_000_000
MAX_PASSES: Final = 20
BCRYPT_BYTES: Final = 72
"""bcrypt looks at no more of a password."""

FIREBASE_KEY_BYTES: Final = 32
NUL: Final = b"\0"
"""bcrypt ends at one, and HMAC, on which PBKDF2 and scrypt stand, does not see one at the end."""

_ARGON2: Final = PasswordHasher()
_BCRYPT: Final = re.compile(r"\$2[abxy]\$(\d\d)\$[./A-Za-z0-9]{53}")
_SCRYPT: Final = re.compile(r"\$scrypt\$ln=(\d{1,2}),r=(\d{1,3}),p=(\d{1,2})\$([^$]+)\$([^$]+)")
_PBKDF2: Final = re.compile(
    r"\$pbkdf2(-sha256|-sha512|-sha1)?\$(?:i=)?(\d{1,8})(?:,l=\d+)?\$([^$]+)\$([^$]+)"
)
_DJANGO: Final = re.compile(r"pbkdf2_(sha256|sha512|sha1)\$(\d{1,8})\$([^$]+)\$([^$]+)")
_FIREBASE: Final = re.compile(
    r"\$fbscrypt\$v=1,n=(\d{1,2}),r=(\d{1,3}),p=(\d{1,2})(?:,ss=([^,$]*))?,sk=([^,$]+)\$([^$]+)\$([^$]+)"
)


class UnusableHash(ValueError):
    """The text is no hash that is known here, or one that would take too long."""


def holds(password: str, stored: str) -> bool:
    """Say whether ``stored`` is a hash of ``password``. Takes as long as the hash is meant to.

    Raises:
        UnusableHash: Nobody can say.
    """
    for prefix, compare in _SCHEMES.items():
        if stored.startswith(prefix):
            try:
                return compare(password.encode("utf-8", "surrogatepass"), stored)
            except (ValueError, OverflowError, MemoryError) as error:
                raise UnusableHash("the hash is malformed") from error
    raise UnusableHash("the hash is of no kind that is known")


def check_usable(stored: str) -> None:
    """Look whether ``stored`` could be compared with, without doing so.

    Raises:
        UnusableHash: It could not.
    """
    try:
        if stored.startswith("$argon2"):
            _check_argon2(stored)
        elif stored.startswith("$2"):
            _bcrypt_parts(stored)
        elif stored.startswith("$scrypt$"):
            _scrypt_parts(stored)
        elif stored.startswith(("$pbkdf2", "pbkdf2_")):
            _pbkdf2_parts(stored)
        elif stored.startswith("$fbscrypt$"):
            _firebase_parts(stored)
        else:
            raise UnusableHash("the hash is of no kind that is known")
    except (ValueError, OverflowError) as error:
        raise error if isinstance(error, UnusableHash) else UnusableHash("the hash is malformed") from error


def _argon2(password: bytes, stored: str) -> bool:
    _check_argon2(stored)
    try:
        return _ARGON2.verify(stored, password)
    except (VerificationError, InvalidHashError, Argon2Error):
        return False


def _check_argon2(stored: str) -> None:
    try:
        found = extract_parameters(stored)
    except InvalidHashError as error:
        raise UnusableHash("the hash is malformed") from error
    if found.memory_cost * 1024 > MAX_MEMORY_BYTES or max(found.time_cost, found.parallelism) > MAX_PASSES:
        raise UnusableHash("the hash would take too long")


def _bcrypt(password: bytes, stored: str) -> bool:
    salted = _bcrypt_parts(stored)
    return NUL not in password and bcrypt.checkpw(password[:BCRYPT_BYTES], salted)


def _bcrypt_parts(stored: str) -> bytes:
    match = _matched(_BCRYPT, stored)
    if not 4 <= int(match[1]) <= MAX_BCRYPT_COST:  # noqa: PLR2004 bcrypt's own lowest cost
        raise UnusableHash("the hash would take too long")
    return f"$2b${stored[4:]}".encode()


def _scrypt(password: bytes, stored: str) -> bool:
    n, r, p, salt, expected = _scrypt_parts(stored)
    return NUL not in password and constant_time_equal(
        _scrypt_key(password, salt, n, r, p, len(expected)), expected
    )


def _scrypt_parts(stored: str) -> tuple[int, int, int, bytes, bytes]:
    match = _matched(_SCRYPT, stored)
    n, r, p = _scrypt_cost(match[1], match[2], match[3])
    return n, r, p, _decode(match[4]), _decode(match[5])


def _scrypt_cost(log_n: str, block: str, parallel: str) -> tuple[int, int, int]:
    n, r, p = 1 << int(log_n), int(block), int(parallel)
    if n < 2 or r < 1 or not 1 <= p <= MAX_PASSES or 128 * n * r > MAX_MEMORY_BYTES:  # noqa: PLR2004
        raise UnusableHash("the hash would take too long")
    return n, r, p


def _scrypt_key(password: bytes, salt: bytes, n: int, r: int, p: int, length: int) -> bytes:  # noqa: PLR0913, PLR0917 scrypt's own
    return hashlib.scrypt(password, salt=salt, n=n, r=r, p=p, dklen=length, maxmem=2 * MAX_MEMORY_BYTES)


def _pbkdf2(password: bytes, stored: str) -> bool:
    digest, rounds, salt, expected = _pbkdf2_parts(stored)
    return NUL not in password and constant_time_equal(
        hashlib.pbkdf2_hmac(digest, password, salt, rounds, dklen=len(expected)), expected
    )


def _pbkdf2_parts(stored: str) -> tuple[str, int, bytes, bytes]:
    if stored.startswith("pbkdf2_"):
        match = _matched(_DJANGO, stored)
        digest, salt = match[1], match[3].encode()
    else:
        match = _matched(_PBKDF2, stored)
        digest, salt = (match[1] or "-sha1")[1:], _decode(match[3])
    if not 1 <= int(match[2]) <= MAX_ITERATIONS:
        raise UnusableHash("the hash would take too long")
    return digest, int(match[2]), salt, _decode(match[4])


def _firebase(password: bytes, stored: str) -> bool:
    """Firebase encrypts the project's signer key under what scrypt gives.

    Source: github.com/firebase/scrypt, README.
    """
    n, r, p, salt, signer, expected = _firebase_parts(stored)
    key = _scrypt_key(password, salt, n, r, p, FIREBASE_KEY_BYTES)
    if NUL in password:
        return False
    encryptor = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()
    return constant_time_equal(encryptor.update(signer) + encryptor.finalize(), expected)


def _firebase_parts(stored: str) -> tuple[int, int, int, bytes, bytes, bytes]:
    match = _matched(_FIREBASE, stored)
    n, r, p = _scrypt_cost(match[1], match[2], match[3])
    return n, r, p, _decode(match[6]) + _decode(match[4] or ""), _decode(match[5]), _decode(match[7])


def _matched(form: re.Pattern[str], stored: str) -> re.Match[str]:
    if (match := form.fullmatch(stored)) is None:
        raise UnusableHash("the hash is malformed")
    return match


def _decode(text: str) -> bytes:
    """Read base64 in any of its alphabets, passlib's with a dot too, padded or not."""
    plain = text.translate(_ALPHABET).rstrip("=")
    return b64decode(plain + "=" * (-len(plain) % 4), validate=True)


_ALPHABET: Final = str.maketrans({".": "+", "-": "+", "_": "/"})
_SCHEMES: Final[Mapping[str, Callable[[bytes, str], bool]]] = {
    "$argon2": _argon2,
    "$2": _bcrypt,
    "$scrypt$": _scrypt,
    "$pbkdf2": _pbkdf2,
    "pbkdf2_": _pbkdf2,
    "$fbscrypt$": _firebase,
}
