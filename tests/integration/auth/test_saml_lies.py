"""Answers of identity providers that prove nothing: lies, forgeries and documents that are not read."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import pytest
import pytest_asyncio
from lxml import etree

from tests.application import running_app
from tests.integration.auth.identity_provider import (
    NS,
    IdentityProvider,
    Says,
)
from tests.integration.auth.offices import NOBODY, SAML, Offices, fragment, refused
from tests.integration.auth.people import V2

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from monohull.kernel.home import Connections

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def eager(shared_connections: Connections) -> AsyncIterator[Offices]:
    """The application that takes answers to nothing."""
    async with running_app(shared_connections, auth_saml_allow_idp_initiated="true", **SAML) as served:
        yield Offices(served)


LIES: Final = [
    ({"issuer": "https://evil.example"}, "another identity provider issued it"),
    ({"audience": "https://other.example"}, "it is for another audience"),
    ({"audience": None}, "it is for another audience"),
    ({"recipient": "https://other.example"}, "it is for another recipient"),
    ({"recipient": None}, "it is for another recipient"),
    ({"destination": "https://other.example"}, "it is for another address"),
    ({"confirms": "id-another"}, "it answers another request"),
    ({"confirms": None}, "it answers another request"),
    ({"method": "urn:oasis:names:tc:SAML:2.0:cm:sender-vouches"}, "no confirmation lets a browser bring it"),
    ({"ends": -60}, "it has expired"),
    ({"confirmation_ends": -60}, "it has expired"),
    ({"ends": None}, "it does not say when it ends"),
    ({"confirmation_ends": None}, "it does not say when it ends"),
    ({"ends": 200_000}, "it holds for longer than a day"),
    ({"begins": 120}, "it does not hold yet"),
    ({"status": "urn:oasis:names:tc:SAML:2.0:status:Responder"}, "the identity provider refused the sign-in"),
    ({"version": "1.1"}, "it has no ID or another version"),
    ({"has_conditions": False}, "it has no conditions"),
    ({"has_statement": False}, "it does not say that somebody signed in"),
]


@pytest.mark.parametrize("lie", LIES, ids=str)
@pytest.mark.parametrize("signs", ["assertion", "response"])
async def test_what_is_signed_has_to_hold_here_and_now(
    offices: Offices,
    idp: IdentityProvider,
    provider: dict[str, Any],
    lie: tuple[dict[str, Any], str],
    signs: str,
) -> None:
    says, reason = lie
    request_id, relay_state = await offices.leave(provider)
    answer = idp.answer(Says(request_id=request_id, subject=uuid4().hex, **says), signs=signs)
    assert refused(await offices.arrive(answer, relay_state)) == reason
    right = idp.answer(Says(request_id=request_id, subject=uuid4().hex))
    fragment(await offices.arrive(right, relay_state))  # a lie spends no request


async def test_answers_to_another_request(
    offices: Offices, idp: IdentityProvider, provider: dict[str, Any]
) -> None:
    first, _ = await offices.leave(provider)
    _, relay_state = await offices.leave(provider)
    answer = await offices.arrive(idp.answer(Says(request_id=first)), relay_state)
    assert refused(answer) == "it answers another request"
    unasked = await offices.arrive(idp.answer(Says(request_id=None)), relay_state)
    assert refused(unasked) == "it answers another request"


async def test_an_answer_is_taken_once(
    offices: Offices, idp: IdentityProvider, provider: dict[str, Any]
) -> None:
    request_id, relay_state = await offices.leave(provider)
    answer = idp.answer(Says(request_id=request_id, subject=uuid4().hex))
    fragment(await offices.arrive(answer, relay_state))
    again = await offices.arrive(answer, relay_state)
    assert (again.status_code, again.json()["code"]) == (404, "saml_relay_state_not_found")
    other_id, other_state = await offices.leave(provider)
    assert refused(await offices.arrive(answer, other_state)) == "it answers another request"
    await offices.execute(
        "update auth.saml_relay_states set request_id = $1 where id = $2", request_id, other_state
    )
    assert refused(await offices.arrive(answer, other_state)) == "it was used before"
    events = await offices.rows("select name from monohull.outbox where key = $1", provider["id"])
    assert "auth.saml_assertion_replayed" in [event["name"] for event in events]
    assert other_id != request_id


async def test_answers_that_come_late(
    offices: Offices, idp: IdentityProvider, provider: dict[str, Any]
) -> None:
    request_id, relay_state = await offices.leave(provider)
    await offices.execute(
        "update auth.saml_relay_states set created_at = now() - interval '1 hour' where id = $1", relay_state
    )
    answer = await offices.arrive(idp.answer(Says(request_id=request_id)), relay_state)
    assert (answer.status_code, answer.json()["code"]) == (422, "saml_relay_state_expired")


async def test_strangers_sign_for_nobody(
    offices: Offices, idp: IdentityProvider, provider: dict[str, Any]
) -> None:
    thief = IdentityProvider(idp.entity_id)  # another key under the same name
    for signs in ("assertion", "response"):
        request_id, relay_state = await offices.leave(provider)
        answer = await offices.arrive(thief.answer(Says(request_id=request_id), signs=signs), relay_state)
        assert refused(answer) == "no key of the identity provider made its signature"
    request_id, relay_state = await offices.leave(provider)
    unsigned = idp.answer(Says(request_id=request_id), signs="")
    assert refused(await offices.arrive(unsigned, relay_state)).startswith("no key")
    weak = idp.assertion(Says(request_id=request_id))
    sound = idp.sign(weak)
    for before, after in ((b"sha256", b"sha1"), (b"rsa-sha256", b"hmac-sha256")):
        forged = etree.fromstring(etree.tostring(sound).replace(before, after))
        root = idp.response(Says(request_id=request_id), forged)
        assert refused(await offices.arrive(root, relay_state)).startswith("no key")
    other = IdentityProvider()
    unknown = await offices.arrive(other.answer(Says(request_id=request_id)), relay_state)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "saml_idp_not_found")
    another = await offices.found(other)
    crossed = await offices.arrive(other.answer(Says(request_id=request_id)), relay_state)
    assert refused(crossed) == "another identity provider was asked"
    own_id, own_state = await offices.leave(another)
    borrowed = other.response(Says(request_id=own_id), idp.sign(idp.assertion(Says(request_id=own_id))))
    assert refused(await offices.arrive(borrowed, own_state)).startswith("no key")


def wrap_before(_: Any, signed: Any, evil: Any) -> None:
    """A forged assertion stands before the signed one."""
    signed.addprevious(evil)


def wrap_after(_: Any, signed: Any, evil: Any) -> None:
    """A forged assertion stands behind the signed one."""
    signed.addnext(evil)


def wrap_inside(root: Any, signed: Any, evil: Any) -> None:
    """The forged assertion takes the signed one's place and carries it, signature and all."""
    root.replace(signed, evil)
    evil.append(signed)


