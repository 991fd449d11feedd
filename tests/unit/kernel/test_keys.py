"""The legacy keys follow from the secret alone."""

from __future__ import annotations

import pytest
from joserfc import jwt
from joserfc.errors import BadSignatureError
from joserfc.jwk import OctKey

from monohull.kernel.keys import ISSUED_AT, legacy_key

SECRET = "a-secret-of-more-than-thirty-two-characters"


def test_the_key_says_who_and_until_when() -> None:
    token = jwt.decode(legacy_key(SECRET, "service_role"), OctKey.import_key(SECRET), algorithms=["HS256"])
    assert token.header == {"alg": "HS256", "typ": "JWT"}
    assert token.claims == {
        "iss": "monohull",
        "role": "service_role",
        "iat": ISSUED_AT,
        "exp": ISSUED_AT + 10 * 365 * 86400,
    }


def test_hosts_with_one_secret_agree() -> None:
    assert legacy_key(SECRET, "anon") == legacy_key(SECRET, "anon")
    assert legacy_key(SECRET, "anon") != legacy_key(SECRET, "service_role")


def test_another_secret_does_not_open_it() -> None:
    with pytest.raises(BadSignatureError):
        jwt.decode(legacy_key(SECRET, "anon"), OctKey.import_key(SECRET[::-1]), algorithms=["HS256"])
