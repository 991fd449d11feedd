"""Addresses that nobody may sign up with, and such as no mail goes to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
import pytest_asyncio

from tests.application import service_key
from tests.factories.auth import PASSWORD
from tests.integration.auth.idp import Idp, running_idp, settings_of
from tests.integration.auth.journeys import new_subject, refused, travel
from tests.integration.auth.post import CONFIRMING, Post, new_email, running_post, signed_in

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from monohull.kernel.home import Connections

pytestmark = pytest.mark.asyncio(loop_scope="module")

SERVICE = {"Authorization": f"Bearer {service_key()}"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def idp() -> AsyncIterator[Idp]:
    async with running_idp() as idp:
        yield idp


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def post(shared_connections: Connections, idp: Idp) -> AsyncIterator[Post]:
    """An application that takes no address of one domain, and writes to those of another only."""
    settings = {
        **CONFIRMING,
        **settings_of(idp, "google"),
        "auth_external_email_blocked_domains": "throwaway.test,Rubbish.example.net",
        "auth_external_email_authorized_addresses": "@example.com,one@elsewhere.test,@throwaway.test",
    }
    async with running_post(shared_connections, **settings) as post:
        yield post


@pytest.mark.parametrize("domain", ["throwaway.test", "mail.throwaway.test", "RUBBISH.example.net"])
@pytest.mark.parametrize(
    ("path", "body"),
    [("/signup", {"password": PASSWORD}), ("/otp", {}), ("/magiclink", {})],
)
async def test_blocked_domains_get_no_account(
    post: Post, domain: str, path: str, body: dict[str, Any]
) -> None:
    email = f"{uuid4().hex}@{domain}"
    answer = await post.call("POST", path, email=email, **body)
    assert (answer.status_code, answer.json()["code"]) == (400, "email_address_invalid")
    assert answer.json()["message"] == f'Email address "{email.lower()}" is invalid'
    assert not await post.rows("select from auth.users where email = $1", email.lower())


async def test_similar_domains_are_not_blocked(post: Post) -> None:
    answer = await post.call("POST", "/otp", email="one@elsewhere.test")
    assert answer.status_code == 200, answer.text


async def test_nobody_moves_to_a_blocked_domain(post: Post) -> None:
    person = await signed_in(post)
    answer = await post.call("PUT", "/user", person.bearer, email=f"{uuid4().hex}@throwaway.test")
    assert (answer.status_code, answer.json()["code"]) == (400, "email_address_invalid")


async def test_a_provider_brings_nobody_of_a_blocked_domain(post: Post, idp: Idp) -> None:
    email = f"{uuid4().hex}@throwaway.test"
    idp.becomes(new_subject(), email)
    told = refused(await travel(post))
    assert told["error_code"] == "email_address_invalid"
    assert not await post.rows("select from auth.users where email = $1", email)


async def test_who_has_an_account_there_keeps_it(post: Post) -> None:
    """An administrator may open one, and the address still signs in without saying whether it is known."""
    email = f"{uuid4().hex}@throwaway.test"
    made = await post.call(
        "POST", "/admin/users", SERVICE, email=email, password=PASSWORD, email_confirm=True
    )
    assert made.status_code == 200, made.text
    assert (await post.grant("password", email=email, password=PASSWORD)).status_code == 200
    assert (await post.call("POST", "/otp", email=email, create_user=False)).status_code == 200
    assert (await post.letter(email))["template"] == "magic_link"
    for address in (email, f"{uuid4().hex}@throwaway.test"):
        answer = await post.call("POST", "/otp", email=address)
        assert (answer.status_code, answer.json()["code"]) == (400, "email_address_invalid")


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/signup", {"password": PASSWORD}),
        ("/otp", {}),
        ("/recover", {}),
        ("/resend", {"type": "signup"}),
        ("/invite", {}),
    ],
)
async def test_mails_go_to_those_named_only(post: Post, path: str, body: dict[str, Any], known: bool) -> None:
    email = f"{uuid4().hex}@customers.test"
    if known:
        await post.execute(
            "insert into auth.users (id, email, aud, role) values (gen_random_uuid(), $1, 'authenticated', "
            "'authenticated')",
            email,
        )
    answer = await post.call("POST", path, SERVICE if path == "/invite" else None, email=email, **body)
    assert (answer.status_code, answer.json()["code"]) == (400, "email_address_not_authorized")
    assert answer.json()["message"] == f'Email address "{email}" cannot be used as it is not authorized'
    assert await post.letters(email) == []


async def test_a_new_address_has_to_be_named(post: Post) -> None:
    person = await signed_in(post)
    answer = await post.call("PUT", "/user", person.bearer, email=f"{uuid4().hex}@customers.test")
    assert (answer.status_code, answer.json()["code"]) == (400, "email_address_not_authorized")
    named = new_email()
    assert (await post.call("PUT", "/user", person.bearer, email=named)).status_code == 200
    assert (await post.letter(named))["template"] == "email_change"
