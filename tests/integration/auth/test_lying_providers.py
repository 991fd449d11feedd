"""Providers that lie, fail or hang, and browsers that bring back what they were not given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit
from uuid import uuid4

import pytest
import pytest_asyncio

from modules.auth.providers import fetching
from monohull.kernel import clock
from monohull.kernel.outbound import OutboundLimits
from tests.application import running_app
from tests.integration.auth.idp import Idp, running_idp, settings_of
from tests.integration.auth.journeys import (
    BACK,
    PKCE,
    come_back,
    landing,
    leave,
    new_subject,
    refused,
    sign_in,
    travel,
    visit,
)
from tests.integration.auth.people import People
from tests.integration.auth.post import CONFIRMING, new_email

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from monohull.kernel.home import Connections

pytestmark = pytest.mark.asyncio(loop_scope="module")

SITE = "https://app.example.com"


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
async def people(shared_connections: Connections, provider: Idp) -> AsyncIterator[People]:
    settings = settings_of(provider, "google", "github", "keycloak")
    async with running_app(shared_connections, **CONFIRMING, **settings) as served:
        yield People(served)


def claim(**claims: Any) -> Callable[[Idp], None]:
    return lambda idp: idp.claims.update(claims)


def header(**values: Any) -> Callable[[Idp], None]:
    return lambda idp: idp.header.update(values)


def without_id_token(idp: Idp) -> None:
    idp.gives_id_token = False


LIES: dict[str, Callable[[Idp], None]] = {
    "another issuer": claim(iss="https://accounts.example.com"),
    "no issuer": claim(iss=None),
    "a nonce of somebody else": claim(nonce="x" * 43),
    "no nonce": claim(nonce=None),
    "a nonce that is no text": claim(nonce=7),
    "for another audience": claim(aud="somebody-else"),
    "for no audience": claim(aud=None),
    "for several, by a stranger": claim(aud=["client-of-monohull", "x"], azp="x"),
    "expired": claim(exp=1),
    "without an end": claim(exp=None),
    "an end that is no number": claim(exp="never"),
    "an end that is true": claim(exp=True),
    "not yet": claim(nbf=4_000_000_000),
    "from the future": claim(iat=4_000_000_000),
    "no subject": claim(sub=None),
    "a subject that is no text": claim(sub=7),
    "unsigned": header(alg="none"),
    "signed by the public key": Idp.confuse,
    "signed by a stranger": Idp.use_stranger,
    "of a key that is not published": header(kid="unknown"),
    "of another access token": claim(at_hash="x" * 22),
    "with a critical header": header(crit=["exp"], exp=1),
    "no id token": without_id_token,
}


@pytest.mark.parametrize("lie", list(LIES.values()), ids=list(LIES))
async def test_lies_about_who_came(people: People, idp: Idp, lie: Callable[[Idp], None]) -> None:
    lie(idp)
    before = await people.rows("select count(*) from auth.users")
    told = refused(await travel(people))
    assert (told["error"], told["error_code"]) == ("invalid_request", "validation_failed")
    assert await people.rows("select count(*) from auth.users") == before


async def test_a_key_that_is_new_is_read(people: People, idp: Idp, monkeypatch: pytest.MonkeyPatch) -> None:
    await sign_in(people)
    idp.use_curve()
    real = clock.monotonic_seconds
    monkeypatch.setattr(clock, "monotonic_seconds", lambda: real() + 31)
    await sign_in(people)


async def test_keys_are_not_read_for_every_token(people: People, idp: Idp) -> None:
    await sign_in(people)
    idp.header = {"kid": "made up"}
    before = idp.asked.count("GET /oauth2/v3/certs")
    for _ in range(3):
        refused(await travel(people))
    assert idp.asked.count("GET /oauth2/v3/certs") <= before + 1


async def test_keys_that_are_away_for_a_while(people: People, idp: Idp) -> None:
    await sign_in(people)
    published, idp.published = idp.published, [{"kty": "oct", "k": "c2VjcmV0", "kid": "one"}]
    await sign_in(people)  # remembered
    idp.published = published


async def test_a_shared_secret_among_the_keys_verifies_nothing(shared_connections: Connections) -> None:
    async with running_idp() as idp:
        idp.published = [{"kty": "oct", "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0", "kid": "one"}, {}]
        idp.becomes(new_subject(), new_email())
        async with running_app(shared_connections, **CONFIRMING, **settings_of(idp, "google")) as served:
            assert refused(await travel(People(served)))["error_code"] == "validation_failed"


REFUSED = ("invalid_request", "bad_oauth_callback")
FAILED = ("temporarily_unavailable", "unexpected_failure")
FAILURES: dict[str, tuple[int, bytes | None, tuple[str, str]]] = {
    "refuses": (400, None, REFUSED),
    "refuses with 200": (200, b'{"error": "bad_verification_code"}', REFUSED),
    "fails": (500, None, FAILED),
    "html": (200, b"<html>", FAILED),
    "deep": (200, b"[" * 5000, FAILED),
    "a list": (200, b"[]", REFUSED),
    "a number": (200, b'{"access_token": 7}', FAILED),
    "endless": (200, b'{"access_token": "' + b"x" * 600_000 + b'"}', FAILED),
}


@pytest.mark.parametrize("failure", list(FAILURES.values()), ids=list(FAILURES))
async def test_a_token_endpoint_that_fails(
    people: People, idp: Idp, failure: tuple[int, bytes | None, tuple[str, str]]
) -> None:
    idp.token_status, idp.token_body, expected = failure
    told = refused(await travel(people))
    assert (told["error"], told["error_code"]) == expected
    assert idp.url not in told["error_description"]


async def test_a_token_endpoint_that_hangs(people: People, idp: Idp, monkeypatch: pytest.MonkeyPatch) -> None:
    url = await visit(await leave(people))
    monkeypatch.setattr(fetching, "LIMITS", OutboundLimits(read_seconds=0.2, total_seconds=0.5))
    idp.hangs = True
    assert refused(await come_back(people, url))["error"] == "temporarily_unavailable"
    idp.hangs = False  # the state is spent all the same
    assert refused(await come_back(people, url))["error_code"] == "bad_oauth_state"


async def test_a_profile_that_names_nobody(people: People, idp: Idp) -> None:
    idp.documents = {"/api/v3/user": {"login": "ada"}, "/api/v3/user/emails": []}
    assert refused(await travel(people, "github"))["error_code"] == "unexpected_failure"
    idp.documents = {}
    assert refused(await travel(people, "github"))["error"] == "temporarily_unavailable"


async def test_a_realm_that_is_away(people: People) -> None:
    async with running_idp() as gone:
        settings = settings_of(gone, "keycloak")
    answer_settings = {**CONFIRMING, **settings}
    connections = people.served.runtime.connections
    async with running_app(connections, **answer_settings) as served:
        answer = await served.client.get("/auth/v1/authorize", params={"provider": "keycloak"})
        assert (answer.status_code, answer.json()["error_code"]) == (503, "unexpected_failure")


async def test_a_provider_on_our_network_is_not_asked(shared_connections: Connections, idp: Idp) -> None:
    settings = settings_of(idp, "google") | {"outbound_allowed": "10.1.2.3"}
    async with running_app(shared_connections, **CONFIRMING, **settings) as served:
        before = len(idp.asked)
        url = await visit(await leave(People(served)))
        told = refused(await come_back(People(served), url))
        assert told["error_code"] == "unexpected_failure"
        assert idp.asked[before:] == ["GET /o/oauth2/v2/auth"]


async def test_a_state_works_once(people: People) -> None:
    url = await visit(await leave(people))
    landing(await come_back(people, url))
    told = refused(await come_back(people, url))
    assert (told["error"], told["error_code"]) == ("invalid_request", "bad_oauth_state")
    assert told["error_description"] == "OAuth callback with invalid state"


async def test_a_state_is_for_ten_minutes(people: People) -> None:
    url = await visit(await leave(people))
    state = dict(parse_qsl(urlsplit(url).query))["state"]
    await people.execute(
        "update auth.flow_state set created_at = created_at - interval '11 minutes' where id = $1::uuid",
        state,
    )
    assert refused(await come_back(people, url))["error_code"] == "bad_oauth_state"


async def test_a_code_belongs_to_the_visit_that_it_was_given_for(people: People) -> None:
    """An attacker's code in a victim's callback: the provider compares the verifier, we the nonce."""
    attacker = dict(parse_qsl(urlsplit(await visit(await leave(people))).query))
    victim = dict(parse_qsl(urlsplit(await leave(people)).query))
    mixed = urlencode({"state": victim["state"], "code": attacker["code"]})
    told = refused(await people.client.get(f"/auth/v1/callback?{mixed}"))
    assert told["error_code"] == "bad_oauth_callback"


async def test_the_answer_of_another_issuer(people: People) -> None:
    url = await visit(await leave(people))
    told = refused(await come_back(people, f"{url}&iss=https%3A%2F%2Fevil.example"))
    assert told["error_code"] == "bad_oauth_callback"


CALLBACKS: list[tuple[str, str, str, str]] = [
    ("nothing", "", "bad_oauth_callback", "OAuth state parameter missing"),
    ("no state", "code=x", "bad_oauth_callback", "OAuth state parameter missing"),
    ("unknown state", f"code=x&state={uuid4()}", "bad_oauth_state", "OAuth callback with invalid state"),
    ("malformed state", "code=x&state=%00%ff", "bad_oauth_state", "OAuth callback with invalid state"),
]


@pytest.mark.parametrize(
    ("query", "code", "text"), [row[1:] for row in CALLBACKS], ids=[row[0] for row in CALLBACKS]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_callbacks_without_a_visit(
    people: People, method: str, query: str, code: str, text: str
) -> None:
    if method == "GET":
        answer = await people.client.get(f"/auth/v1/callback?{query}")
    else:
        form = {"content-type": "application/x-www-form-urlencoded"}
        answer = await people.client.post("/auth/v1/callback", content=query, headers=form)
    assert answer.status_code == (302 if method == "GET" else 303)
    parts = urlsplit(answer.headers["location"])
    assert f"{parts.scheme}://{parts.netloc}" == SITE
    told = dict(parse_qsl(parts.fragment))
    assert (told["error"], told["error_code"], told["error_description"]) == ("invalid_request", code, text)
    assert "sb=" in parts.fragment
    assert parts.query == parts.fragment


async def test_no_code(people: People) -> None:
    state = dict(parse_qsl(urlsplit(await leave(people)).query))["state"]
    base, _, told = landing(await people.client.get(f"/auth/v1/callback?state={state}"))
    assert (base, told["error_code"]) == (BACK, "bad_oauth_callback")


async def test_the_person_says_no(people: People, idp: Idp) -> None:
    idp.refuses = "access_denied"
    told = refused(await travel(people, **PKCE))
    assert (told["error"], told["error_description"]) == ("access_denied", "The person said no")
    assert told["error_code"] == "bad_oauth_callback"


async def test_the_state_of_a_mail_is_no_state(people: People) -> None:
    email = new_email()
    body = {"email": email, "password": "correct-horse-1", **PKCE}
    answer = await people.client.post("/auth/v1/signup", json=body)
    assert answer.status_code == 200, answer.text
    (row,) = await people.rows("select id from auth.flow_state where user_id = $1::uuid", answer.json()["id"])
    told = refused(await people.client.get(f"/auth/v1/callback?code=x&state={row['id']}"))
    assert told["error_code"] == "bad_oauth_state"
