"""``grant_type=id_token``: tokens that applications were given by providers themselves."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from tests.application import running_app
from tests.integration.auth.idp import CLIENT_ID, Idp, running_idp, settings_of
from tests.integration.auth.journeys import new_subject
from tests.integration.auth.people import V2, People
from tests.integration.auth.post import CONFIRMING, Post, new_email, running_post, signed_in

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from monohull.kernel.home import Connections

pytestmark = pytest.mark.asyncio(loop_scope="module")

NONCE = "a-nonce-of-the-application"
HASHED = hashlib.sha256(NONCE.encode()).hexdigest()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def provider() -> AsyncIterator[Idp]:
    async with running_idp() as idp:
        yield idp


@pytest.fixture(autouse=True)
def idp(provider: Idp) -> Idp:
    """The provider, honest again; somebody new comes next."""
    provider.be_honest()
    provider.becomes(new_subject(), new_email())
    return provider


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def people(shared_connections: Connections, provider: Idp) -> AsyncIterator[Post]:
    settings = settings_of(provider, "google", "apple", "github", "azure")
    settings |= {
        "auth_security_manual_linking_enabled": "true",
        "auth_external_apple_skip_nonce_check": "true",
    }
    async with running_post(shared_connections, **CONFIRMING, **settings) as post:
        yield post


async def test_a_session_for_an_id_token(people: Post, idp: Idp) -> None:
    token = idp.id_token(nonce=HASHED)
    answer = await people.grant("id_token", provider="google", id_token=token, nonce=NONCE)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    session = answer.json()
    assert session["user"]["email"] == idp.claims["email"]
    assert session["user"]["app_metadata"] == {"provider": "google", "providers": ["google"]}
    claims = await people.claims(session["access_token"])
    assert [amr["method"] for amr in claims["amr"]] == ["oauth"]
    again = await people.grant("id_token", provider="google", id_token=token, nonce=NONCE)
    assert again.json()["user"]["id"] == session["user"]["id"]


async def test_for_another_application_of_ours(people: Post, idp: Idp) -> None:
    idp.claims["aud"] = "ios-app"
    answer = await people.grant("id_token", provider="google", id_token=idp.id_token())
    assert answer.status_code == 200, answer.text


async def test_by_issuer_and_client(people: Post, idp: Idp) -> None:
    answer = await people.grant(
        "id_token", issuer=idp.url, client_id=CLIENT_ID, id_token=idp.id_token(), provider=""
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["user"]["app_metadata"]["provider"] in ("google", "apple")


async def test_an_access_token_that_belongs_to_it(people: Post, idp: Idp) -> None:
    digest = hashlib.sha256(b"at-1").digest()[:16]
    idp.claims["at_hash"] = urlsafe_b64encode(digest).rstrip(b"=").decode()
    token = idp.id_token()
    right = await people.grant("id_token", provider="google", id_token=token, access_token="at-1")
    assert right.status_code == 200, right.text
    wrong = await people.grant("id_token", provider="google", id_token=token, access_token="at-2")
    assert (wrong.status_code, wrong.json()["code"]) == (400, "validation_failed")
    assert wrong.json()["message"] == "ID token is not of this access token"


async def test_a_nonce_that_is_not_checked(people: Post, idp: Idp) -> None:
    answer = await people.grant("id_token", provider="apple", id_token=idp.id_token(nonce="whatever"))
    assert answer.status_code == 200, answer.text


async def test_an_address_that_is_not_verified(people: Post, idp: Idp) -> None:
    email = new_email()
    idp.becomes(new_subject(), email, email_verified=False)
    answer = await people.grant("id_token", provider="google", id_token=idp.id_token())
    assert (answer.status_code, answer.json()["code"]) == (422, "provider_email_needs_verification")
    await people.follow((await people.letter(email))["link"])
    again = await people.grant("id_token", provider="google", id_token=idp.id_token())
    assert again.json()["user"]["email"] == email


async def test_it_is_linked_to_who_asks(people: Post, idp: Idp) -> None:
    person = await signed_in(people)
    body: dict[str, Any] = {"provider": "google", "id_token": idp.id_token(), "link_identity": True}
    linked = await people.client.post(
        "/auth/v1/token?grant_type=id_token", json=body, headers={**person.bearer}
    )
    assert linked.status_code == 200, linked.text
    assert linked.json()["user"]["id"] == str(person.id)
    assert [row["provider"] for row in linked.json()["user"]["identities"]] == ["email", "google"]
    again = await people.client.post("/auth/v1/token?grant_type=id_token", json=body, headers=person.bearer)
    assert (again.status_code, again.json()["code"]) == (422, "identity_already_exists")
    other = await signed_in(people)
    taken = await people.client.post("/auth/v1/token?grant_type=id_token", json=body, headers=other.bearer)
    assert taken.json()["message"] == "Identity is already linked to another user"
    nobody = await people.client.post("/auth/v1/token?grant_type=id_token", json=body, headers=V2)
    assert (nobody.status_code, nobody.json()["code"]) == (403, "bad_jwt")


def expired(idp: Idp) -> dict[str, Any]:
    idp.claims["exp"] = 1
    return {}


def other_audience(idp: Idp) -> dict[str, Any]:
    idp.claims["aud"] = "somebody-else"
    return {}


def other_issuer(idp: Idp) -> dict[str, Any]:
    idp.claims["iss"] = "https://accounts.example.com"
    return {}


def unsigned(idp: Idp) -> dict[str, Any]:
    idp.header["alg"] = "none"
    return {}


def no_subject(idp: Idp) -> dict[str, Any]:
    idp.claims["sub"] = ""
    return {}


def token_has_nonce(idp: Idp) -> dict[str, Any]:
    idp.claims["nonce"] = HASHED
    return {}


def wrong_nonce(idp: Idp) -> dict[str, Any]:
    idp.claims["nonce"] = HASHED
    return {"nonce": "another"}


def plain_nonce(idp: Idp) -> dict[str, Any]:
    idp.claims["nonce"] = NONCE
    return {"nonce": NONCE}


def no_address(idp: Idp) -> dict[str, Any]:
    idp.claims["email"] = None
    return {}


EITHER = "Passed nonce and nonce in id_token should either both exist or not."
REFUSALS: list[tuple[str, Callable[[Idp], dict[str, Any]], str, str]] = [
    ("expired", expired, "validation_failed", "ID token has expired"),
    ("for another application", other_audience, "validation_failed", "Unacceptable audience in id_token"),
    ("of another issuer", other_issuer, "validation_failed", "Bad ID token"),
    ("unsigned", unsigned, "validation_failed", "Bad ID token"),
    ("about nobody", no_subject, "validation_failed", "Missing sub claim in id_token"),
    ("nonce in the token only", token_has_nonce, "validation_failed", EITHER),
    ("nonce outside only", lambda _: {"nonce": NONCE}, "validation_failed", EITHER),
    ("another nonce", wrong_nonce, "validation_failed", "Nonces mismatch"),
    ("a nonce that was not hashed", plain_nonce, "validation_failed", "Nonces mismatch"),
    ("no token", lambda _: {"id_token": ""}, "validation_failed", "id_token required"),
    ("no form of one", lambda _: {"id_token": "a.b"}, "validation_failed", "Bad ID token"),
    ("not ASCII", lambda _: {"id_token": "ä"}, "validation_failed", "Bad ID token"),
    ("too long", lambda _: {"id_token": "a" * 20_000}, "validation_failed", "Bad ID token"),
    (
        "no provider",
        lambda _: {"provider": None},
        "validation_failed",
        "provider or client_id and issuer required",
    ),
    (
        "unknown provider",
        lambda _: {"provider": "acme"},
        "validation_failed",
        'Custom OIDC provider "acme" not allowed',
    ),
    (
        "unknown custom provider",
        lambda _: {"provider": "custom:acme"},
        "validation_failed",
        'Custom OIDC provider "custom:acme" not allowed',
    ),
    (
        "without id tokens",
        lambda _: {"provider": "github"},
        "validation_failed",
        'Custom OIDC provider "github" not allowed',
    ),
    (
        "unknown issuer",
        lambda _: {"provider": None, "issuer": "https://x.example", "client_id": "y"},
        "validation_failed",
        'Custom OIDC provider "https://x.example" not allowed',
    ),
    ("switched off", lambda _: {"provider": "keycloak"}, "provider_disabled", "is not enabled"),
    (
        "another client",
        lambda _: {"client_id": "somebody-else"},
        "validation_failed",
        "Unacceptable audience in id_token",
    ),
    (
        "another issuer beside it",
        lambda _: {"issuer": "https://x.example"},
        "validation_failed",
        "The ID token is of another issuer",
    ),
    ("no address", no_address, "email_address_not_provided", "Error getting user email"),
]


@pytest.mark.parametrize(
    ("change", "code", "text"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS]
)
async def test_tokens_that_open_nothing(
    people: Post, idp: Idp, change: Callable[[Idp], dict[str, Any]], code: str, text: str
) -> None:
    given = change(idp)
    body = {"provider": "google", "id_token": idp.id_token(), **given}
    answer = await people.grant("id_token", **body)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert text in answer.json()["message"]


async def test_linking_is_off_unless_it_is_on(shared_connections: Connections, idp: Idp) -> None:
    async with running_app(shared_connections, **settings_of(idp, "google")) as served:
        people = People(served)
        person = await people.sign_up()
        answer = await people.client.post(
            "/auth/v1/token?grant_type=id_token",
            json={"provider": "google", "id_token": idp.id_token(), "link_identity": True},
            headers=person.bearer,
        )
        assert (answer.status_code, answer.json()["code"]) == (404, "manual_linking_disabled")
