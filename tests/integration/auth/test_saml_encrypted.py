"""Assertions that are encrypted for us: what is read, and what is refused."""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from uuid import uuid4

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP, PKCS1v15
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import load_der_x509_certificate
from lxml import etree

from monohull.kernel.settings import SettingsError
from tests.application import running_app
from tests.integration.auth.identity_provider import NS, IdentityProvider, Says
from tests.integration.auth.offices import SAML, Offices, fragment, refused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from monohull.kernel.home import Connections

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY: Final = rsa.generate_private_key(65537, 2048)
STRANGER: Final = rsa.generate_private_key(65537, 2048)
XENC: Final = "http://www.w3.org/2001/04/xmlenc#"
XENC11: Final = "http://www.w3.org/2009/xmlenc11#"
MD: Final = "urn:oasis:names:tc:SAML:2.0:metadata"
ENCRYPTED: Final = {
    **SAML,
    "auth_saml_allow_encrypted_assertions": "true",
    "auth_saml_private_key": KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
}
UNREADABLE: Final = "the encrypted assertion cannot be read"


class How(NamedTuple):
    """How an assertion is encrypted."""

    data: str = f"{XENC11}aes256-gcm"
    wrap: str = f"{XENC}rsa-oaep-mgf1p"
    digest: str | None = None
    mask: str | None = None
    key_bytes: int = 32
    to: Any = KEY
    beside: bool = False
    strangers: int = 0
    unknown: bool = False
    damages: bool = False


def encrypt(assertion: Any, how: How) -> Any:
    """Return an ``EncryptedAssertion``."""
    secret, plain = os.urandom(how.key_bytes), etree.tostring(assertion)
    nonce = os.urandom(12 if "gcm" in how.data else 16)
    if "gcm" in how.data:
        body = nonce + AESGCM(secret).encrypt(nonce, plain, None)
    else:
        padding = 16 - len(plain) % 16
        encryptor = Cipher(AES(secret), CBC(nonce)).encryptor()
        body = nonce + encryptor.update(plain + os.urandom(padding - 1) + bytes([padding]))
    if how.damages:
        body = body[:20] + bytes([body[20] ^ 1]) + body[21:]
    root = etree.Element(f"{{{NS['saml']}}}EncryptedAssertion", nsmap={"saml": NS["saml"], "xenc": XENC})
    data = etree.SubElement(root, f"{{{XENC}}}EncryptedData", Type=f"{XENC}Element")
    etree.SubElement(data, f"{{{XENC}}}EncryptionMethod", Algorithm=how.data)
    info = etree.SubElement(data, f"{{{NS['ds']}}}KeyInfo")
    holder = root if how.beside else info
    if how.unknown:  # for somebody who needs to be told nothing about how
        cipher(etree.SubElement(holder, f"{{{XENC}}}EncryptedKey"), b"sealed")
    for _ in range(how.strangers):
        holder.append(wrapped(secret, how._replace(to=STRANGER)))
    cipher(data, body)
    holder.append(wrapped(secret, how))
    return root


def wrapped(secret: bytes, how: How) -> Any:
    element = etree.Element(f"{{{XENC}}}EncryptedKey")
    method = etree.SubElement(element, f"{{{XENC}}}EncryptionMethod", Algorithm=how.wrap)
    digest: Any = hashes.SHA1()
    mask: Any = hashes.SHA1()
    if how.digest:
        etree.SubElement(method, f"{{{NS['ds']}}}DigestMethod", Algorithm=f"{XENC}{how.digest}")
        digest = hashes.SHA256() if how.digest == "sha256" else hashes.SHA512()
    if how.mask:
        etree.SubElement(method, f"{{{XENC11}}}MGF", Algorithm=f"{XENC11}{how.mask}")
        mask = hashes.SHA256()
    padding: Any = PKCS1v15() if "1_5" in how.wrap else OAEP(MGF1(mask), digest, None)
    cipher(element, how.to.public_key().encrypt(secret, padding))
    return element


def cipher(parent: Any, raw: bytes) -> None:
    holder = etree.SubElement(parent, f"{{{XENC}}}CipherData")
    text = b64encode(raw).decode()
    etree.SubElement(holder, f"{{{XENC}}}CipherValue").text = f"\n{text[:76]}\n{text[76:]}\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def offices(shared_connections: Connections) -> AsyncIterator[Offices]:
    """The application, which accepts encrypted assertions."""
    async with running_app(shared_connections, **ENCRYPTED) as served:
        yield Offices(served)


async def arrive(
    offices: Offices, idp: IdentityProvider, provider: dict[str, Any], how: How, signs: str
) -> Any:
    """Come with an assertion that was signed first and encrypted then."""
    request_id, relay_state = await offices.leave(provider)
    says = Says(request_id=request_id, subject=uuid4().hex)
    assertion = idp.assertion(says)
    assertion = idp.sign(assertion) if signs in ("assertion", "both") else assertion
    root = idp.response(says, encrypt(assertion, how))
    root = idp.sign(root) if signs in ("response", "both") else root
    return await offices.arrive(root, relay_state)


