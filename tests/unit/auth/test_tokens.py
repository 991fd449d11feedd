"""Every known way to make a verifier believe a token that nobody signed, and honest tokens beside them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from modules.auth.tokens import TokenCodec
from monohull.kernel import clock
from monohull.kernel.errors import InvalidCredential

SECRET = "a-secret-of-more-than-thirty-two-characters"
OTHER = "another-secret-of-more-than-thirty-two-chars"

RSA = RSAKey.generate_key(2048, {"kid": "rsa"})
EC = ECKey.generate_key("P-256", {"kid": "ec"})
ED = OKPKey.generate_key("Ed25519", {"kid": "ed"})
ATTACKER = RSAKey.generate_key(2048, {"kid": "rsa"})
EVERY_ALGORITHM = [
    "HS256",
    "HS384",
    "HS512",
    "RS256",
    "RS384",
    "PS256",
    "ES256",
    "ES384",
    "EdDSA",
    "Ed25519",
    "none",
]


def b64(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def sign(claims: dict[str, Any], key: Any = None, **header: Any) -> str:
    """Sign as an attacker or another issuer would: any header, any algorithm."""
    header = {"alg": "HS256", **header}
    algorithms = [name for name in EVERY_ALGORITHM if name != "EdDSA"]
    registry = jws.JWSRegistry(algorithms=algorithms, strict_check_header=False)
    return jws.serialize_compact(
        header, json.dumps(claims), key or OctKey.import_key(SECRET), registry=registry
    )


def jwks(*keys: Any, private: bool = False) -> str:
    return json.dumps({"keys": [key.as_dict(private=private) for key in keys]})


@pytest.fixture
def codec() -> TokenCodec:
    return TokenCodec(secret=SECRET, jwks=jwks(RSA, EC, ED))


def refusal(codec: TokenCodec, token: str) -> InvalidCredential:
    with pytest.raises(InvalidCredential) as caught:
        codec.verify(token)
    return caught.value


@pytest.mark.parametrize(
    ("alg", "key"),
    [("HS256", OctKey.import_key(SECRET)), ("RS256", RSA), ("ES256", EC), ("Ed25519", ED)],
)
def test_each_allowed_algorithm_verifies(codec: TokenCodec, alg: str, key: Any) -> None:
    assert codec.verify(sign({"sub": "x"}, key, alg=alg)) == {"sub": "x"}


def test_the_old_name_of_ed25519_verifies(codec: TokenCodec) -> None:
    signing_input = f"{b64({'alg': 'EdDSA'})}.{b64({'sub': 'x'})}"
    signature = ED.private_key.sign(signing_input.encode())  # type: ignore[union-attr]
    assert codec.verify(f"{signing_input}.{b64(signature)}") == {"sub": "x"}


@pytest.mark.parametrize("spelling", ["none", "None", "NONE", "nOnE", ""])
def test_alg_none_is_no_algorithm(codec: TokenCodec, spelling: str) -> None:
    token = f"{b64({'alg': spelling, 'typ': 'JWT'})}.{b64({'role': 'service_role'})}."
    assert refusal(codec, token).message == "Wrong or unsupported encoding algorithm"


@pytest.mark.parametrize("alg", ["HS384", "HS512", "RS384", "PS256"])
def test_algorithms_beside_the_list_are_refused(codec: TokenCodec, alg: str) -> None:
    key = RSA if alg[1] == "S" and alg[0] in "RP" else OctKey.import_key(SECRET)
    assert refusal(codec, sign({"sub": "x"}, key, alg=alg)).reason == "algorithm"


@pytest.mark.parametrize("alg", [["HS256"], {"a": 1}, 5, None, True])
def test_alg_must_be_text(codec: TokenCodec, alg: object) -> None:
    token = f"{b64({'alg': alg})}.{b64({})}.{b64(b'x')}"
    assert refusal(codec, token).reason in ("algorithm", "malformed")


def test_a_public_rsa_key_is_no_hmac_secret(codec: TokenCodec) -> None:
    """HS/RS confusion: the attacker knows the public key and signs with its text."""
    for material in (RSA.as_pem(private=False), RSA.as_der(private=False), jwks(RSA).encode()):
        signing_input = f"{b64({'alg': 'HS256', 'kid': 'rsa'})}.{b64({'role': 'service_role'})}"
        signature = hmac.digest(material, signing_input.encode(), hashlib.sha256)
        assert refusal(codec, f"{signing_input}.{b64(signature)}").reason == "signature"


def test_the_secret_is_no_key_of_another_algorithm(codec: TokenCodec) -> None:
    token = sign({"sub": "x"})
    body = token.split(".")
    for alg in ("RS256", "ES256", "EdDSA"):
        assert refusal(codec, f"{b64({'alg': alg})}.{body[1]}.{body[2]}").reason == "signature"


def test_a_key_inside_the_token_is_not_used(codec: TokenCodec) -> None:
    token = sign({"role": "service_role"}, ATTACKER, alg="RS256", jwk=ATTACKER.as_dict(private=False))
    assert refusal(codec, token).reason == "signature"


@pytest.mark.parametrize("header", ["jku", "x5u"])
def test_an_address_of_keys_is_not_followed(codec: TokenCodec, header: str) -> None:
    """Sockets are blocked in unit tests: following it would fail otherwise."""
    token = sign({"role": "service_role"}, ATTACKER, alg="RS256", **{header: "https://attacker.example/keys"})
    assert refusal(codec, token).reason == "signature"


@pytest.mark.parametrize(
    "kid", ["rsa", "../../../../dev/null", "' or 1=1 --", "https://attacker.example", "", "\0", "no-such"]
)
def test_kid_only_chooses_among_our_keys(codec: TokenCodec, kid: str) -> None:
    assert (
        refusal(codec, sign({"role": "service_role"}, ATTACKER, alg="RS256", kid=kid)).reason == "signature"
    )


@pytest.mark.parametrize("kid", [7, ["rsa"], {"a": 1}, True])
def test_kid_must_be_text(codec: TokenCodec, kid: object) -> None:
    token = f"{b64({'alg': 'RS256', 'kid': kid})}.{b64({})}.{b64(b'x')}"
    assert refusal(codec, token).reason == "signature"


def test_a_kid_that_disagrees_rules_the_key_out(codec: TokenCodec) -> None:
    assert codec.verify(sign({}, RSA, alg="RS256", kid="rsa")) == {}
    assert refusal(codec, sign({}, RSA, alg="RS256", kid="ec")).reason == "signature"


def test_the_secret_has_no_name_so_any_kid_may_stand(codec: TokenCodec) -> None:
    assert codec.verify(sign({}, kid="anything")) == {}


@pytest.mark.parametrize(
    "extra", [{"crit": ["exp"]}, {"crit": ["b64"], "b64": False}, {"b64": True}, {"crit": []}]
)
def test_extensions_of_jws_are_refused(codec: TokenCodec, extra: dict[str, Any]) -> None:
    token = f"{b64({'alg': 'HS256', **extra})}.{b64({})}.{b64(b'x')}"
    assert refusal(codec, token).reason == "malformed"


def test_unknown_header_members_do_no_harm(codec: TokenCodec) -> None:
    assert codec.verify(sign({"a": 1}, cat="cl_B7d4PD111AAA", typ="at+jwt")) == {"a": 1}


def test_a_changed_payload_or_signature_is_refused(codec: TokenCodec) -> None:
    header, payload, signature = sign({"role": "anon"}).split(".")
    assert refusal(codec, f"{header}.{b64({'role': 'service_role'})}.{signature}").reason == "signature"
    assert refusal(codec, f"{header}.{payload}.{b64(b'0' * 32)}").reason == "signature"
    assert refusal(codec, f"{header}.{payload}.").reason == "signature"
    assert refusal(codec, f"{header}.{payload}.{signature[:-4]}").reason == "signature"


def test_another_secret_is_refused(codec: TokenCodec) -> None:
    problem = refusal(codec, sign({}, OctKey.import_key(OTHER)))
    assert (problem.message, problem.details) == (
        "No suitable key or wrong key type",
        "None of the keys was able to decode the JWT",
    )


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("", "Empty JWT is sent in Authorization header"),
        ("x", "Expected 3 parts in JWT; got 1"),
        ("a.b", "Expected 3 parts in JWT; got 2"),
        ("a.b.c.d.e", "Expected 3 parts in JWT; got 5"),
        ("a.b.c", "JWT cryptographic operation failed"),
        ("..", "JWT cryptographic operation failed"),
        ("é.é.é", "JWT cryptographic operation failed"),
        (f"{b64([1])}.{b64({})}.x", "JWT cryptographic operation failed"),
        (f"{b64(['alg'])}.{b64({})}.x", "JWT cryptographic operation failed"),
        (f"{b64('alg')}.{b64({})}.x", "JWT cryptographic operation failed"),
        (f"{b64(7)}.{b64({})}.x", "JWT cryptographic operation failed"),
        (f"{b64({})}.{b64({})}.x", "JWT cryptographic operation failed"),
        (f"{b64({'alg': 'HS256'})}.{'A' * 20_000}.x", "JWT cryptographic operation failed"),
        (f"{b64(b'[' * 300)}.{b64({})}.x", "JWT cryptographic operation failed"),
    ],
)
def test_what_is_no_token(codec: TokenCodec, token: str, message: str) -> None:
    problem = refusal(codec, token)
    assert (problem.message, problem.status) == (message, 401)
    assert problem.reason == "malformed"


@pytest.mark.parametrize("payload", [b"[]", b"7", b"null", b"\xff", b"{", b"[" * 5000])
def test_claims_must_be_an_object(codec: TokenCodec, payload: bytes) -> None:
    token = jws.serialize_compact({"alg": "HS256"}, payload, OctKey.import_key(SECRET))
    assert refusal(codec, token).message == "Parsing claims failed"


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({"exp": -31}, "JWT expired"),
        ({"nbf": +31}, "JWT not yet valid"),
        ({"iat": +31}, "JWT issued at future"),
        ({"exp": -29}, None),
        ({"nbf": +29}, None),
        ({"iat": +29}, None),
        ({"exp": 0.5}, None),
    ],
)
def test_clocks_may_be_thirty_seconds_off(
    codec: TokenCodec, monkeypatch: pytest.MonkeyPatch, claims: dict[str, float], message: str | None
) -> None:
    monkeypatch.setattr(clock, "unix_seconds", lambda: 1_800_000_000)
    token = sign({name: 1_800_000_000 + offset for name, offset in claims.items()})
    if message is None:
        codec.verify(token)
    else:
        assert refusal(codec, token).message == message


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("value", ["soon", "1800000000", True, [], {}])
def test_times_must_be_numbers(codec: TokenCodec, name: str, value: object) -> None:
    problem = refusal(codec, sign({name: value}))
    assert (problem.message, problem.reason) == (f"The JWT '{name}' claim must be a number", "claims")


@pytest.mark.parametrize(
    ("aud", "outcome"),
    [
        ("here", None),
        (["there", "here"], None),
        ([], None),
        (None, None),
        ("", "JWT not in audience"),
        ("there", "JWT not in audience"),
        (["there"], "JWT not in audience"),
        ({"here": 1}, "The JWT 'aud' claim must be a string or an array of strings"),
        (["here", 1], "The JWT 'aud' claim must be a string or an array of strings"),
    ],
)
def test_audience(aud: object, outcome: str | None) -> None:
    codec = TokenCodec(secret=SECRET, audience="here")
    token = sign({"aud": aud})
    if outcome is None:
        codec.verify(token)
    else:
        assert refusal(codec, token).message == outcome


@pytest.mark.parametrize(
    ("claims", "holds"),
    [
        ({"sub": "x", "iss": "https://here"}, True),
        ({"sub": "x", "iss": "https://partner"}, True),
        ({"sub": "x", "iss": "https://attacker"}, False),
        ({"sub": "x", "iss": ["https://here"]}, False),
        ({"sub": "x"}, False),
        ({"role": "anon", "iss": "supabase"}, True),
    ],
)
def test_issuer_of_users(claims: dict[str, Any], holds: bool) -> None:
    codec = TokenCodec(secret=SECRET, issuers=("https://here", "https://partner"))
    if holds:
        codec.verify(sign(claims))
    else:
        assert refusal(codec, sign(claims)).reason == "issuer"


def test_without_an_audience_of_our_own_any_will_do(codec: TokenCodec) -> None:
    assert codec.verify(sign({"aud": "elsewhere"})) == {"aud": "elsewhere"}


@pytest.mark.parametrize(("key", "alg"), [(RSA, "RS256"), (EC, "ES256"), (ED, "EdDSA")])
def test_the_first_private_key_signs_and_is_published(key: Any, alg: str) -> None:
    codec = TokenCodec(secret=SECRET, jwks=jwks(key, private=True))
    token = codec.sign({"sub": "x"})
    header = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
    assert header == {"alg": alg, "typ": "JWT", "kid": key.kid}
    assert codec.verify(token) == {"sub": "x"}
    (public,) = codec.public_keys()
    assert (public["kid"], public["alg"], public["use"]) == (key.kid, alg, "sig")
    assert not {"d", "p", "q", "k"} & public.keys()
    assert TokenCodec(secret=OTHER, jwks=json.dumps({"keys": [public]})).verify(token) == {"sub": "x"}


def test_the_secret_signs_otherwise_and_is_never_published(codec: TokenCodec) -> None:
    assert TokenCodec(secret=SECRET).verify(codec.sign({"a": 1})) == {"a": 1}
    assert codec.public_keys() == []  # the configured keys are public ones of somebody else


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '"x"',
        '{"keys": []}',
        '{"keys": 7}',
        '{"keys": [7]}',
        '{"kty": "oct"}',
        '{"kty": "banana"}',
        '{"kty": "oct", "k": 7}',
        '{"kty": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQ"}',
        json.dumps({"kty": "oct", "k": "c2Vj" * 16, "alg": "HS512"}),
        json.dumps({**RSA.as_dict(private=False), "alg": "HS256"}),
        json.dumps({**RSA.as_dict(private=False), "alg": "none"}),
        json.dumps(ECKey.generate_key("P-384").as_dict(private=False)),
        json.dumps(OKPKey.generate_key("X25519").as_dict(private=False)),
    ],
    ids=itertools.count(),
)
def test_key_sets_that_cannot_work_are_refused_at_the_start(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        TokenCodec(secret=SECRET, jwks=text)


def test_a_second_secret_in_the_key_set_is_accepted_and_not_published() -> None:
    key = OctKey.import_key({"kty": "oct", "kid": "old", "k": b64(OTHER.encode())})
    codec = TokenCodec(secret=SECRET, jwks=json.dumps(key.as_dict()))
    assert codec.verify(sign({"a": 1}, key)) == {"a": 1}
    assert codec.public_keys() == []
