"""Single sign-on by SAML: who comes in, and how."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, parse_qsl, urlsplit
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import load_der_x509_certificate
from lxml import etree

from monohull.kernel import ids
from monohull.kernel.settings import SettingsError
from tests.application import running_app
from tests.integration.auth.applications import challenge
from tests.integration.auth.identity_provider import (
    ACS,
    AUDIENCE,
    NS,
    IdentityProvider,
    Says,
    read_request,
)
from tests.integration.auth.offices import NOBODY, SAML, SITE, Offices, fragment, refused
from tests.integration.auth.people import V2, Person

if TYPE_CHECKING:
    from monohull.kernel.home import Connections
    from tests.application import Served

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY: Final = rsa.generate_private_key(65537, 2048)


@pytest.mark.parametrize("signs", ["assertion", "response", "both"])
async def test_somebody_comes_in(
    offices: Offices, idp: IdentityProvider, provider: dict[str, Any], signs: str
) -> None:
    subject = uuid4().hex
    request_id, relay_state = await offices.leave(provider, redirect_to="https://a.example.org/home")
    says = Says(request_id=request_id, subject=subject)
    answer = await offices.arrive(idp.answer(says, signs=signs), relay_state)
    assert answer.headers["location"].startswith("https://a.example.org/home#")
    tokens = fragment(answer)
    user = (
        await offices.client.get(
            "/auth/v1/user", headers={"Authorization": f"Bearer {tokens['access_token']}", **V2}
        )
    ).json()
    name = f"sso:{provider['id']}"
    assert user["app_metadata"] == {"provider": name, "providers": [name]}
    assert (user["email"], user["is_anonymous"]) == ("ada@corp.example", False)
    assert user["email_confirmed_at"]
    (identity,) = user["identities"]
    assert (identity["provider"], identity["id"]) == (name, subject)
    assert identity["identity_data"]["iss"] == idp.entity_id
    claims = await offices.claims(tokens["access_token"])
    assert [amr["method"] for amr in claims["amr"]] == ["sso/saml"]
    renewed = await offices.refresh(tokens["refresh_token"])
    assert renewed.status_code == 200
    (row,) = await offices.rows("select is_sso_user from auth.users where id = $1", user["id"])
    assert row["is_sso_user"] is True
    again = fragment(
        await offices.come(idp, provider, subject=subject, attributes={"mail": ["ada@new.example"]})
    )
    after = await offices.claims(again["access_token"])
    assert (after["sub"], after["email"]) == (user["id"], "ada@new.example")
    person = Person("", {**tokens, "user": user})
    assert (await offices.events(person.id))[:2] == ["auth.user_signed_up", "auth.user_signed_in"]


async def test_two_people_may_have_one_address(
    offices: Offices, idp: IdentityProvider, provider: dict[str, Any]
) -> None:
    email = f"{uuid4().hex}@corp.example"
    own = await offices.sign_up(email=email)
    tokens = fragment(await offices.come(idp, provider, subject=uuid4().hex, attributes={"mail": [email]}))
    assert (await offices.claims(tokens["access_token"]))["sub"] != str(own.id)
    assert (await offices.sign_in(email)).id == own.id


async def test_the_organisation_keeps_the_password(
    offices: Offices, idp: IdentityProvider, provider: dict[str, Any]
) -> None:
    tokens = fragment(await offices.come(idp, provider, subject=uuid4().hex))
    bearer = {"Authorization": f"Bearer {tokens['access_token']}", **V2}
    for body in ({"password": "another-horse"}, {"email": "x@y.example"}):
        answer = await offices.client.put("/auth/v1/user", json=body, headers=bearer)
        assert (answer.status_code, answer.json()["code"]) == (422, "user_sso_managed")


async def test_pkce(offices: Offices, idp: IdentityProvider, provider: dict[str, Any]) -> None:
    verifier = ids.token()
    request_id, relay_state = await offices.leave(
        provider, code_challenge=challenge(verifier), code_challenge_method="s256"
    )
    answer = await offices.arrive(idp.answer(Says(request_id=request_id, subject=uuid4().hex)), relay_state)
    parts = urlsplit(answer.headers["location"])
    assert (answer.status_code, parts.fragment) == (303, "")
    code = parse_qs(parts.query)["code"][0]
    wrong = await offices.grant("pkce", auth_code=code, code_verifier="w" * 43)
    assert wrong.json()["code"] == "bad_code_verifier"
    session = (await offices.grant("pkce", auth_code=code, code_verifier=verifier)).json()
    claims = await offices.claims(session["access_token"])
    assert [amr["method"] for amr in claims["amr"]] == ["sso/saml"]
    assert (await offices.grant("pkce", auth_code=code, code_verifier=verifier)).status_code == 404


@pytest.mark.usefixtures("provider")
async def test_sign_ins_that_begin_at_the_identity_provider(offices: Offices, idp: IdentityProvider) -> None:
    says = Says(request_id=None, subject=uuid4().hex)
    off = await offices.arrive(idp.answer(says))
    assert (off.status_code, off.json()["code"]) == (404, "saml_relay_state_not_found")
    async with running_app(
        offices.served.runtime.connections, auth_saml_allow_idp_initiated="true", **SAML
    ) as served:
        on = Offices(served)
        answer = idp.answer(says)
        first = await on.arrive(answer, "https://a.example.org/x")
        assert first.headers["location"].startswith("https://a.example.org/x#access_token=")
        assert refused(await on.arrive(answer, "https://a.example.org/x")) == "it was used before"
        for relay_state in ("", "https://evil.example/", "a state"):
            elsewhere = await on.arrive(idp.answer(says), relay_state)
            assert elsewhere.headers["location"].startswith(f"{SITE}#access_token=")
        asked_for = await on.arrive(idp.answer(Says(request_id="id-x")), "")
        assert refused(asked_for) == "it answers another request"


PEOPLE: Final = [
    ({"subject": None}, "saml_assertion_no_user_id"),
    ({"name_id_format": "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"}, "saml_assertion_no_user_id"),
    ({"subject": "x" * 1025}, "saml_assertion_no_user_id"),
    ({"attributes": {}}, "saml_assertion_no_email"),
    ({"attributes": {"mail": [""]}}, "saml_assertion_no_email"),
    ({"attributes": {"mail": ["nobody"]}}, "saml_assertion_no_email"),
]


@pytest.mark.parametrize(("says", "code"), PEOPLE, ids=range(len(PEOPLE)))
async def test_assertions_about_nobody(
    offices: Offices, idp: IdentityProvider, provider: dict[str, Any], says: dict[str, Any], code: str
) -> None:
    answer = await offices.come(idp, provider, **says)
    assert (answer.status_code, answer.json()["code"]) == (422, code)


async def test_attributes_become_claims_by_a_mapping(offices: Offices) -> None:
    idp = IdentityProvider()
    mapping = {
        "keys": {
            "email": {"names": ["nothing", "address"]},
            "teams": {"name": "groups", "array": True},
            "first_team": {"name": "groups"},
            "plan": {"name": "plan", "default": "free"},
            "absent": {"name": "absent"},
        }
    }
    provider = await offices.found(idp, attribute_mapping=mapping)
    attributes = {"address": ["Grace@Corp.example"], "groups": ["staff", "admins"]}
    tokens = fragment(await offices.come(idp, provider, attributes=attributes))
    claims = await offices.claims(tokens["access_token"])
    assert claims["email"] == "grace@corp.example"
    assert claims["user_metadata"]["custom_claims"] == {
        "teams": ["staff", "admins"],
        "first_team": "staff",
        "plan": "free",
    }


async def test_shut_out(offices: Offices, shared_connections: Connections) -> None:
    idp, subject = IdentityProvider(), uuid4().hex
    provider = await offices.found(idp)
    tokens = fragment(await offices.come(idp, provider, subject=subject))
    user_id = (await offices.claims(tokens["access_token"]))["sub"]
    async with running_app(shared_connections, auth_disable_signup="true", **SAML) as served:
        closed = Offices(served)
        fragment(await closed.come(idp, provider, subject=subject))
        newcomer = await closed.come(idp, provider, subject=uuid4().hex)
        assert (newcomer.status_code, newcomer.json()["code"]) == (422, "signup_disabled")
    await offices.execute(
        "update auth.users set banned_until = now() + interval '1 hour' where id = $1", user_id
    )
    banned = await offices.come(idp, provider, subject=subject)
    assert (banned.status_code, banned.json()["code"]) == (403, "user_banned")


async def test_a_request_says_what_is_wanted(
    offices: Offices, shared_connections: Connections, idp: IdentityProvider, provider: dict[str, Any]
) -> None:
    answer = await offices.client.post("/auth/v1/sso", json={"domain": "CORP.example"})
    assert answer.status_code == 303
    url = answer.headers["location"]
    assert url.startswith("https://idp.example/sso?tenant=1&SAMLRequest=")
    request, relay_state = read_request(url)
    assert (request.get("Destination"), request.get("AssertionConsumerServiceURL")) == (
        "https://idp.example/sso?tenant=1",
        ACS,
    )
    assert request.findtext("saml:Issuer", namespaces=NS) == AUDIENCE
    fragment(await offices.arrive(idp.answer(Says(request_id=request.get("ID"))), relay_state))
    assert "Signature" not in parse_qs(urlsplit(url).query)
    der = KEY.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    async with running_app(
        shared_connections, auth_saml_private_key=b64encode(der).decode(), **SAML
    ) as served:
        signed = await Offices(served).client.post("/auth/v1/sso", json={"provider_id": provider["id"]})
        query = signed.headers["location"].partition("tenant=1&")[2]
        payload, _, signature = query.partition("&Signature=")
        assert payload.partition("&SigAlg=")[2].endswith("rsa-sha256")
        KEY.public_key().verify(
            b64decode(dict(parse_qsl(f"s={signature}"))["s"]), payload.encode(), PKCS1v15(), SHA256()
        )
        metadata = (await served.client.get("/auth/v1/sso/saml/metadata")).content
        found = etree.fromstring(metadata).find(".//ds:X509Certificate", NS)
        certificate = load_der_x509_certificate(b64decode(found.text))
        assert certificate.public_key() == KEY.public_key()


async def test_metadata_of_ours(offices: Offices) -> None:
    answer = await offices.client.get("/auth/v1/sso/saml/metadata?download=true")
    assert answer.headers["content-type"].startswith("application/samlmetadata+xml")
    assert answer.headers["content-disposition"] == 'attachment; filename="metadata.xml"'
    root = etree.fromstring(answer.content)
    assert root.get("entityID") == AUDIENCE
    services = {"md": "urn:oasis:names:tc:SAML:2.0:metadata"}
    assert root.find(".//md:AssertionConsumerService", services).get("Location") == ACS


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "validation_failed"),
        ({"provider_id": NOBODY, "domain": "corp.example"}, 400, "validation_failed"),
        ({"provider_id": "x"}, 400, "validation_failed"),
        ({"provider_id": NOBODY}, 404, "sso_provider_not_found"),
        ({"domain": "elsewhere.example"}, 404, "sso_provider_not_found"),
        ({"domain": "\0"}, 404, "sso_provider_not_found"),
        ({"domain": "corp.example", "code_challenge": "x" * 43}, 400, "validation_failed"),
        ({"domain": 7}, 400, "bad_json"),
    ],
    ids=range(8),
)
async def test_requests(
    offices: Offices, provider: dict[str, Any], body: dict[str, Any], status: int, code: str
) -> None:
    answer = await offices.client.post("/auth/v1/sso", json=body, headers=V2)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert provider["domains"][0]["domain"] == "corp.example"


async def test_settings_say_whether_it_is_on(offices: Offices, shared: Served) -> None:
    for served, is_on in ((offices.served, True), (shared, False)):
        assert (await served.client.get("/auth/v1/settings")).json()["saml_enabled"] is is_on


async def test_one_address_has_a_limit(shared_connections: Connections) -> None:
    settings = {**SAML, "auth_saml_rate_limit_assertion": "2"}
    async with running_app(shared_connections, **settings) as served:
        statuses = [(await served.client.post("/auth/v1/sso/saml/acs")).status_code for _ in range(3)]
    assert statuses == [400, 400, 429]


@pytest.mark.parametrize(
    "key",
    [
        "nonsense",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
        b64encode(
            ec.generate_private_key(ec.SECP256R1()).private_bytes(
                Encoding.DER, PrivateFormat.PKCS8, NoEncryption()
            )
        ).decode(),
        b64encode(
            rsa.generate_private_key(65537, 1024).private_bytes(
                Encoding.DER, PrivateFormat.PKCS8, NoEncryption()
            )
        ).decode(),
    ],
    ids=["nonsense", "broken PEM", "elliptic curve", "short"],
)
async def test_a_key_that_cannot_sign_stops_the_start(shared_connections: Connections, key: str) -> None:
    with pytest.raises(SettingsError, match="MONOHULL_AUTH_SAML_PRIVATE_KEY"):
        async with running_app(shared_connections, auth_saml_private_key=key, **SAML):
            pass


async def test_a_hook_may_refuse_a_newcomer(shared_connections: Connections) -> None:
    hook = "python://tests.integration.auth.hook_functions/only_ada"
    async with running_app(shared_connections, auth_hook_before_user_created_uri=hook, **SAML) as served:
        offices, idp = Offices(served), IdentityProvider()
        provider = await offices.found(idp)
        fragment(await offices.come(idp, provider, attributes={"mail": ["ada.l@corp.example"]}))
        refusal = await offices.come(idp, provider, subject="bob", attributes={"mail": ["bob@corp.example"]})
        assert (refusal.status_code, refusal.json()["message"]) == (403, "only Ada")