GCM: Final = [
    How(),
    How(f"{XENC11}aes192-gcm", key_bytes=24),
    How(f"{XENC11}aes128-gcm", key_bytes=16, digest="sha256"),
    How(wrap=f"{XENC11}rsa-oaep", digest="sha512", mask="mgf1sha256"),
    How(wrap=f"{XENC11}rsa-oaep"),
    How(beside=True),
    How(strangers=3),
    How(unknown=True, strangers=1),
]
CBC_HOW: Final = [
    How(f"{XENC}aes256-cbc"),
    How(f"{XENC}aes192-cbc", key_bytes=24),
    How(f"{XENC}aes128-cbc", key_bytes=16, beside=True),
]


@pytest.mark.parametrize("signs", ["assertion", "response", "both"])
@pytest.mark.parametrize("how", GCM, ids=range(len(GCM)))
async def test_what_proves_itself_is_read_wherever_the_signature_is(
    offices: Offices, idp: IdentityProvider, provider: dict[str, Any], how: How, signs: str
) -> None:
    tokens = fragment(await arrive(offices, idp, provider, how, signs))
    claims = await offices.claims(tokens["access_token"])
    assert (claims["email"], claims["amr"][0]["method"]) == ("ada@corp.example", "sso/saml")


@pytest.mark.parametrize("how", CBC_HOW, ids=range(len(CBC_HOW)))
async def test_chained_blocks_are_read_in_a_signed_answer_only(
    offices: Offices, idp: IdentityProvider, provider: dict[str, Any], how: How
) -> None:
    for signs in ("response", "both"):
        fragment(await arrive(offices, idp, provider, how, signs))
    for damages in (False, True):  # whoever changes it learns nothing from the answer
        answer = await arrive(offices, idp, provider, how._replace(damages=damages), "assertion")
        assert refused(answer) == "encrypt the assertion with AES-GCM, or sign the whole answer"


@pytest.mark.parametrize(
    "how",
    [
        How(damages=True),
        How(to=STRANGER),
        How(strangers=4),
        How(wrap=f"{XENC}rsa-1_5"),
        How(f"{XENC}tripledes-cbc", key_bytes=24),
        How(f"{XENC11}aes128-gcm", key_bytes=32),
        How(wrap=f"{XENC11}rsa-oaep", mask="mgf1md5"),
        How(digest="md5"),
    ],
    ids=["damaged", "a stranger's", "too many", "PKCS 1.5", "3DES", "length", "mask", "digest"],
)
async def test_what_cannot_be_read_is_told_in_the_same_words(
    offices: Offices, idp: IdentityProvider, provider: dict[str, Any], how: How
) -> None:
    for signs in ("assertion", "response"):
        assert refused(await arrive(offices, idp, provider, how, signs)) == UNREADABLE


async def test_encryption_is_no_signature(
    offices: Offices, idp: IdentityProvider, provider: dict[str, Any]
) -> None:
    """Everybody can encrypt for us: the key is in our metadata."""
    answer = await arrive(offices, idp, provider, How(), "nothing")
    assert refused(answer) == "what is signed has no ID" or "made its signature" in refused(answer)
    request_id, relay_state = await offices.leave(provider)
    says = Says(request_id=request_id, subject=uuid4().hex)
    forged = encrypt(IdentityProvider(idp.entity_id).sign(idp.assertion(says)), How())
    both = idp.response(says, forged, idp.sign(idp.assertion(says)))
    assert refused(await offices.arrive(both, relay_state)) == "there is more than one Assertion"
    alone = idp.response(says, forged)
    assert "made its signature" in refused(await offices.arrive(alone, relay_state))
    nested = encrypt(etree.fromstring(b"<a/>"), How())
    assert refused(await offices.arrive(idp.response(says, nested), relay_state)) == UNREADABLE
    hollow = encrypt(idp.assertion(says), How())
    for path in ("CipherData", "EncryptionMethod", "KeyInfo"):
        broken = etree.fromstring(etree.tostring(hollow))
        (data,) = broken
        data.remove(next(element for element in data if element.tag.endswith(path)))
        assert refused(await offices.arrive(idp.response(says, broken), relay_state)) == UNREADABLE


async def test_metadata_offer_the_key(offices: Offices) -> None:
    answer = await offices.client.get("/auth/v1/sso/saml/metadata")
    described = etree.fromstring(answer.content).findall(f".//{{{MD}}}KeyDescriptor")
    assert [element.get("use") for element in described] == ["signing", "encryption"]
    certificate = described[1].findtext(f".//{{{NS['ds']}}}X509Certificate")
    published = load_der_x509_certificate(b64decode(certificate or ""))
    assert published.public_key() == KEY.public_key()
    methods = [element.get("Algorithm") for element in described[1].findall(f"{{{MD}}}EncryptionMethod")]
    assert methods[0] == f"{XENC11}aes256-gcm"


async def test_it_is_off_unless_it_is_on(connections: Connections) -> None:
    key = {"auth_saml_private_key": ENCRYPTED["auth_saml_private_key"]}
    async with running_app(connections, **SAML, **key) as served:
        plain, idp = Offices(served), IdentityProvider()
        answer = await arrive(plain, idp, await plain.found(idp), How(), "both")
        assert refused(answer) == "encrypted assertions are not accepted"
        metadata = (await plain.client.get("/auth/v1/sso/saml/metadata")).text
        assert 'use="encryption"' not in metadata
    without_key = {**SAML, "auth_saml_allow_encrypted_assertions": "true"}
    with pytest.raises(SettingsError, match="MONOHULL_AUTH_SAML_PRIVATE_KEY"):
        async with running_app(connections, **without_key):
            pass
