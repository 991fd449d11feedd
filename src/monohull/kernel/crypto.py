"""Keys from one secret, secrets at rest, and comparing without telling.

Everything that needs a key derives it from the instance's secret by HKDF
(RFC 5869) with a purpose of its own, so that no key serves two ends and hosts
that share the secret agree without talking.

What is stored encrypted is an envelope, one line of text::

    mh1.<key id>.<nonce>.<ciphertext and tag>

AES-256-GCM, nonce and ciphertext in base64url without padding. The first two
parts and the caller's context are authenticated: an envelope copied into
another row or another column does not open there.
"""

from __future__ import annotations

import hmac
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

FORMAT: Final = "mh1"
KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12

_SALT: Final = b"monohull"
_KEY_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]*")


class DecryptionError(Exception):
    """An envelope does not open. Never says which byte was wrong."""


class MalformedEnvelope(DecryptionError):
    """The text is no envelope of a format this code knows."""


class UnknownKey(DecryptionError):
    """The keyring lacks the key that the envelope names."""

    def __init__(self, key_id: str) -> None:
        super().__init__(f"the envelope was sealed with the key {key_id!r}, which is not in the keyring")
        self.key_id = key_id


class NotAuthentic(DecryptionError):
    """The envelope was changed, or sealed for another context."""


def derive_key(secret: str | bytes, purpose: str, length: int = KEY_BYTES) -> bytes:
    """Return ``length`` bytes that depend on ``secret`` and ``purpose``.

    Args:
        secret: High in entropy; this is no password hash.
        purpose: What the key is for, such as ``authenticator``; part of the key.
        length: In bytes, 8160 at most.

    Raises:
        ValueError: ``secret`` or ``purpose`` is empty.
    """
    if not secret or not purpose:
        raise ValueError("a key is derived from a secret and a purpose, and one of them is empty")
    material = secret.encode() if isinstance(secret, str) else secret
    return HKDF(SHA256(), length=length, salt=_SALT, info=purpose.encode()).derive(material)


def derive_password(secret: str | bytes, purpose: str) -> str:
    """Return a password for ``purpose``: 43 characters, safe in URLs and in SQL literals."""
    return _encode(derive_key(secret, purpose))


class Key(msgspec.Struct, frozen=True):
    """An AES-256 key and the name that envelopes carry.

    A random nonce of 96 bits keeps its promise for 2^32 envelopes a key.
    """

    id: str
    material: bytes

    def __post_init__(self) -> None:
        if not _KEY_ID.fullmatch(self.id):
            raise ValueError(f"the key id {self.id!r} is not 1 to 64 letters, digits, - or _")
        if len(self.material) != KEY_BYTES:
            raise ValueError(f"an AES-256 key has {KEY_BYTES} bytes, not {len(self.material)}")

    @classmethod
    def derive(cls, secret: str | bytes, purpose: str) -> Key:
        """Return the key for ``purpose``; its id changes with the secret and reveals nothing of it."""
        return cls(derive_key(secret, f"{purpose}:id", 6).hex(), derive_key(secret, purpose))

    def __repr__(self) -> str:
        return f"Key(id={self.id!r})"


class Keyring:
    """The key that seals, and older ones that still open.

    Rotation puts a new key in front; `decrypt` finds the old one by its id
    until every envelope has been sealed again.

    Raises:
        ValueError: Two keys share an id.
    """

    def __init__(self, current: Key, *older: Key) -> None:
        self.current = current
        self._keys = {key.id: key for key in (current, *older)}
        if len(self._keys) != 1 + len(older):
            raise ValueError("two keys of the keyring have the same id")

    def find(self, key_id: str) -> Key | None:
        return self._keys.get(key_id)

    def __repr__(self) -> str:
        return f"Keyring({', '.join(self._keys)})"


def encrypt(plaintext: bytes, *, keyring: Keyring, context: bytes) -> str:
    """Seal ``plaintext`` with the keyring's current key.

    Args:
        plaintext: Any bytes.
        keyring: Its current key seals.
        context: Where the envelope belongs, ``b"auth.mfa_factors.secret:<id>"``
            for example; needed again to open it, and not stored.
    """
    key = keyring.current
    nonce = secrets.token_bytes(NONCE_BYTES)
    sealed = AESGCM(key.material).encrypt(nonce, plaintext, _associated(key.id, context))
    return f"{FORMAT}.{key.id}.{_encode(nonce)}.{_encode(sealed)}"


def decrypt(envelope: str, *, keyring: Keyring, context: bytes) -> bytes:
    """Open what `encrypt` sealed for the same ``context``.

    Raises:
        MalformedEnvelope: It is no envelope.
        UnknownKey: The key is not in the keyring.
        NotAuthentic: It was changed, or belongs to another context.
    """
    key_id, nonce, sealed = _parse(envelope)
    if (key := keyring.find(key_id)) is None:
        raise UnknownKey(key_id)
    try:
        return AESGCM(key.material).decrypt(nonce, sealed, _associated(key_id, context))
    except InvalidTag:
        raise NotAuthentic("the envelope was changed or belongs to another context") from None


def is_current(envelope: str, *, keyring: Keyring) -> bool:
    """Say whether ``envelope`` was sealed with the current key, so that a rotation may skip it.

    Raises:
        MalformedEnvelope: It is no envelope.
    """
    return _parse(envelope)[0] == keyring.current.id


def constant_time_equal(left: str | bytes, right: str | bytes) -> bool:
    """Compare in a time that does not depend on where the two differ."""
    return hmac.compare_digest(_as_bytes(left), _as_bytes(right))


def _parse(envelope: str) -> tuple[str, bytes, bytes]:
    try:
        form, key_id, nonce, sealed = envelope.split(".")
    except ValueError:
        raise MalformedEnvelope("the text has not the four parts of an envelope") from None
    if form != FORMAT:
        raise MalformedEnvelope(f"the envelope's format is not {FORMAT}")
    decoded = _decode(nonce), _decode(sealed)
    if not _KEY_ID.fullmatch(key_id) or len(decoded[0]) != NONCE_BYTES:
        raise MalformedEnvelope("the envelope's key id or nonce is not well-formed")
    return key_id, *decoded


def _associated(key_id: str, context: bytes) -> bytes:
    """Bind format and key id, whose alphabet has no NUL, so that no two contexts run together."""
    return b"\0".join((FORMAT.encode(), key_id.encode(), context))


def _as_bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


def _encode(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    """Decode the one spelling that `_encode` writes; Python's decoder skips what it does not know."""
    if not _BASE64URL.fullmatch(text):
        raise MalformedEnvelope("the envelope is not base64url")
    try:
        raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except Base64Error:
        raise MalformedEnvelope("the envelope is not base64url") from None
    if _encode(raw) != text:
        raise MalformedEnvelope("the envelope is not canonical base64url")
    return raw
