"""Assertions that only we can read.

    EncryptedAssertion = EncryptedData [ EncryptedKey ... ]
    EncryptedData      = how, [ KeyInfo with EncryptedKey ... ], cipher text
    EncryptedKey       = how, cipher text: the key of the data, for one recipient

Encryption says nothing about who wrote something: the key to write with is in our
metadata. So what comes out of here is looked at as if a stranger had sent it in
the clear, and its signature decides.

Cipher block chaining proves nothing about the cipher text either. Who may change it
and see what becomes of it reads it, byte by byte ("How to Break XML Encryption",
Jager and Somorovsky, 2011). It is decrypted only where the whole answer was signed,
and its signature checked before; Galois/counter mode is decrypted always. PKCS #1 v1.5
as key transport has the same hole and is not known here. Whatever goes wrong is
told in the same words.

Sources: XML Encryption 1.1, sections 3 and 5; Core, section 2.3.4.
"""

from __future__ import annotations

from base64 import b64decode
from itertools import chain
from typing import TYPE_CHECKING, Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC

from modules.auth.saml.documents import DS, SAML, Unreadable, child, children, read, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lxml import etree

    from modules.auth.saml.keys import ServiceKey

XENC: Final = "http://www.w3.org/2001/04/xmlenc#"
XENC11: Final = "http://www.w3.org/2009/xmlenc11#"
MAX_KEYS: Final = 4
"""Recipients whose keys are tried; each costs a private operation."""

NONCE_BYTES: Final = 12
BLOCK_BYTES: Final = 16


class DataMethod(NamedTuple):
    """How an assertion is encrypted."""

    key_bytes: int
    proves: bool


DATA_METHODS: Final[Mapping[str, DataMethod]] = {
    f"{XENC11}aes128-gcm": DataMethod(16, proves=True),
    f"{XENC11}aes192-gcm": DataMethod(24, proves=True),
    f"{XENC11}aes256-gcm": DataMethod(32, proves=True),
    f"{XENC}aes128-cbc": DataMethod(16, proves=False),
    f"{XENC}aes192-cbc": DataMethod(24, proves=False),
    f"{XENC}aes256-cbc": DataMethod(32, proves=False),
}
OAEP_MGF1_SHA1: Final = f"{XENC}rsa-oaep-mgf1p"
OAEP_11: Final = f"{XENC11}rsa-oaep"

_DIGESTS: Final[Mapping[str, type[hashes.HashAlgorithm]]] = {
    f"{DS}sha1": hashes.SHA1,
    f"{XENC}sha256": hashes.SHA256,
    "http://www.w3.org/2001/04/xmldsig-more#sha384": hashes.SHA384,
    f"{XENC}sha512": hashes.SHA512,
}
_MASKS: Final[Mapping[str, type[hashes.HashAlgorithm]]] = {
    f"{XENC11}mgf1sha1": hashes.SHA1,
    f"{XENC11}mgf1sha256": hashes.SHA256,
    f"{XENC11}mgf1sha384": hashes.SHA384,
    f"{XENC11}mgf1sha512": hashes.SHA512,
}


class Undecipherable(Unreadable):
    """It was not encrypted for us, or not in a way that is read; never says which."""

    def __init__(self) -> None:
        super().__init__("the encrypted assertion cannot be read")


class NeedsSignedAnswer(Unreadable):
    """It is encrypted in a way that is only read in an answer that is signed as a whole."""

    def __init__(self) -> None:
        super().__init__("encrypt the assertion with AES-GCM, or sign the whole answer")