def wrap_signature(root: Any, signed: Any, evil: Any) -> None:
    """The forged assertion has the signature, and the signed one lies in the signature's object."""
    signature = deepcopy(signed.find("ds:Signature", NS))
    root.replace(signed, evil)
    plain = deepcopy(signed)
    plain.remove(plain.find("ds:Signature", NS))
    etree.SubElement(signature, f"{{{NS['ds']}}}Object").append(plain)
    evil.insert(1, signature)


def wrap_same_id(root: Any, signed: Any, evil: Any) -> None:
    """The forged assertion has the signature and the signed one's ID; that one lies in an extension."""
    wrap_signature(root, signed, evil)
    evil.set("ID", signed.get("ID"))


def wrap_extension(root: Any, signed: Any, evil: Any) -> None:
    """The signed assertion is put away in the answer's extensions, its signature copied to the forged one."""
    evil.insert(1, deepcopy(signed.find("ds:Signature", NS)))
    root.replace(signed, evil)
    extensions = etree.Element(f"{{{NS['samlp']}}}Extensions")
    extensions.append(signed)
    root.insert(1, extensions)


def edit_subject(_root: Any, signed: Any, _evil: Any) -> None:
    """The signed assertion itself is changed."""
    signed.find("saml:Subject/saml:NameID", NS).text = "admin"


def edit_attribute(_root: Any, signed: Any, _evil: Any) -> None:
    """An attribute is added to the signed assertion."""
    statement = signed.find("saml:AttributeStatement", NS)
    statement.append(deepcopy(statement[0]))


def unsign(_root: Any, signed: Any, _evil: Any) -> None:
    """The signature is taken out."""
    signed.remove(signed.find("ds:Signature", NS))


FORGERIES: Final = [
    wrap_before,
    wrap_after,
    wrap_inside,
    wrap_signature,
    wrap_same_id,
    wrap_extension,
    edit_subject,
    edit_attribute,
    unsign,
]


