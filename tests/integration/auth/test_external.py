"""Sign-in with providers over the wire: there and back, linking, confirmation, invitations."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from tests.application import running_app, service_key
from tests.factories.auth import PASSWORD
from tests.integration.auth.idp import CLIENT_ID, Idp, running_idp, settings_of
from tests.integration.auth.journeys import (
    BACK,
    PKCE,
    VERIFIER,
    come_back,
    landing,
    leave,
    new_subject,
    refused,
    sign_in,
    travel,
    user_of,
    visit,
)
from tests.integration.auth.people import V2
from tests.integration.auth.post import CONFIRMING, Post, new_email, running_post, signed_in

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from monohull.kernel.home import Connections

pytestmark = pytest.mark.asyncio(loop_scope="module")

SITE = "https://app.example.com"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def provider() -> AsyncIterator[Idp]:
    async with running_idp() as idp:
        yield idp


@pytest.fixture
def idp(provider: Idp) -> Idp:
    """The provider, honest again."""
    provider.be_honest()
    return provider


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def people(shared_connections: Connections, provider: Idp) -> AsyncIterator[Post]:
    settings = settings_of(provider, "google", "apple", "keycloak", "spotify")
    async with running_post(shared_connections, **CONFIRMING, **settings) as post:
        yield post


async def test_somebody_new_comes(people: Post, idp: Idp) -> None:
    subject, email = new_subject(), new_email()
    idp.becomes(subject, email.upper(), picture="https://example.com/ada.png")
    base, query, fragment = landing(await travel(people))
    assert (base, query) == (BACK, {})
    assert set(fragment) == {
        "access_token",
        "expires_at",
        "expires_in",
        "provider_refresh_token",
        "provider_token",
        "refresh_token",
        "sb",
        "token_type",
    }
    assert (fragment["provider_token"], fragment["provider_refresh_token"]) == ("at-1", "rt-1")
    user = await user_of(people, fragment["access_token"])
    assert user["email"] == email
    assert user["email_confirmed_at"] is not None
    assert user["app_metadata"] == {"provider": "google", "providers": ["google"]}
    (identity,) = user["identities"]
    assert (identity["provider"], identity["id"], identity["email"]) == ("google", subject, email)
    assert identity["identity_data"] == {
        "iss": idp.url,
        "sub": subject,
        "provider_id": subject,
        "email": email,
        "email_verified": True,
        "phone_verified": False,
        "name": "Ada",
        "full_name": "Ada",
        "avatar_url": "https://example.com/ada.png",
        "picture": "https://example.com/ada.png",
    }
    assert user["user_metadata"] == identity["identity_data"]
    claims = await people.claims(fragment["access_token"])
    assert [amr["method"] for amr in claims["amr"]] == ["oauth"]
    assert await people.events(UUID(user["id"])) == [
        "auth.user_signed_up",
        "auth.email_confirmed",
        "auth.user_signed_in",
    ]


async def test_the_same_person_comes_again(people: Post, idp: Idp) -> None:
    subject, email = new_subject(), new_email()
    idp.becomes(subject, email)
    first = await sign_in(people)
    idp.becomes(subject, new_email(), name="Ada Lovelace")
    again = await sign_in(people)
    assert (again["id"], again["email"]) == (first["id"], email)
    assert again["user_metadata"]["name"] == "Ada Lovelace"
    assert len(again["identities"]) == 1


async def test_what_the_browser_carries(people: Post, idp: Idp) -> None:
    url = urlsplit(
        await leave(
            people, scopes="https://example.com/calendar", prompt="consent", client_id="mine", state="x"
        )
    )
    query = dict(parse_qsl(url.query))
    assert f"{url.scheme}://{url.netloc}{url.path}" == f"{idp.url}/o/oauth2/v2/auth"
    assert str(UUID(query.pop("state")))
    assert len(query.pop("nonce")) >= 32
    assert len(query.pop("code_challenge")) == 43
    assert query == {
        "client_id": CLIENT_ID,
        "redirect_uri": "http://127.0.0.1:8000/auth/v1/callback",
        "response_type": "code",
        "scope": "openid email profile https://example.com/calendar",
        "code_challenge_method": "S256",
        "prompt": "consent",
    }


async def test_a_code_for_who_knows_the_verifier(people: Post, idp: Idp) -> None:
    idp.becomes(new_subject(), new_email())
    base, query, fragment = landing(await travel(people, **PKCE))
    assert (base, set(query), fragment) == (BACK, {"code"}, {})
    rows = await people.rows(
        "select provider_access_token, auth_code from auth.flow_state where user_id is not null"
    )
    assert all("at-1" not in str(dict(row)) and query["code"] not in str(dict(row)) for row in rows)
    wrong = await people.grant("pkce", auth_code=query["code"], code_verifier="w" * 64)
    assert (wrong.status_code, wrong.json()["code"]) == (400, "bad_code_verifier")
    session = (await people.grant("pkce", auth_code=query["code"], code_verifier=VERIFIER)).json()
    assert (session["provider_token"], session["provider_refresh_token"]) == ("at-1", "rt-1")
    assert session["user"]["app_metadata"]["provider"] == "google"
    again = await people.grant("pkce", auth_code=query["code"], code_verifier=VERIFIER)
    assert (again.status_code, again.json()["code"]) == (404, "flow_state_not_found")


async def test_provider_tokens_are_in_no_other_answer(people: Post) -> None:
    person = await signed_in(people)
    assert not {"provider_token", "provider_refresh_token"} & set(person.tokens)


async def test_a_verified_address_finds_its_verified_account(people: Post, idp: Idp) -> None:
    person = await signed_in(people)
    subject = new_subject()
    idp.becomes(subject, person.email)
    user = await sign_in(people)
    assert user["id"] == str(person.id)
    assert user["app_metadata"] == {"provider": "email", "providers": ["email", "google"]}
    assert [row["provider"] for row in user["identities"]] == ["email", "google"]
    assert "auth.identity_linked" in await people.events(person.id)
    letter = await people.letter(person.email, number=2)
    assert letter["template"] == "identity_linked_notification"
    assert "google" in letter["text"]
    assert (await people.sign_in(person.email)).id == person.id  # the password holds


async def test_an_unverified_address_finds_nobody_and_tells_nothing(people: Post, idp: Idp) -> None:
    person = await signed_in(people)
    idp.becomes(new_subject(), person.email, email_verified=False)
    taken = refused(await travel(people))
    idp.becomes(new_subject(), new_email(), email_verified=False)
    free = refused(await travel(people))
    assert taken == free
    assert taken["error_code"] == "provider_email_needs_verification"
    assert taken["error"] == "access_denied"
    user = await user_of(people, person.tokens["access_token"])
    assert [row["provider"] for row in user["identities"]] == ["email"]


async def test_an_unverified_address_is_confirmed_by_mail(people: Post, idp: Idp) -> None:
    email = new_email()
    idp.becomes(new_subject(), email, email_verified=False)
    assert refused(await travel(people))["error_code"] == "provider_email_needs_verification"
    letter = await people.letter(email)
    assert letter["template"] == "confirmation"
    assert (await people.follow(letter["link"])).status_code == 303
    user = await sign_in(people)
    assert user["email"] == email
    assert [row["provider"] for row in user["identities"]] == ["google"]
    assert user["app_metadata"]["providers"] == ["google"]


async def test_who_proves_an_address_gets_nothing_of_the_stranger_who_took_it(people: Post, idp: Idp) -> None:
    email = new_email()
    stranger = await people.call(
        "POST", "/signup", email=email, password=PASSWORD, data={"planted": "by the stranger"}
    )
    link = (await people.letter(email))["link"]
    idp.becomes(new_subject(), email)
    user = await sign_in(people)
    assert user["id"] == stranger.json()["id"]
    assert "planted" not in user["user_metadata"]
    assert [row["provider"] for row in user["identities"]] == ["google"]
    refusal = await people.grant("password", email=email, password=PASSWORD)
    assert (refusal.status_code, refusal.json()["code"]) == (400, "invalid_credentials")
    assert "otp_expired" in (await people.follow(link)).headers["location"]


async def test_an_account_with_a_proven_number_is_not_taken_over(people: Post, idp: Idp) -> None:
    email = new_email()
    await people.call("POST", "/signup", email=email, password=PASSWORD)
    await people.execute("update auth.users set phone_confirmed_at = now() where email = $1", email)
    idp.becomes(new_subject(), email)
    assert refused(await travel(people))["error_code"] == "email_exists"


async def test_the_banned_do_not_come_in(people: Post, idp: Idp) -> None:
    person = await signed_in(people)
    idp.becomes(new_subject(), person.email)
    await people.execute(
        "update auth.users set banned_until = now() + interval '1 day' where id = $1", person.id
    )
    for _ in ("unlinked", "still unlinked"):
        told = refused(await travel(people))
        assert (told["error"], told["error_code"]) == ("access_denied", "user_banned")
    await people.execute("update auth.users set banned_until = null where id = $1", person.id)
    await sign_in(people)
    await people.execute(
        "update auth.users set banned_until = now() + interval '1 day' where id = $1", person.id
    )
    assert refused(await travel(people))["error_code"] == "user_banned"


async def test_no_address_at_all(people: Post, idp: Idp) -> None:
    idp.becomes(new_subject(), None)
    assert refused(await travel(people))["error_code"] == "email_address_not_provided"


async def test_an_address_may_be_optional(shared_connections: Connections, idp: Idp) -> None:

    settings = settings_of(idp, "google") | {"auth_external_google_email_optional": "true"}
    async with running_app(shared_connections, **settings) as served:
        people = Post(served)
        idp.becomes(new_subject(), None)
        user = await sign_in(people)
        assert (user["email"], user["is_anonymous"]) == ("", False)
        assert (await sign_in(people))["id"] == user["id"]


async def test_sign_up_disabled(shared_connections: Connections, people: Post, idp: Idp) -> None:

    settings = settings_of(idp, "google") | {"auth_disable_signup": "true"}
    async with running_app(shared_connections, **settings) as served:
        closed = Post(served)
        idp.becomes(new_subject(), new_email())
        told = refused(await travel(closed))
        assert (told["error"], told["error_code"]) == ("access_denied", "signup_disabled")
        known = await sign_in(people)  # the other application takes them
        assert (await sign_in(closed))["id"] == known["id"]


async def test_an_invitation_is_accepted_by_a_provider(
    people: Post, idp: Idp, service: dict[str, str]
) -> None:
    email = new_email()
    link = await people.call("POST", "/admin/generate_link", headers=service, type="invite", email=email)
    token = link.json()["hashed_token"]
    idp.becomes(new_subject(), new_email())
    wrong = refused(await travel(people, invite_token=token))
    assert (wrong["error_code"], wrong["error"]) == ("validation_failed", "invalid_request")
    idp.becomes(new_subject(), email, email_verified=False)  # the token proves the mailbox
    user = await sign_in(people, invite_token=token)
    assert user["email"] == email
    assert [row["provider"] for row in user["identities"]] == ["email", "google"]
    assert "auth.invitation_accepted" in await people.events(UUID(user["id"]))
    rows = await people.rows("select 1 from auth.flow_state where invite_token = $1", token)
    assert rows == []
    spent = await people.client.get(
        "/auth/v1/authorize", params={"provider": "google", "invite_token": token}, headers=V2
    )
    assert (spent.status_code, spent.json()["code"]) == (404, "user_not_found")


async def test_an_invitation_that_was_spent_meanwhile(
    people: Post, idp: Idp, service: dict[str, str]
) -> None:
    email = new_email()
    link = await people.call("POST", "/admin/generate_link", headers=service, type="invite", email=email)
    url = await leave(people, invite_token=link.json()["hashed_token"])
    await people.follow(link.json()["action_link"])
    idp.becomes(new_subject(), email)
    assert refused(await come_back(people, await visit(url)))["error_code"] == "invite_not_found"


@pytest.fixture
def service() -> dict[str, str]:
    return {"Authorization": f"Bearer {service_key()}"}


async def test_apple_posts_a_form_and_tells_the_name_once(people: Post, idp: Idp) -> None:
    idp.becomes(new_subject(), new_email(), name=None, email_verified="true")
    url = await leave(people, "apple")
    assert dict(parse_qsl(urlsplit(url).query))["response_mode"] == "form_post"
    values = dict(parse_qsl(urlsplit(await visit(url)).query))
    user = '{"name": {"firstName": "Ada", "lastName": "Lovelace"}, "email": "nobody@example.com"}'
    answer = await people.client.post(
        "/auth/v1/callback", data={**values, "user": user}, headers={"Origin": "https://appleid.apple.com"}
    )
    assert answer.status_code == 303, answer.text
    fragment = dict(parse_qsl(urlsplit(answer.headers["location"]).fragment))
    found = await user_of(people, fragment["access_token"])
    assert found["user_metadata"]["full_name"] == "Ada Lovelace"
    assert found["email"] == idp.claims["email"]


async def test_a_realm_is_found_by_its_discovery_document(people: Post, idp: Idp) -> None:
    idp.becomes(new_subject(), new_email(), preferred_username="ada")
    user = await sign_in(people, "keycloak")
    assert user["user_metadata"]["user_name"] == "ada"
    assert user["app_metadata"]["provider"] == "keycloak"


async def test_two_browsers_of_one_person_at_once(people: Post, idp: Idp) -> None:
    idp.becomes(new_subject(), new_email())
    answers = await asyncio.gather(*(travel(people) for _ in range(4)))
    tokens = [landing(answer)[2]["access_token"] for answer in answers]
    users = [await user_of(people, token) for token in tokens]
    assert len({user["id"] for user in users}) == 1
    assert len(users[0]["identities"]) == 1


REFUSED_REQUESTS: list[tuple[str, dict[str, str], int, str, str]] = [
    ("no provider", {}, 400, "validation_failed", "Unsupported provider: Provider  could not be found"),
    ("unknown", {"provider": "nobody"}, 400, "validation_failed", "could not be found"),
    ("switched off", {"provider": "github"}, 400, "validation_failed", "provider is not enabled"),
    ("not configured", {"provider": "custom:none"}, 400, "validation_failed", "provider is not enabled"),
    (
        "half a challenge",
        {"provider": "google", "code_challenge": "x" * 43},
        400,
        "validation_failed",
        "PKCE",
    ),
    ("invitation", {"provider": "google", "invite_token": "x"}, 404, "user_not_found", "identified by token"),
]


@pytest.mark.parametrize(
    ("query", "status", "code", "text"),
    [row[1:] for row in REFUSED_REQUESTS],
    ids=[row[0] for row in REFUSED_REQUESTS],
)
async def test_requests_that_lead_nowhere(
    people: Post, query: dict[str, str], status: int, code: str, text: str
) -> None:
    answer = await people.client.get("/auth/v1/authorize", params=query, headers=V2)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert text in answer.json()["message"]


async def test_a_foreign_address_is_not_where_it_ends(people: Post, idp: Idp) -> None:
    idp.becomes(new_subject(), new_email())
    base, _, _ = landing(await travel(people, redirect_to="https://evil.example.net/steal"))
    assert base == SITE


async def test_settings_name_who_is_on(people: Post) -> None:
    external: dict[str, Any] = (await people.client.get("/auth/v1/settings")).json()["external"]
    on = {name for name, is_on in external.items() if is_on}
    assert {"google", "apple", "keycloak", "spotify"} <= on
    assert "github" not in on


async def test_requests_are_limited(shared_connections: Connections, idp: Idp) -> None:

    settings = settings_of(idp, "google") | {"auth_rate_limit_external": "1"}
    async with running_app(shared_connections, **settings) as served:
        await served.runtime.redis.flushdb()
        statuses = [
            (await served.client.get("/auth/v1/callback", params={"state": str(uuid4())})).status_code
            for _ in range(3)
        ]
        assert statuses[0] == 302
        assert statuses[-1] == 429


async def test_the_link_of_a_confirmation_ends_with_a_code_where_the_sign_in_would(
    people: Post, idp: Idp
) -> None:
    email = new_email()
    idp.becomes(new_subject(), email, email_verified=False)
    assert refused(await travel(people, **PKCE))["error_code"] == "provider_email_needs_verification"
    answer = await people.follow((await people.letter(email))["link"])
    code = dict(parse_qsl(urlsplit(answer.headers["location"]).query))["code"]
    session = (await people.grant("pkce", auth_code=code, code_verifier=VERIFIER)).json()
    assert session["user"]["email"] == email


async def test_trusting_addresses_makes_accounts_and_joins_none(
    shared_connections: Connections, people: Post, idp: Idp
) -> None:
    settings = settings_of(idp, "google") | {"auth_mailer_autoconfirm": "true"}
    owner = await signed_in(people)
    async with running_app(shared_connections, **settings) as served:
        trusting = Post(served)
        idp.becomes(new_subject(), new_email(), email_verified=False)
        assert (await sign_in(trusting))["email"] == idp.claims["email"]
        idp.becomes(new_subject(), owner.email, email_verified=False)
        assert refused(await travel(trusting))["error_code"] == "provider_email_needs_verification"


async def test_the_project_may_refuse_who_comes(shared_connections: Connections, idp: Idp) -> None:
    hook = {"auth_hook_before_user_created_uri": "python://tests.integration.auth.hook_functions/only_ada"}
    async with running_app(shared_connections, **settings_of(idp, "google"), **hook) as served:
        people = Post(served)
        idp.becomes(new_subject(), new_email())
        told = refused(await travel(people))
        assert (told["error"], told["error_code"], told["error_description"]) == (
            "access_denied",
            "hook_rejected",
            "only Ada",
        )
        idp.becomes(new_subject(), f"ada.{uuid4().hex}@example.com")
        assert (await sign_in(people))["user_metadata"]["name"] == "Ada"