def decrypt(encrypted: etree._Element, key: ServiceKey, *, is_signed: bool) -> etree._Element:
    """Return the assertion of an ``EncryptedAssertion``, which nobody has vouched for yet.

    Args:
        encrypted: The element.
        key: Ours.
        is_signed: Whether the element is part of what a checked signature covers.

    Raises:
        NeedsSignedAnswer: It is not, and would have to be.
        Undecipherable: Something else is wrong.
    """
    data = _only(encrypted, XENC, "EncryptedData")
    method = DATA_METHODS.get(_algorithm(data))
    if method is None:
        raise Undecipherable
    if not method.proves and not is_signed:
        raise NeedsSignedAnswer
    cipher_text = _cipher_text(data)
    secret = _unwrap(list(_wrapped(encrypted, data)), key, method.key_bytes)
    try:
        plain = _gcm(secret, cipher_text) if method.proves else _cbc(secret, cipher_text)
        assertion = read(plain)
    except (InvalidTag, ValueError) as error:
        raise Undecipherable from error
    if assertion.tag != f"{{{SAML}}}Assertion":
        raise Undecipherable
    return assertion


def _wrapped(encrypted: etree._Element, data: etree._Element) -> Iterator[etree._Element]:
    """Yield the keys that come with the data, inside it or beside it."""
    infos = children(data, DS, "KeyInfo")
    inside = chain.from_iterable(children(info, XENC, "EncryptedKey") for info in infos)
    yield from chain(inside, children(encrypted, XENC, "EncryptedKey"))


def _unwrap(wrapped: list[etree._Element], key: ServiceKey, key_bytes: int) -> bytes:
    for element in wrapped[:MAX_KEYS]:
        try:
            padding = _padding(element)
            if padding is None:
                continue
            secret = key.unwrap(_cipher_text(element), padding)
        except ValueError:  # for another recipient, wrapped in whatever way that one reads
            continue
        if len(secret) == key_bytes:
            return secret
    raise Undecipherable


def _padding(element: etree._Element) -> OAEP | None:
    """Return how a key is wrapped, None when it is not in a way that is read."""
    algorithm = _algorithm(element)
    method = _only(element, XENC, "EncryptionMethod")
    named = _named(method, DS, "DigestMethod")
    digest = hashes.SHA1 if named is None else _DIGESTS.get(named)
    mask: type[hashes.HashAlgorithm] | None = hashes.SHA1
    if algorithm == OAEP_11 and (named := _named(method, XENC11, "MGF")) is not None:
        mask = _MASKS.get(named)
    elif algorithm not in (OAEP_MGF1_SHA1, OAEP_11):
        return None
    if digest is None or mask is None or next(children(method, XENC, "OAEPparams"), None) is not None:
        return None
    return OAEP(mgf=MGF1(mask()), algorithm=digest(), label=None)


def _gcm(secret: bytes, cipher_text: bytes) -> bytes:
    return AESGCM(secret).decrypt(cipher_text[:NONCE_BYTES], cipher_text[NONCE_BYTES:], None)


def _cbc(secret: bytes, cipher_text: bytes) -> bytes:
    """Decrypt; the last byte says how many bytes of padding there are, and the others may be anything."""
    decryptor = Cipher(AES(secret), CBC(cipher_text[:BLOCK_BYTES])).decryptor()
    padded = decryptor.update(cipher_text[BLOCK_BYTES:]) + decryptor.finalize()
    padding = padded[-1] if padded else 0
    if not 1 <= padding <= BLOCK_BYTES:
        raise Undecipherable
    return padded[:-padding]


def _only(parent: etree._Element, namespace: str, name: str) -> etree._Element:
    try:
        found = child(parent, namespace, name)
    except Unreadable as error:
        raise Undecipherable from error
    if found is None:
        raise Undecipherable
    return found


def _named(parent: etree._Element, namespace: str, name: str) -> str | None:
    found = next(children(parent, namespace, name), None)
    return None if found is None else found.get("Algorithm", "")


def _algorithm(element: etree._Element) -> str:
    named: str = _only(element, XENC, "EncryptionMethod").get("Algorithm", "")
    return named


def _cipher_text(element: etree._Element) -> bytes:
    value = text_of(_only(_only(element, XENC, "CipherData"), XENC, "CipherValue"))
    try:
        return b64decode("".join(value.split()), validate=True)
    except ValueError as error:
        raise Undecipherable from error
