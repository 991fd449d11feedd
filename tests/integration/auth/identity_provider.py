"""A small SAML identity provider with a key of its own, which can also lie."""

from __future__ import annotations

import zlib
from base64 import b64decode, b64encode
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from lxml import etree
from msgspec import Struct, field
from signxml.algorithms import CanonicalizationMethod, DigestAlgorithm, SignatureMethod
from signxml.signer import XMLSigner

if TYPE_CHECKING:
    from collections.abc import Mapping

SERVICE: Final = "http://127.0.0.1:8000/auth/v1/sso/saml"
ACS: Final = f"{SERVICE}/acs"
AUDIENCE: Final = f"{SERVICE}/metadata"
LOCATION: Final = "https://idp.example/sso?tenant=1"
NS: Final = {
    "saml": "urn:oasis:names:tc:SAML:2.0:assertion",
    "samlp": "urn:oasis:names:tc:SAML:2.0:protocol",
    "ds": "http://www.w3.org/2000/09/xmldsig#",
}
PERSISTENT: Final = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
SUCCESS: Final = "urn:oasis:names:tc:SAML:2.0:status:Success"


class Says(Struct, kw_only=True):
    """What an answer says; each field can be a lie. Times are seconds from now, None leaves a part out."""

    request_id: str | None
    subject: str | None = "ada"
    name_id_format: str = PERSISTENT
    issuer: str | None = None
    outer_issuer: str | None = None
    audience: str | None = AUDIENCE
    recipient: str | None = ACS
    destination: str | None = ACS
    confirms: str | None = ""
    method: str = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
    ends: int | None = 300
    confirmation_ends: int | None = 300
    begins: int = -1
    status: str = SUCCESS
    version: str = "2.0"
    has_conditions: bool = True
    has_statement: bool = True
    attributes: Mapping[str, list[str]] = field(default_factory=lambda: {"mail": ["ada@corp.example"]})
    assertion_id: str | None = None


class IdentityProvider:
    """Knows people, and signs for them."""

    def __init__(self, entity_id: str | None = None, location: str = LOCATION) -> None:
        self.location = location
        self.entity_id = entity_id or f"https://idp.example/{uuid4()}"
        self.key = rsa.generate_private_key(65537, 2048)
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "idp")])
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime.now(UTC) - timedelta(days=1))
            .not_valid_after(datetime.now(UTC) + timedelta(days=1))
            .sign(self.key, SHA256())
        )

    @property
    def metadata(self) -> str:
        certificate = b64encode(self.certificate.public_bytes(Encoding.DER)).decode()
        return (
            '<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata"'
            f' entityID="{self.entity_id}">'
            f'<md:IDPSSODescriptor protocolSupportEnumeration="{NS["samlp"]}">'
            f'<md:KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="{NS["ds"]}"><ds:X509Data>'
            f"<ds:X509Certificate>{certificate}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>"
            "</md:KeyDescriptor>"
            '<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"'
            f' Location="{self.location}"/></md:IDPSSODescriptor></md:EntityDescriptor>'
        )

    def sign(self, element: Any, *, sha: str = "SHA256") -> Any:
        """Put a signature into ``element``, behind its issuer."""
        signer = XMLSigner(
            signature_algorithm=SignatureMethod[f"RSA_{sha}"],
            digest_algorithm=DigestAlgorithm[sha],
            c14n_algorithm=CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0,
        )
        signed = signer.sign(
            etree.fromstring(etree.tostring(element)),
            key=self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
            cert=self.certificate.public_bytes(Encoding.PEM).decode(),
            reference_uri=element.get("ID"),
        )
        return etree.fromstring(etree.tostring(signed))

    def assertion(self, says: Says) -> Any:
        """Return an assertion without a signature."""
        root = _element("saml:Assertion", ID=says.assertion_id or f"a-{uuid4()}", Version=says.version)
        root.set("IssueInstant", _at(0))
        _add(root, "saml:Issuer", says.issuer or self.entity_id)
        subject = _add(root, "saml:Subject")
        if says.subject is not None:
            _add(subject, "saml:NameID", says.subject, Format=says.name_id_format)
        confirmation = _add(subject, "saml:SubjectConfirmation", Method=says.method)
        _add(
            confirmation,
            "saml:SubjectConfirmationData",
            Recipient=says.recipient,
            InResponseTo=says.request_id if says.confirms == "" else says.confirms,
            NotOnOrAfter=_at(says.confirmation_ends),
        )
        if says.has_conditions:
            conditions = _add(
                root, "saml:Conditions", NotBefore=_at(says.begins), NotOnOrAfter=_at(says.ends)
            )
            if says.audience is not None:
                _add(_add(conditions, "saml:AudienceRestriction"), "saml:Audience", says.audience)
        if says.has_statement:
            _add(root, "saml:AuthnStatement", AuthnInstant=_at(0))
        statement = _add(root, "saml:AttributeStatement")
        for name, values in says.attributes.items():
            attribute = _add(statement, "saml:Attribute", Name=name)
            for value in values:
                _add(attribute, "saml:AttributeValue", value)
        return root

    def response(self, says: Says, *assertions: Any) -> Any:
        """Return an answer around ``assertions``."""
        root = _element("samlp:Response", ID=f"r-{uuid4()}", Version="2.0", IssueInstant=_at(0))
        for name, value in (("Destination", says.destination), ("InResponseTo", says.request_id)):
            if value is not None:
                root.set(name, value)
        _add(root, "saml:Issuer", says.outer_issuer or self.entity_id)
        _add(_add(root, "samlp:Status"), "samlp:StatusCode", Value=says.status)
        root.extend(assertions)
        return root

    def answer(self, says: Says, *, signs: str = "assertion") -> Any:
        """Return an answer whose ``response``, ``assertion``, or both are signed, or neither."""
        assertion = self.assertion(says)
        if signs in ("assertion", "both"):
            assertion = self.sign(assertion)
        root = self.response(says, assertion)
        return self.sign(root) if signs in ("response", "both") else root


def read_request(url: str) -> tuple[Any, str]:
    """Return the request that a browser carries, and its relay state."""
    query = parse_qs(urlsplit(url).query)
    document = etree.fromstring(zlib.decompress(b64decode(query["SAMLRequest"][0]), wbits=-15))
    return document, query["RelayState"][0]


def encode(root: Any) -> str:
    document = root if isinstance(root, bytes) else etree.tostring(root)
    return b64encode(document).decode()


def _element(name: str, **attributes: str) -> Any:
    prefix, _, local = name.partition(":")
    return etree.Element(f"{{{NS[prefix]}}}{local}", nsmap={prefix: NS[prefix]}, **attributes)


def _add(parent: Any, name: str, text: str | None = None, **attributes: str | None) -> Any:
    prefix, _, local = name.partition(":")
    given = {key: value for key, value in attributes.items() if value is not None}
    child = etree.SubElement(parent, f"{{{NS[prefix]}}}{local}", nsmap={prefix: NS[prefix]}, **given)
    child.text = text
    return child


def _at(seconds: int | None) -> Any:
    if seconds is None:
        return None
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
