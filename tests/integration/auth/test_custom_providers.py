"""Providers that administrators configure while the server runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from tests.application import running_app, service_key
from tests.integration.auth.idp import CLIENT_ID, CLIENT_SECRET, Idp, running_idp, settings_of
from tests.integration.auth.journeys import leave, new_subject, refused, sign_in, travel
from tests.integration.auth.people import V2, People
from tests.integration.auth.post import CONFIRMING, IN_PRODUCTION, new_email

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    import httpx

    from monohull.kernel.home import Connections

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATH = "/auth/v1/admin/custom-providers"
ADMIN = {"Authorization": f"Bearer {service_key()}", **V2}


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
    settings = {**CONFIRMING, **settings_of(provider)}
    async with running_app(shared_connections, **settings) as served:
        yield People(served)


def new_name() -> str:
    return f"custom:{uuid4().hex[:12]}"


def openid(idp: Idp, **values: Any) -> dict[str, Any]:
    """The body that makes an OpenID provider of ``idp``."""
    right = {
        "provider_type": "oidc",
        "identifier": new_name(),
        "name": "Acme",
        "issuer": idp.url,
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "scopes": ["email", "profile"],
    }
    return {**right, **values}


def oauth(idp: Idp, **values: Any) -> dict[str, Any]:
    """The body that makes an OAuth 2 provider of ``idp``."""
    right = {
        "provider_type": "oauth2",
        "identifier": new_name(),
        "name": "Old",
        "authorization_url": f"{idp.url}/authorize",
        "token_url": f"{idp.url}/token",
        "userinfo_url": f"{idp.url}/me",
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "attribute_mapping": {
            "sub": "who.number",
            "email": "who.mails[0]",
            "email_verified": "who.checked",
            "name": "who.title",
        },
    }
    return {**right, **values}


async def make(people: People, body: Mapping[str, Any]) -> httpx.Response:
    return await people.client.post(PATH, json=dict(body), headers=ADMIN)


async def test_an_openid_provider_is_made_and_used(people: People, idp: Idp) -> None:
    body = openid(idp, authorization_params={"prompt": "login"})
    answer = await make(people, body)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert str(UUID(made["id"]))
    assert "client_secret" not in made
    assert made["discovery_document"]["token_endpoint"] == f"{idp.url}/token"
    assert (made["pkce_enabled"], made["enabled"], made["email_optional"]) == (True, True, False)
    name = body["identifier"]
    query = dict(parse_qsl(urlsplit(await leave(people, name)).query))
    assert (query["scope"], query["prompt"]) == ("openid email profile", "login")
    assert {"nonce", "code_challenge"} <= set(query)
    user = await sign_in(people, name)
    assert user["app_metadata"] == {"provider": name, "providers": [name]}
    token = await people.grant("id_token", provider=name, id_token=idp.id_token())
    assert token.json()["user"]["id"] == user["id"]


async def test_its_secret_is_nowhere_in_plain(people: People, idp: Idp) -> None:
    body = openid(idp)
    await make(people, body)
    (row,) = await people.rows(
        "select * from auth.custom_oauth_providers where identifier = $1", body["identifier"]
    )
    assert CLIENT_SECRET not in str(dict(row))
    assert row["client_secret"].startswith("mh1.")
    events = await people.rows("select payload::text from monohull.outbox where key = $1", body["identifier"])
    assert len(events) == 1
    assert CLIENT_SECRET not in str(dict(events[0]))


async def test_an_oauth_provider_with_words_of_its_own(people: People, idp: Idp) -> None:
    email = new_email()
    body = oauth(idp, pkce_enabled=False)
    assert (await make(people, body)).status_code == 201
    idp.documents = {"/me": {"who": {"number": 17, "mails": [email], "checked": 1, "title": "Ada"}}}
    query = dict(parse_qsl(urlsplit(await leave(people, body["identifier"])).query))
    assert not {"nonce", "code_challenge", "scope"} & set(query)
    user = await sign_in(people, body["identifier"])
    assert (user["email"], user["user_metadata"]["name"]) == (email, "Ada")
    assert user["identities"][0]["id"] == "17"
    assert user["identities"][0]["identity_data"]["iss"] == idp.url


async def test_what_changes_and_what_goes(people: People, idp: Idp) -> None:
    body = openid(idp)
    made = (await make(people, body)).json()
    url = f"{PATH}/{body['identifier']}"
    user = await sign_in(people, body["identifier"])
    changed = await people.client.put(url, json={"name": "Other", "enabled": False}, headers=ADMIN)
    assert changed.status_code == 200, changed.text
    assert (changed.json()["name"], changed.json()["enabled"]) == ("Other", False)
    assert changed.json()["issuer"] == made["issuer"]
    closed = await people.client.get(
        "/auth/v1/authorize", params={"provider": body["identifier"]}, headers=V2
    )
    assert (closed.status_code, closed.json()["code"]) == (400, "validation_failed")
    await people.client.put(url, json={"enabled": True, "client_secret": "wrong"}, headers=ADMIN)
    assert refused(await travel(people, body["identifier"]))["error_code"] == "bad_oauth_callback"
    await people.client.put(url, json={"client_secret": CLIENT_SECRET}, headers=ADMIN)
    assert (await sign_in(people, body["identifier"]))["id"] == user["id"]
    listed = (await people.client.get(PATH, headers=ADMIN)).json()["providers"]
    assert body["identifier"] in [row["identifier"] for row in listed]
    others = (await people.client.get(PATH, params={"type": "oauth2"}, headers=ADMIN)).json()["providers"]
    assert body["identifier"] not in [row["identifier"] for row in others]
    assert (await people.client.delete(url, headers=ADMIN)).status_code == 204
    for method in ("GET", "PUT", "DELETE"):
        content: dict[str, Any] = {"json": {"name": "x"}} if method == "PUT" else {}
        gone = await people.client.request(method, url, headers=ADMIN, **content)
        assert (gone.status_code, gone.json()["code"]) == (404, "custom_provider_not_found")
    events = await people.rows(
        "select payload->>'change' as change from monohull.outbox where key = $1 order by position",
        body["identifier"],
    )
    assert [row["change"] for row in events] == ["created", "changed", "changed", "changed", "deleted"]


async def test_one_of_a_name(people: People, idp: Idp) -> None:
    body = openid(idp)
    await make(people, body)
    again = await make(people, body)
    assert (again.status_code, again.json()["code"]) == (409, "conflict")


REFUSED: dict[str, dict[str, Any]] = {
    "no type": {"provider_type": None},
    "unknown type": {"provider_type": "saml"},
    "no identifier": {"identifier": None},
    "no prefix": {"identifier": "acme"},
    "a prefix alone": {"identifier": "custom:"},
    "capitals": {"identifier": "custom:Acme"},
    "a long identifier": {"identifier": "custom:" + "x" * 50},
    "no name": {"name": ""},
    "no client": {"client_id": None},
    "no secret": {"client_secret": ""},
    "a long secret": {"client_secret": "x" * 3000},
    "no issuer": {"issuer": None},
    "not an address": {"issuer": "acme"},
    "another scheme": {"issuer": "file:///etc/passwd"},
    "with a user": {"issuer": "https://user@127.0.0.1"},
    "with a fragment": {"jwks_uri": "https://127.0.0.1/#x"},
    "a broken port": {"token_url": "https://127.0.0.1:99999999/"},
    "nobody there": {"issuer": "http://127.0.0.1:1"},
    "on our network": {"issuer": "http://10.0.0.1"},
    "the metadata of a cloud": {"issuer": "http://169.254.169.254"},
    "an unknown attribute": {"attribute_mapping": {"role": "sub"}},
    "no path": {"attribute_mapping": {"email": "a[b"}},
    "long scopes": {"scopes": ["x" * 3000]},
    "many scopes": {"scopes": ["x"] * 200},
    "NUL": {"name": "a\0b"},
    "claims that are not kept": {"custom_claims_allowlist": ["groups"]},
}


@pytest.mark.parametrize("change", list(REFUSED.values()), ids=list(REFUSED))
async def test_what_is_no_provider(people: People, idp: Idp, change: dict[str, Any]) -> None:
    answer = await make(people, openid(idp, **change))
    assert (answer.status_code, answer.json()["code"]) == (400, "validation_failed"), answer.text


@pytest.mark.parametrize("name", ["authorization_url", "token_url", "userinfo_url"])
async def test_what_an_oauth_provider_needs(people: People, idp: Idp, name: str) -> None:
    answer = await make(people, oauth(idp, **{name: None}))
    assert (answer.status_code, answer.json()["code"]) == (400, "validation_failed")
    assert name in answer.json()["message"]


async def test_a_body_of_another_shape(people: People, idp: Idp) -> None:
    for change in ({"scopes": "openid"}, {"enabled": "yes"}, {"attribute_mapping": {"sub": 7}}):
        answer = await make(people, openid(idp, **change))
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_json")
    body = openid(idp)
    await make(people, body)
    moved = await people.client.put(
        f"{PATH}/{body['identifier']}", json={"identifier": new_name()}, headers=ADMIN
    )
    assert (moved.status_code, moved.json()["code"]) == (400, "validation_failed")
    listed = await people.client.get(PATH, params={"type": "saml"}, headers=ADMIN)
    assert (listed.status_code, listed.json()["code"]) == (400, "validation_failed")


async def test_a_document_of_another_issuer(people: People, idp: Idp) -> None:
    answer = await make(
        people,
        openid(
            idp,
            issuer="https://accounts.example.com",
            discovery_url=f"{idp.url}/.well-known/openid-configuration",
        ),
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "validation_failed")
    assert "another issuer" in answer.json()["message"]


async def test_without_tls_only_in_development(shared_connections: Connections, idp: Idp) -> None:
    settings = {
        **CONFIRMING,
        **settings_of(idp),
        **IN_PRODUCTION,
        "public_url": "https://api.example.com",
    }
    settings |= {"auth_sms_provider": "", "auth_external_phone_enabled": "false"}
    async with running_app(shared_connections, **settings) as served:
        answer = await make(People(served), openid(idp))
        assert (answer.status_code, answer.json()["code"]) == (400, "validation_failed")
        assert "https" in answer.json()["message"]


async def test_administrators_only(people: People) -> None:
    person = await signed_up(people)
    for headers, status, code in ((V2, 401, "no_authorization"), (person, 403, "not_admin")):
        for method, path in (
            ("GET", PATH),
            ("POST", PATH),
            ("GET", f"{PATH}/custom:x"),
            ("PUT", f"{PATH}/custom:x"),
            ("DELETE", f"{PATH}/custom:x"),
        ):
            answer = await people.client.request(method, path, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (status, code)


async def signed_up(people: People) -> dict[str, str]:
    session = (await people.client.post("/auth/v1/signup", json={}, headers=V2)).json()
    return {"Authorization": f"Bearer {session['access_token']}", **V2}
