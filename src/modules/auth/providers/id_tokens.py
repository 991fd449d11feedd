"""Id tokens: whose they are, for whom, and for how long.

A token is believed by the keys that its issuer publishes over HTTPS and by
nothing that stands in itself: not its ``alg``, which has to be one of ours and
fit the key, not its ``jku``, ``jwk`` or ``x5u``. Keys are remembered; a token with a
``kid`` that is not among them has them read anew, but not more often than once
in a while, so that nobody makes us ask for ever.

Sources: OpenID Connect Core 1.0, sections 2 and 3.1.3; RFC 8725.
"""

from __future__ import annotations

import asyncio
import hashlib
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING, Any, Final

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from msgspec import Struct

from modules.auth.providers.errors import BadIdToken, ProviderUnavailable
from modules.auth.providers.fetching import fetch
from monohull.kernel import clock
from monohull.kernel.crypto import constant_time_equal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modules.auth.providers.provider import Provider
    from monohull.kernel.outbound import Outbound

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
"""All asymmetric: a shared secret would let everybody who knows it be anybody."""

HASHES: Final = {"256": "sha256", "384": "sha384", "512": "sha512"}
SKEW_SECONDS: Final = 60
KEYS_SECONDS: Final = 600.0
RETRY_SECONDS: Final = 30.0
MAX_TOKEN_CHARACTERS: Final = 16_384
MAX_KEYS: Final = 100

_REGISTRY: Final = jws.JWSRegistry(algorithms=list(ALGORITHMS), strict_check_header=False)


class _Kept(Struct):
    keys: KeySet
    at: float


class KeyCache:
    """The public keys of issuers, by address."""

    def __init__(self, outbound: Outbound) -> None:
        self._outbound = outbound
        self._kept: dict[str, _Kept] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def find(self, url: str, kid: str | None) -> KeySet:
        """Return the keys at ``url``, with one of this id if there is one.

        Raises:
            ProviderUnavailable: 503, they cannot be had.
        """
        kept = self._kept.get(url)
        if kept is not None and not self._is_due(kept, kid):
            return kept.keys
        async with self._locks.setdefault(url, asyncio.Lock()):
            kept = self._kept.get(url)
            if kept is not None and not self._is_due(kept, kid):
                return kept.keys
            try:
                keys = _read_keys(await fetch(self._outbound, url))
            except ProviderUnavailable:
                if kept is None:
                    raise
                kept.at = clock.monotonic_seconds() - KEYS_SECONDS + RETRY_SECONDS  # old ones, for a while
                return kept.keys
            self._kept[url] = _Kept(keys, clock.monotonic_seconds())
            return keys

    @staticmethod
    def _is_due(kept: _Kept, kid: str | None) -> bool:
        age = clock.monotonic_seconds() - kept.at
        is_known = kid is None or any(key.kid == kid for key in kept.keys.keys)
        return age > (KEYS_SECONDS if is_known else RETRY_SECONDS)


def _read_keys(document: Any) -> KeySet:
    """Return the keys of a JWK set that can be used; others are left out as RFC 7517 has it."""
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ProviderUnavailable("The provider's keys are no JWK set")
    found = []
    for data in listed[:MAX_KEYS]:
        try:
            found += KeySet.import_key_set({"keys": [_public(data)]}).keys
        except (JoseError, ValueError, TypeError, KeyError, AttributeError):
            continue
    return KeySet(found)


def _public(data: dict[str, Any]) -> dict[str, Any]:
    """Take a symmetric key for none, and leave the rest of what is not needed."""
    if data.get("kty") not in ("RSA", "EC", "OKP") or data.get("use", "sig") != "sig":
        raise ValueError("not a key that verifies")
    return {name: value for name, value in data.items() if name in ("kty", "kid", "n", "e", "crv", "x", "y")}


