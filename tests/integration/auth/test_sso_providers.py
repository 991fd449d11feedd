"""Organisations, as administrators keep them."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import pytest

from tests.application import anon_key, running_app
from tests.integration.auth.identity_provider import (
    IdentityProvider,
)
from tests.integration.auth.offices import ADMIN, NOBODY, SAML, Offices, fragment, refused
from tests.integration.auth.people import V2

if TYPE_CHECKING:
    from monohull.kernel.home import Connections
    from tests.application import Served

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_organisations_are_kept_by_administrators(offices: Offices) -> None:
    idp = IdentityProvider()
    domain = f"{uuid4().hex}.example"
    view = await offices.found(idp, domains=[domain], name_id_format="persistent")
    url = f"/auth/v1/admin/sso/providers/{view['id']}"
    assert view["saml"]["entity_id"] == idp.entity_id
    assert (await offices.client.get(url, headers=ADMIN)).json() == view
    listed = (await offices.client.get("/auth/v1/admin/sso/providers", headers=ADMIN)).json()
    assert view in listed["items"]
    tokens = fragment(await offices.come(idp, view))
    other = f"{uuid4().hex}.example"
    changed = await offices.client.put(url, json={"domains": [other], "disabled": True}, headers=ADMIN)
    assert [row["domain"] for row in changed.json()["domains"]] == [other]
    assert changed.json()["saml"] == view["saml"]
    off = await offices.client.post("/auth/v1/sso", json={"domain": other}, headers=V2)
    assert (off.status_code, off.json()["code"]) == (422, "sso_provider_disabled")
    bearer = {"Authorization": f"Bearer {tokens['access_token']}", **V2}
    assert (await offices.client.get("/auth/v1/user", headers=bearer)).status_code == 200
    removed = await offices.client.delete(url, headers=ADMIN)
    assert (removed.status_code, removed.json()["id"]) == (200, view["id"])
    assert (await offices.client.get("/auth/v1/user", headers=bearer)).status_code == 403
    assert (await offices.client.get(url, headers=ADMIN)).json()["code"] == "sso_provider_not_found"
    names = await offices.rows(
        "select name from monohull.outbox where key = $1 order by position", view["id"]
    )
    assert [row["name"] for row in names] == [
        "auth.sso_provider_added",
        "auth.sso_provider_changed",
        "auth.sso_provider_removed",
    ]


async def test_new_metadata_bring_new_keys(offices: Offices) -> None:
    old, new = IdentityProvider(), IdentityProvider()
    new.entity_id = old.entity_id
    view = await offices.found(old)
    url = f"/auth/v1/admin/sso/providers/{view['id']}"
    elsewhere = await offices.client.put(
        url, json={"metadata_xml": IdentityProvider().metadata}, headers=ADMIN
    )
    assert (elsewhere.status_code, elsewhere.json()["code"]) == (400, "saml_entity_id_mismatch")
    answer = await offices.client.put(url, json={"metadata_xml": new.metadata}, headers=ADMIN)
    assert answer.status_code == 200
    assert refused(await offices.come(old, view)).startswith("no key")
    fragment(await offices.come(new, view))


def without(pattern: str, put: str = "") -> str:
    metadata = IdentityProvider("https://idp.example/x").metadata
    changed = re.sub(pattern, put, metadata)
    assert changed != metadata
    return changed


PROVIDERS: Final = [
    ({"type": None}, 400, "validation_failed"),
    ({"type": "oidc"}, 400, "validation_failed"),
    ({"metadata_xml": None}, 400, "validation_failed"),
    ({"metadata_url": "https://idp.example/metadata"}, 400, "validation_failed"),
    ({"metadata_xml": None, "metadata_url": "http://idp.example/metadata"}, 400, "validation_failed"),
    ({"metadata_xml": None, "metadata_url": "file:///etc/passwd"}, 400, "validation_failed"),
    ({"metadata_xml": None, "metadata_url": "https://[x"}, 400, "validation_failed"),
    ({"metadata_xml": None, "metadata_url": "https://169.254.169.254/"}, 400, "saml_metadata_fetch_failed"),
    ({"metadata_xml": None, "metadata_url": "http://127.0.0.1:1/"}, 400, "saml_metadata_fetch_failed"),
    ({"metadata_xml": "<x/>"}, 400, "validation_failed"),
    ({"metadata_xml": "no XML"}, 400, "validation_failed"),
    ({"metadata_xml": "a\0b"}, 400, "validation_failed"),
    ({"metadata_xml": '<!DOCTYPE r [<!ENTITY x "y">]><r>&x;</r>'}, 400, "validation_failed"),
    ({"metadata_xml": without(r'entityID="[^"]*"')}, 400, "validation_failed"),
    (
        {"metadata_xml": without("entityID", 'validUntil="2001-01-01T00:00:00Z" entityID')},
        400,
        "validation_failed",
    ),
    ({"metadata_xml": without("entityID", 'validUntil="soon" entityID')}, 400, "validation_failed"),
    ({"metadata_xml": without("IDPSSODescriptor", "SPSSODescriptor")}, 400, "validation_failed"),
    ({"metadata_xml": without("SAML:2.0:protocol", "SAML:1.1:protocol")}, 400, "validation_failed"),
    ({"metadata_xml": without('use="signing"', 'use="encryption"')}, 400, "validation_failed"),
    ({"metadata_xml": without("X509Certificate>[^<]+", "X509Certificate>AAAA")}, 400, "validation_failed"),
    ({"metadata_xml": without("HTTP-Redirect", "HTTP-Artifact")}, 400, "validation_failed"),
    ({"metadata_xml": without("https://idp.example/sso", "javascript:alert")}, 400, "validation_failed"),
    ({"domains": ["no domain"]}, 400, "validation_failed"),
    ({"domains": [""]}, 400, "validation_failed"),
    ({"domains": ["corp.example"]}, 400, "sso_domain_already_exists"),
    ({"domains": [f"d{n}.example" for n in range(101)]}, 400, "validation_failed"),
    ({"domains": "corp.example"}, 400, "bad_json"),
    ({"name_id_format": "kerberos"}, 400, "validation_failed"),
    ({"attribute_mapping": {"keys": {"a": 7}}}, 400, "bad_json"),
    ({"attribute_mapping": {"keys": {"a": {"default": "\0"}}}}, 400, "validation_failed"),
]


@pytest.mark.parametrize(("body", "status", "code"), PROVIDERS, ids=range(len(PROVIDERS)))
async def test_organisations_that_cannot_be_kept(
    offices: Offices, provider: dict[str, Any], body: dict[str, Any], status: int, code: str
) -> None:
    given = {"type": "saml", "metadata_xml": IdentityProvider().metadata, **body}
    answer = await offices.client.post("/auth/v1/admin/sso/providers", json=given, headers=ADMIN)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert provider


async def test_an_identity_provider_belongs_to_one_organisation(
    offices: Offices, idp: IdentityProvider, provider: dict[str, Any]
) -> None:
    given = {"type": "saml", "metadata_xml": idp.metadata}
    answer = await offices.client.post("/auth/v1/admin/sso/providers", json=given, headers=ADMIN)
    assert (answer.status_code, answer.json()["code"]) == (422, "saml_idp_already_exists")
    assert provider["saml"]["entity_id"] == idp.entity_id


ROUTES: Final = [
    ("GET", ""),
    ("POST", ""),
    ("GET", f"/{NOBODY}"),
    ("PUT", f"/{NOBODY}"),
    ("DELETE", f"/{NOBODY}"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_only_administrators(offices: Offices, method: str, path: str) -> None:
    url = f"/auth/v1/admin/sso/providers{path}"
    person = await offices.sign_up()
    for headers, refusal in (
        ({}, (401, "no_authorization")),
        ({"apikey": anon_key()}, (401, "no_authorization")),
        ({"Authorization": f"Bearer {anon_key()}"}, (403, "not_admin")),
        (person.bearer, (403, "not_admin")),
    ):
        answer = await offices.client.request(method, url, json={}, headers={**V2, **headers})
        assert (answer.status_code, answer.json()["code"]) == refusal
    for name, refusal in ((NOBODY, (404, "sso_provider_not_found")), ("x", (400, "validation_failed"))):
        if path:
            one = url.replace(NOBODY, name)
            answer = await offices.client.request(method, one, json={}, headers=ADMIN)
            assert (answer.status_code, answer.json()["code"]) == refusal


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/sso"),
        ("GET", "/sso/saml/metadata"),
        ("POST", "/sso/saml/acs"),
        *((method, f"/admin/sso/providers{path}") for method, path in ROUTES),
    ],
)
async def test_all_of_it_is_off_by_default(shared: Served, method: str, path: str) -> None:
    answer = await shared.client.request(method, f"/auth/v1{path}", json={}, headers=ADMIN)
    assert (answer.status_code, answer.json()["code"]) == (404, "saml_provider_disabled")


async def test_metadata_are_fetched(shared_connections: Connections) -> None:
    idp = IdentityProvider()
    answers = [(404, b"nothing"), (200, b"\xff"), (200, b"<x/>"), (200, idp.metadata.encode())]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        status, body = answers.pop(0)
        writer.write(
            b"HTTP/1.1 %d x\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % (status, len(body))
        )
        writer.write(body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/metadata"
    async with server, running_app(shared_connections, outbound_allowed="127.0.0.1", **SAML) as served:
        made = [
            await served.client.post(
                "/auth/v1/admin/sso/providers", json={"type": "saml", "metadata_url": url}, headers=ADMIN
            )
            for _ in range(4)
        ]
    assert [answer.json().get("code") for answer in made] == [
        "saml_metadata_fetch_failed",
        "saml_metadata_fetch_failed",
        "validation_failed",
        None,
    ]
    saml = made[-1].json()["saml"]
    assert (saml["metadata_url"], saml["metadata_xml"], saml["entity_id"]) == (
        url,
        idp.metadata,
        idp.entity_id,
    )
