"""Identities that people add and remove themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from tests.application import running_app, service_key
from tests.integration.auth.idp import Idp, running_idp, settings_of
from tests.integration.auth.journeys import (
    BACK,
    PKCE,
    VERIFIER,
    come_back,
    landing,
    new_subject,
    refused,
    sign_in,
    travel,
    user_of,
    visit,
)
from tests.integration.auth.people import V2, People
from tests.integration.auth.post import CONFIRMING, Post, new_email, running_post, signed_in
from tests.patience import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    import httpx

    from monohull.kernel.home import Connections
    from tests.integration.auth.people import Person

pytestmark = pytest.mark.asyncio(loop_scope="module")


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
    settings = settings_of(provider, "google", "apple")
    settings |= {"auth_security_manual_linking_enabled": "true"}
    async with running_post(shared_connections, **CONFIRMING, **settings) as post:
        yield post


async def ask(people: People, bearer: Mapping[str, str], **query: str) -> httpx.Response:
    wanted = {"provider": "google", "redirect_to": BACK, "skip_http_redirect": "true", **query}
    return await people.client.get("/auth/v1/user/identities/authorize", params=wanted, headers=dict(bearer))


async def link(people: People, bearer: Mapping[str, str], **query: str) -> httpx.Response:
    """Add whoever comes next at the provider; return where the browser ends."""
    answer = await ask(people, bearer, **query)
    assert answer.status_code == 200, answer.text
    return await come_back(people, await visit(answer.json()["url"]))


async def unlink(people: People, bearer: Mapping[str, str], identity_id: object) -> httpx.Response:
    return await people.client.delete(f"/auth/v1/user/identities/{identity_id}", headers=dict(bearer))


async def identities(people: People, person: Person) -> dict[str, Mapping[str, Any]]:
    user = await user_of(people, person.tokens["access_token"])
    return {row["provider"]: row for row in user["identities"]}


async def test_somebody_adds_an_identity(people: Post, idp: Idp) -> None:
    person = await signed_in(people)
    other = new_email()
    idp.becomes(new_subject(), other, email_verified=False)  # whose address it is does not matter here
    base, _, fragment = landing(await link(people, person.bearer))
    assert base == BACK
    user = await user_of(people, fragment["access_token"])
    assert (user["id"], user["email"]) == (str(person.id), person.email)
    assert user["app_metadata"] == {"provider": "email", "providers": ["email", "google"]}
    assert {row["email"] for row in user["identities"]} == {person.email, other}
    assert "auth.identity_linked" in await people.events(person.id)
    assert (await people.letter(person.email, number=2))["template"] == "identity_linked_notification"
    assert (await sign_in(people))["id"] == str(person.id)


async def test_by_a_redirect_and_a_code(people: Post) -> None:
    person = await signed_in(people)
    answer = await ask(people, person.bearer, skip_http_redirect="false", **PKCE)
    assert answer.status_code == 302
    _, query, _ = landing(await come_back(people, await visit(answer.headers["location"])))
    session = (await people.grant("pkce", auth_code=query["code"], code_verifier=VERIFIER)).json()
    assert session["user"]["id"] == str(person.id)
    assert session["provider_token"] == "at-1"


async def test_an_anonymous_user_becomes_somebody(people: Post, idp: Idp) -> None:
    session = (await people.call("POST", "/signup", data={"cart": 1})).json()
    _, _, fragment = landing(await link(people, {"Authorization": f"Bearer {session['access_token']}"}))
    user = await user_of(people, fragment["access_token"])
    assert (user["id"], user["is_anonymous"]) == (session["user"]["id"], False)
    assert (user["email"], user["user_metadata"]["cart"]) == (idp.claims["email"], 1)
    assert user["email_confirmed_at"] is not None
    assert user["app_metadata"] == {"provider": "google", "providers": ["google"]}
    assert "auth.user_converted" in await people.events(UUID(user["id"]))


async def test_an_anonymous_user_does_not_get_a_strangers_address(people: Post, idp: Idp) -> None:
    owner = await signed_in(people)
    session = (await people.call("POST", "/signup")).json()
    idp.becomes(new_subject(), owner.email)
    told = refused(await link(people, {"Authorization": f"Bearer {session['access_token']}"}))
    assert told["error_code"] == "email_exists"


async def test_an_identity_is_one_persons(people: Post) -> None:
    person = await signed_in(people)
    landing(await link(people, person.bearer))
    again = refused(await link(people, person.bearer))
    assert (again["error_code"], again["error_description"]) == (
        "identity_already_exists",
        "Identity is already linked",
    )
    other = await signed_in(people)
    taken = refused(await link(people, other.bearer))
    assert taken["error_description"] == "Identity is already linked to another user"


async def test_who_is_banned_meanwhile_gets_nothing(people: Post) -> None:
    person = await signed_in(people)
    url = (await ask(people, person.bearer)).json()["url"]
    await people.execute(
        "update auth.users set banned_until = now() + interval '1 day' where id = $1", person.id
    )
    assert refused(await come_back(people, await visit(url)))["error_code"] == "user_banned"


async def test_who_is_gone_meanwhile(people: Post) -> None:
    person = await signed_in(people)
    url = (await ask(people, person.bearer)).json()["url"]
    await people.execute("delete from auth.users where id = $1", person.id)
    assert refused(await come_back(people, await visit(url)))["error_code"] == "bad_oauth_state"


async def test_somebody_removes_an_identity(people: Post, idp: Idp) -> None:
    person = await signed_in(people)
    landing(await link(people, person.bearer))
    added = (await identities(people, person))["google"]
    answer = await unlink(people, person.bearer, added["identity_id"])
    assert (answer.status_code, answer.json()) == (200, {})
    user = await user_of(people, person.tokens["access_token"])
    assert user["app_metadata"] == {"provider": "email", "providers": ["email"]}
    assert "auth.identity_unlinked" in await people.events(person.id)
    letter = await people.letter(person.email, number=3)
    assert letter["template"] == "identity_unlinked_notification"
    assert (await sign_in(people))["id"] != str(person.id)
    assert idp.claims["email"] != person.email


async def test_without_its_first_identity_an_account_has_the_others_address(people: Post, idp: Idp) -> None:
    person = await signed_in(people)
    landing(await link(people, person.bearer))
    first = (await identities(people, person))["email"]
    assert (await unlink(people, person.bearer, first["identity_id"])).status_code == 200
    user = await user_of(people, person.tokens["access_token"])
    assert user["email"] == idp.claims["email"]
    assert user["app_metadata"] == {"provider": "google", "providers": ["google"]}
    for email in (person.email, user["email"]):  # the password went with the identity
        refusal = await people.grant("password", email=email, password="correct-horse")
        assert (refusal.status_code, refusal.json()["code"]) == (400, "invalid_credentials")


async def test_the_others_address_may_be_taken(people: Post, idp: Idp) -> None:
    person, owner = await signed_in(people), await signed_in(people)
    idp.becomes(new_subject(), owner.email)
    landing(await link(people, person.bearer))
    first = (await identities(people, person))["email"]
    answer = await unlink(people, person.bearer, first["identity_id"])
    assert (answer.status_code, answer.json()["code"]) == (422, "email_conflict_identity_not_deletable")
    assert (await people.sign_in(person.email)).id == person.id


async def test_what_cannot_be_removed(people: Post) -> None:
    person, other = await signed_in(people), await signed_in(people)
    only = (await identities(people, person))["email"]["identity_id"]
    table: list[tuple[object, int, str, str]] = [
        (only, 422, "single_identity_not_deletable", "User must have at least 1 identity after unlinking"),
        ("no-uuid", 404, "validation_failed", "identity_id must be an UUID"),
    ]
    for identity_id, status, code, text in table:
        answer = await unlink(people, person.bearer, identity_id)
        assert (answer.status_code, *answer.json().values()) == (status, code, text)
    landing(await link(people, person.bearer))
    foreign = (await identities(people, other))["email"]["identity_id"]
    for identity_id in (uuid4(), foreign):
        answer = await unlink(people, person.bearer, identity_id)
        assert (answer.status_code, *answer.json().values()) == (
            422,
            "identity_not_found",
            "Identity doesn't exist",
        )


async def test_who_may_ask(people: Post) -> None:
    for bearer, status, code in (
        ({}, 401, "no_authorization"),
        ({"Authorization": "Bearer x"}, 403, "bad_jwt"),
        ({"Authorization": f"Bearer {service_key()}"}, 403, "bad_jwt"),
    ):
        for answer in (
            await ask(people, {**V2, **bearer}),
            await unlink(people, {**V2, **bearer}, uuid4()),
        ):
            assert (answer.status_code, answer.json()["code"]) == (status, code)
    person = await signed_in(people)
    answer = await ask(people, person.bearer, provider="github")
    assert (answer.status_code, answer.json()["code"]) == (400, "validation_failed")


async def test_a_second_factor_is_needed_where_there_is_one(people: Post) -> None:
    person = await signed_in(people)
    await people.execute(
        "insert into auth.mfa_factors (user_id, factor_type, status) values ($1, 'totp', 'verified')",
        person.id,
    )
    for answer in (await ask(people, person.bearer), await unlink(people, person.bearer, uuid4())):
        assert (answer.status_code, answer.json()["code"]) == (401, "insufficient_aal")


async def test_who_is_managed_by_an_organisation(people: Post) -> None:
    person = await signed_in(people)
    await people.execute("update auth.users set is_sso_user = true where id = $1", person.id)
    answer = await ask(people, person.bearer)
    assert (answer.status_code, answer.json()["code"]) == (422, "user_sso_managed")


async def test_linking_is_off_unless_it_is_on(shared_connections: Connections, idp: Idp) -> None:
    async with running_app(shared_connections, **settings_of(idp, "google")) as served:
        people = People(served)
        person = await people.sign_up()
        for answer in (await ask(people, person.bearer), await unlink(people, person.bearer, uuid4())):
            assert (answer.status_code, answer.json()["code"]) == (404, "manual_linking_disabled")


async def test_the_log_names_what_happened(people: Post) -> None:
    person = await signed_in(people)
    landing(await link(people, person.bearer))
    await people.letter(person.email, number=2)
    headers = {"Authorization": f"Bearer {service_key()}"}

    async def look() -> list[Any]:
        answer = await people.client.get("/auth/v1/admin/audit?query=identity_linked", headers=headers)
        return [entry for entry in answer.json() if entry["payload"]["actor_id"] == str(person.id)]

    found = await eventually(look)
    assert found[0]["payload"]["traits"]["provider"] == "google"


async def test_sign_in_and_link_are_different_visits(people: Post) -> None:
    """The identity of a sign-in finds its own account, whoever is signed in beside it."""
    await signed_in(people)
    _, _, fragment = landing(await travel(people))
    user = await user_of(people, fragment["access_token"])
    assert [row["provider"] for row in user["identities"]] == ["google"]
