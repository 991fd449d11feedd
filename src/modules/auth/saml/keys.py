"""The RSA key of this service provider, and the certificate that carries it.

SAML wants a certificate where a key would do; nobody checks who issued it. So
it is made from the key alone, the same on every process and after every start.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.padding import OAEP, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    load_der_private_key,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

MIN_RSA_BITS: Final = 2048
SIGNATURE_METHOD: Final = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"


class ServiceKey:
    """Signs our requests, and reads what was encrypted for us.

    Args:
        text: PEM, or the DER of PKCS #1 or #8 in base64.

    Raises:
        ValueError: It is no RSA key of at least `MIN_RSA_BITS`.
    """

    def __init__(self, text: str) -> None:
        key = _load(text.strip())
        if not isinstance(key, RSAPrivateKey) or key.key_size < MIN_RSA_BITS:
            raise ValueError(f"it must be an RSA key of at least {MIN_RSA_BITS} bits")
        self._key = key
        self.certificate = b64encode(_certificate(key).public_bytes(Encoding.DER)).decode()

    def sign(self, payload: bytes) -> bytes:
        """Return the signature that `SIGNATURE_METHOD` names."""
        return self._key.sign(payload, PKCS1v15(), SHA256())

    def unwrap(self, wrapped: bytes, padding: OAEP) -> bytes:
        """Return a key that somebody wrapped with the public half.

        Raises:
            ValueError: It was wrapped for somebody else, or otherwise.
        """
        return self._key.decrypt(wrapped, padding)


def _load(text: str) -> object:
    try:
        if text.startswith("-----"):
            return load_pem_private_key(text.encode(), password=None)
        return load_der_private_key(b64decode(text, validate=True), password=None)
    except (ValueError, TypeError) as error:
        raise ValueError("it is neither PEM nor the base64 of a private key") from error


def _certificate(key: RSAPrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Monohull SAML")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2200, 1, 1, tzinfo=UTC))
        .sign(key, SHA256())
    )