async def verify_id_token(token: str, provider: Provider, keys: KeyCache) -> dict[str, Any]:
    """Return the claims of ``token``, which the provider made for us and which holds now.

    Raises:
        BadIdToken: 400. ProviderUnavailable: 503, its keys cannot be had.
    """
    header = _header(token)
    if header.get("alg") not in ALGORITHMS or provider.jwks_url is None:
        raise BadIdToken
    kid = header.get("kid")
    known = await keys.find(provider.jwks_url, kid if isinstance(kid, str) else None)
    claims = _verified(token, known, kid)
    _check(claims, provider)
    return claims


def issuer_in(token: str) -> str | None:
    """Return the issuer that a token names, before anything of it is believed."""
    try:
        claims = msgspec.json.decode(jws.extract_compact(token.encode()).payload)
    except (JoseError, ValueError, TypeError, KeyError, RecursionError):
        return None
    issuer = claims.get("iss") if isinstance(claims, dict) else None
    return issuer if isinstance(issuer, str) else None


def at_hash_fits(claims: Mapping[str, Any], algorithm: str, access_token: str) -> bool:
    """Say whether ``at_hash`` is of this access token; a token without it says nothing.

    Source: OpenID Connect Core 1.0, section 3.1.3.6.
    """
    told = claims.get("at_hash")
    if told is None:
        return True
    digest = hashlib.new(HASHES.get(algorithm[-3:], "sha512"), access_token.encode()).digest()
    half = urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()
    return isinstance(told, str) and constant_time_equal(told, half)


def algorithm_of(token: str) -> str:
    """Return the ``alg`` of a token that was verified."""
    return str(_header(token)["alg"])


def _header(token: str) -> dict[str, Any]:
    if len(token) > MAX_TOKEN_CHARACTERS or not token.isascii():
        raise BadIdToken
    try:
        header = jws.extract_compact(token.encode()).headers()
    except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise BadIdToken from error
    if "crit" in header:
        raise BadIdToken
    return dict(header)


def _verified(token: str, known: KeySet, kid: Any) -> dict[str, Any]:
    """Return the claims if a key of the set signed them; a token without ``kid`` tries each."""
    for key in known.keys:
        if kid is not None and key.kid is not None and key.kid != kid:
            continue
        try:
            payload = jws.deserialize_compact(token, key, registry=_REGISTRY).payload
            claims = msgspec.json.decode(payload)
        except (JoseError, ValueError, TypeError, RecursionError):
            continue
        if isinstance(claims, dict):
            return claims
    raise BadIdToken


def _check(claims: Mapping[str, Any], provider: Provider) -> None:
    if claims.get("iss") not in _issuers(claims, provider):
        raise BadIdToken
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject:
        raise BadIdToken("Missing sub claim in id_token")
    audience = claims.get("aud")
    listed = [audience] if isinstance(audience, str) else audience
    if not isinstance(listed, list) or not any(item in provider.client_ids for item in listed):
        raise BadIdToken("Unacceptable audience in id_token")
    party = claims.get("azp")
    if len(listed) > 1 and party not in provider.client_ids:
        raise BadIdToken("Unacceptable audience in id_token")
    at = clock.unix_seconds()
    if not _number(claims.get("exp")) > at - SKEW_SECONDS:
        raise BadIdToken("ID token has expired")
    for name in ("iat", "nbf"):
        if name in claims and not _number(claims[name]) <= at + SKEW_SECONDS:
            raise BadIdToken(f"ID token is not valid yet: {name}")


def _issuers(claims: Mapping[str, Any], provider: Provider) -> tuple[str | None, ...]:
    """Return what ``iss`` may be: Azure's has the tenant in it, Google's had no scheme once."""
    issuer = provider.issuer or ""
    tenant = claims.get("tid")
    if "{tenantid}" in issuer:
        return (issuer.replace("{tenantid}", tenant),) if isinstance(tenant, str) and tenant else ()
    return (issuer, "accounts.google.com") if issuer == "https://accounts.google.com" else (issuer,)


def _number(value: Any) -> float:
    """Return a NumericDate; what is none compares with nothing."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) < 2**53 else float("nan")
