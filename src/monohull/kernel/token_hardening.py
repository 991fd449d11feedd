"""What is weak about keys and tokens in the settings: too few bits, a wrong role, one's own say."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, Final

import msgspec

from monohull.kernel.clock import now

if TYPE_CHECKING:
    from collections.abc import Iterator

    from monohull.kernel.settings import JwtSettings, Settings

MIN_SECRET_BYTES: Final = 32
"""RFC 7518, section 3.2: a key of HS256 has at least 256 bits."""
MIN_RSA_BITS: Final = 2048
JWT_PARTS: Final = 3
KEYS: Final = {"anon": "MONOHULL_ANON_KEY", "service_role": "MONOHULL_SERVICE_KEY"}


def token_weaknesses(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield the variable and what is wrong with it, never the value."""
    jwt = settings.jwt
    yield from _secret(jwt)
    yield from _key_set(jwt)
    if jwt.role_claim_key.lstrip("$").lower().startswith((".user_metadata", '."user_metadata"')):
        message = "users write their own user_metadata, and so choose their role; take a claim of the issuer"
        yield "MONOHULL_JWT_ROLE_CLAIM_KEY", message
    for role, key in (("anon", settings.core.anon_key), ("service_role", settings.core.service_key)):
        yield from ((KEYS[role], message) for message in _legacy_key(key, role))


def _secret(jwt: JwtSettings) -> Iterator[tuple[str, str]]:
    variable = "MONOHULL_JWT_SECRET"
    if jwt.shared_secret is None or not jwt.secret_is_base64:
        return
    decoded = decode(jwt.shared_secret)
    if decoded is None:
        yield variable, "it is not base64, and MONOHULL_JWT_SECRET_IS_BASE64 says that it is; unset that"
    elif len(decoded) < MIN_SECRET_BYTES:
        message = f"it is {len(decoded)} bytes in base64; {MIN_SECRET_BYTES} are needed"
        yield variable, f"{message}; make one with `openssl rand -base64 48`"


def _key_set(jwt: JwtSettings) -> Iterator[tuple[str, str]]:
    if jwt.key_set is None:
        return
    variable = "MONOHULL_JWT_JWKS" if jwt.jwks is not None else "MONOHULL_JWT_SECRET"
    try:
        document = msgspec.json.decode(jwt.key_set.encode())
        keys = document if isinstance(document, list) else document.get("keys", [document])
        kinds = [(key.get("kty"), key) for key in keys]
    except (msgspec.DecodeError, AttributeError, TypeError):
        yield variable, 'it is no JWK and no JWK set; give one key as JSON, or {"keys": […]}'
        return
    for kind, key in kinds:
        material = decode(str(key.get("k" if kind == "oct" else "n", "")))
        bits = int.from_bytes(material or b"", "big").bit_length()
        if kind == "oct" and len(material or b"") < MIN_SECRET_BYTES:
            yield variable, f"a symmetric key in it has less than {MIN_SECRET_BYTES} bytes; make a longer one"
        elif kind == "RSA" and bits < MIN_RSA_BITS:
            yield variable, f"an RSA key in it has {bits} bits; {MIN_RSA_BITS} are needed"


def _legacy_key(key: str | None, role: str) -> Iterator[str]:
    if key is None:
        return
    claims = _claims(key)
    if claims is None:
        yield "it is no JWT; unset it, and it is derived from the secret"
    elif claims.get("role") != role:
        yield f"its role is not {role}: whoever holds it would be somebody else; unset it to derive it"
    elif isinstance(end := claims.get("exp"), int | float) and end < now().timestamp():
        yield "it has expired; unset it, and it is derived from the secret"


def _claims(token: str) -> dict[str, Any] | None:
    parts = token.split(".")
    body = decode(parts[1]) if len(parts) == JWT_PARTS else None
    try:
        claims = msgspec.json.decode(body or b"")
    except msgspec.DecodeError:
        return None
    return claims if isinstance(claims, dict) else None


def decode(text: str) -> bytes | None:
    """Return the bytes of base64 in either alphabet, padded or not; None when it is none."""
    plain = text.strip().rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