@pytest.mark.parametrize("forge", FORGERIES, ids=lambda forge: forge.__name__)
async def test_signatures_cannot_be_wrapped(
    offices: Offices, idp: IdentityProvider, provider: dict[str, Any], forge: Any
) -> None:
    request_id, relay_state = await offices.leave(provider)
    says = Says(request_id=request_id, subject=uuid4().hex)
    root = idp.answer(says)
    signed = root.find("saml:Assertion", NS)
    evil = idp.assertion(
        Says(request_id=request_id, subject="admin", attributes={"mail": ["admin@corp.example"]})
    )
    forge(root, signed, evil)
    before = await offices.rows("select count(*) as n from auth.users")
    refused(await offices.arrive(etree.fromstring(etree.tostring(root)), relay_state))
    assert await offices.rows("select count(*) as n from auth.users") == before


async def test_a_signed_answer_is_read_where_it_was_signed(
    offices: Offices, idp: IdentityProvider, provider: dict[str, Any]
) -> None:
    request_id, relay_state = await offices.leave(provider)
    root = idp.answer(Says(request_id=request_id, subject=uuid4().hex), signs="response")
    root.append(idp.assertion(Says(request_id=request_id, subject="admin")))
    refused(await offices.arrive(root, relay_state))
    outer = idp.response(Says(request_id=request_id), idp.assertion(Says(request_id=request_id)))
    inner = idp.answer(Says(request_id=request_id), signs="response")
    outer.insert(1, deepcopy(inner.find("ds:Signature", NS)))
    etree.SubElement(outer, f"{{{NS['samlp']}}}Extensions").append(inner)
    refused(await offices.arrive(outer, relay_state))


async def test_comments_change_no_name(
    offices: Offices, idp: IdentityProvider, provider: dict[str, Any]
) -> None:
    """Signatures do not cover comments: a name that one splits is read as a whole, or not at all."""
    subject = f"admin@corp.example.{uuid4().hex}.evil.example"
    request_id, relay_state = await offices.leave(provider)
    document = etree.tostring(idp.answer(Says(request_id=request_id, subject=subject)))
    cut = document.replace(b"admin@corp.example.", b"admin@corp.example<!-- -->.", 1)
    assert cut != document
    tokens = fragment(await offices.arrive(cut, relay_state))
    user_id = (await offices.claims(tokens["access_token"]))["sub"]
    (row,) = await offices.rows("select provider_id from auth.identities where user_id = $1", user_id)
    assert row["provider_id"] == subject


BOMB: Final = (
    b'<?xml version="1.0"?><!DOCTYPE r [<!ENTITY a "aaaaaaaaaa">'
    + b"".join(b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(9))
    + b"]>"
)


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (BOMB + b"<r>&j;</r>", "the document is no well-formed XML"),
        (b'<!DOCTYPE r SYSTEM "http://127.0.0.1:1/x.dtd"><r/>', "document types are not read"),
        (b'<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><r>&x;</r>', "document types are not read"),
        (b"no XML", "the document is no well-formed XML"),
        (b"<a>" * 5000 + b"</a>" * 5000, "the document is no well-formed XML"),
        (b"<r/>", "it is no SAML 2.0 response"),
        (b"\xff\xfe", "the document is no well-formed XML"),
    ],
    ids=range(7),
)
async def test_documents_that_are_not_read(eager: Offices, document: bytes, reason: str) -> None:
    assert refused(await eager.arrive(document)) == reason


FORMS: Final = [
    ({}, 400, "validation_failed"),
    ({"RelayState": NOBODY}, 400, "validation_failed"),
    ({"SAMLResponse": ["a", "b"]}, 400, "validation_failed"),
    ({"SAMLResponse": "!!!", "RelayState": NOBODY}, 404, "saml_relay_state_not_found"),
    ({"SAMLResponse": "eA==", "RelayState": "https://a.example.org/"}, 404, "saml_relay_state_not_found"),
    ({f"p{n}": "1" for n in range(21)}, 400, "validation_failed"),
]


@pytest.mark.parametrize(("form", "status", "code"), FORMS, ids=range(len(FORMS)))
async def test_forms(offices: Offices, form: dict[str, Any], status: int, code: str) -> None:
    answer = await offices.client.post("/auth/v1/sso/saml/acs", data=form, headers=V2)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
