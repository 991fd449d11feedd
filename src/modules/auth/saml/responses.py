"""Check an identity provider's answer, and read it.

The document that arrives is used for two things: to find whose it claims to be,
and to find a signature. What the signature covers comes back from the verifier
as a document of its own, and nothing else is read: wherever somebody wraps,
moves or doubles an assertion, it is either the signed one or it does not exist.

Sources: Core, sections 2.3 to 2.5 and 3.2; Profiles, section 4.1.4.3; "On Breaking SAML: Be
Whoever You Want to Be" (Somorovsky et al., 2012).
"""

from __future__ import annotations

from base64 import b64decode
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidKey, UnsupportedAlgorithm
from lxml import etree
from msgspec import Struct
from signxml.algorithms import DigestAlgorithm, SignatureMethod
from signxml.exceptions import SignXMLException
from signxml.verifier import SignatureConfiguration, XMLVerifier

from modules.auth.saml.documents import (
    DS,
    MAX_BYTES,
    SAML,
    SAMLP,
    Unreadable,
    child,
    children,
    parser,
    read,
    text_of,
    write,
)
from modules.auth.saml.encryption import decrypt
from monohull.kernel import clock

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from modules.auth.saml.keys import ServiceKey
    from modules.auth.saml.metadata import IdentityProvider, Service

SKEW: Final = timedelta(seconds=30)
"""How far the identity provider's clock may be off."""

MAX_LIFETIME: Final = timedelta(days=1)
"""An assertion that holds longer is a password; its id would have to be remembered as long."""

SUCCESS: Final = "urn:oasis:names:tc:SAML:2.0:status:Success"
BEARER: Final = "urn:oasis:names:tc:SAML:2.0:cm:bearer"

_CONFIGURATION: Final = SignatureConfiguration(
    location="./",
    expect_references=1,
    signature_methods=frozenset(
        {
            SignatureMethod.RSA_SHA256,
            SignatureMethod.RSA_SHA384,
            SignatureMethod.RSA_SHA512,
            SignatureMethod.ECDSA_SHA256,
            SignatureMethod.ECDSA_SHA384,
            SignatureMethod.ECDSA_SHA512,
        }
    ),
    digest_algorithms=frozenset({DigestAlgorithm.SHA256, DigestAlgorithm.SHA384, DigestAlgorithm.SHA512}),
)


class Refused(ValueError):
    """The answer proves nothing; the text says which rule it broke."""


class Arrived(Struct, frozen=True):
    """An answer that was not checked: the document, and whose it claims to be."""

    root: etree._Element
    issuer: str


class Assertion(Struct, frozen=True, kw_only=True):
    """What was signed, and holds here and now.

    Attributes:
        id: Of the assertion, which is accepted once.
        expires_at: When it needs to be remembered no more.
        name_id: What the identity provider calls somebody.
        name_id_format: What kind of name that is; empty when it does not say.
        attributes: Texts by the attribute's name, and by its friendly name where that is free.
    """

    id: str
    expires_at: datetime
    name_id: str
    name_id_format: str
    attributes: Mapping[str, Sequence[str]]


def read_response(encoded: str) -> Arrived:
    """Decode what a browser brought.

    Raises:
        Refused: It is no answer, or the identity provider refused somebody.
    """
    if len(encoded) > MAX_BYTES:
        raise Refused("it is too long")
    try:
        root = read(b64decode("".join(encoded.split()), validate=True))
        status = child(root, SAMLP, "Status")
        code = child(status, SAMLP, "StatusCode") if status is not None else None
        issuer = text_of(child(root, SAML, "Issuer"))
        if not issuer and (assertion := child(root, SAML, "Assertion")) is not None:
            issuer = text_of(child(assertion, SAML, "Issuer"))
    except Unreadable as error:
        raise Refused(str(error)) from error
    except ValueError as error:
        raise Refused("it is not base64") from error
    if root.tag != f"{{{SAMLP}}}Response" or root.get("Version") != "2.0":
        raise Refused("it is no SAML 2.0 response")
    if code is None or code.get("Value") != SUCCESS:
        raise Refused("the identity provider refused the sign-in")
    if not issuer:
        raise Refused("it names no issuer")
    return Arrived(root, issuer)


def verify(
    arrived: Arrived,
    idp: IdentityProvider,
    service: Service,
    *,
    request_id: str | None,
    key: ServiceKey | None = None,
) -> Assertion:
    """Return the assertion of an answer once everything about it holds.

    Args:
        arrived: The answer.
        idp: Whose it has to be.
        service: For whom it has to be.
        request_id: What it has to answer; None when nobody asked.
        key: Reads what is encrypted for us; None where encrypted assertions are not accepted.

    Raises:
        Refused: Something does not hold.
    """
    try:
        _check_envelope(arrived.root, service, request_id)
        signed = _signed_assertion(arrived.root, idp, key)
        return _check_assertion(signed, idp, service, request_id)
    except Unreadable as error:
        raise Refused(str(error)) from error


def _check_envelope(root: etree._Element, service: Service, request_id: str | None) -> None:
    """Check what may not be signed; that it is right proves nothing, and that it is wrong is enough."""
    if root.get("Destination", service.acs_url) != service.acs_url:
        raise Refused("it is for another address")
    if root.get("InResponseTo") != request_id:
        raise Refused("it answers another request")


def _signed_assertion(root: etree._Element, idp: IdentityProvider, key: ServiceKey | None) -> etree._Element:
    """Return the assertion that the identity provider signed, alone or with the whole answer."""
    if child(root, DS, "Signature") is not None:
        return _assertion_in(_verified(root, idp), key, is_signed=True)
    return _verified(_assertion_in(root, key, is_signed=False), idp)


def _assertion_in(root: etree._Element, key: ServiceKey | None, *, is_signed: bool) -> etree._Element:
    """Return the one assertion of an answer, decrypted if need be."""
    plain = child(root, SAML, "Assertion")
    encrypted = child(root, SAML, "EncryptedAssertion")
    if encrypted is None:
        if plain is None:
            raise Refused("there is no assertion")
        return plain
    if plain is not None:
        raise Refused("there is more than one Assertion")
    if key is None:
        raise Refused("encrypted assertions are not accepted")
    return decrypt(encrypted, key, is_signed=is_signed)


def _verified(element: etree._Element, idp: IdentityProvider) -> etree._Element:
    """Return what the signature of ``element`` covers, which has to be that very element."""
    if not element.get("ID"):
        raise Refused("what is signed has no ID")
    document = write(element)
    for certificate in idp.certificates:
        try:
            result = XMLVerifier().verify(
                document,
                x509_cert=certificate,
                parser=parser(),
                id_attribute="ID",
                expect_config=_CONFIGURATION,
            )
        except (SignXMLException, etree.LxmlError, ValueError, KeyError, InvalidKey, UnsupportedAlgorithm):
            continue
        found = getattr(result, "signed_xml", None)
        if found is None or found.tag != element.tag or found.get("ID") != element.get("ID"):
            raise Refused("the signature covers something else")
        return read(write(found))
    raise Refused("no key of the identity provider made its signature")


def _check_assertion(
    assertion: etree._Element, idp: IdentityProvider, service: Service, request_id: str | None
) -> Assertion:
    assertion_id = assertion.get("ID")
    if not assertion_id or assertion.get("Version") != "2.0":
        raise Refused("it has no ID or another version")
    if text_of(child(assertion, SAML, "Issuer")) != idp.entity_id:
        raise Refused("another identity provider issued it")
    ends = [_check_conditions(assertion, service)]
    subject = child(assertion, SAML, "Subject")
    if subject is None:
        raise Refused("it has no subject")
    ends.append(_check_subject(subject, service, request_id))
    if child(assertion, SAML, "AuthnStatement") is None:
        raise Refused("it does not say that somebody signed in")
    name_id = child(subject, SAML, "NameID")
    return Assertion(
        id=assertion_id,
        expires_at=max(ends) + SKEW,
        name_id=text_of(name_id),
        name_id_format=name_id.get("Format", "") if name_id is not None else "",
        attributes=_attributes(assertion),
    )


def _check_conditions(assertion: etree._Element, service: Service) -> datetime:
    conditions = child(assertion, SAML, "Conditions")
    if conditions is None:
        raise Refused("it has no conditions")
    end = _check_times(conditions)
    restrictions = list(children(conditions, SAML, "AudienceRestriction"))
    audiences = [
        {text_of(audience) for audience in children(restriction, SAML, "Audience")}
        for restriction in restrictions
    ]
    if not audiences or not all(service.entity_id in names for names in audiences):
        raise Refused("it is for another audience")
    return end


def _check_subject(subject: etree._Element, service: Service, request_id: str | None) -> datetime:
    """Return when the confirmation ends that lets a browser bring this; one that fits is enough."""
    reason = "no confirmation lets a browser bring it"
    for confirmation in children(subject, SAML, "SubjectConfirmation"):
        found = child(confirmation, SAML, "SubjectConfirmationData")
        if confirmation.get("Method") != BEARER or found is None:
            continue
        if found.get("Recipient") != service.acs_url:
            reason = "it is for another recipient"
        elif found.get("InResponseTo") != request_id:
            reason = "it answers another request"
        else:
            return _check_times(found)
    raise Refused(reason)


def _check_times(element: etree._Element) -> datetime:
    at = clock.now()
    start, end = _time(element.get("NotBefore")), _time(element.get("NotOnOrAfter"))
    if start is not None and start - SKEW > at:
        raise Refused("it does not hold yet")
    if end is None:
        raise Refused("it does not say when it ends")
    if end + SKEW <= at:
        raise Refused("it has expired")
    if end - at > MAX_LIFETIME:
        raise Refused("it holds for longer than a day")
    return end


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text.strip())
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise Refused("a time in it cannot be read") from None


def _attributes(assertion: etree._Element) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    friendly: dict[str, list[str]] = {}
    for attribute in _every_attribute(assertion):
        values = [text_of(value) for value in children(attribute, SAML, "AttributeValue")]
        found.setdefault(attribute.get("Name", ""), []).extend(values)
        if name := attribute.get("FriendlyName"):
            friendly.setdefault(name, []).extend(values)
    return {**friendly, **found}


def _every_attribute(assertion: etree._Element) -> Iterator[etree._Element]:
    for statement in children(assertion, SAML, "AttributeStatement"):
        yield from children(statement, SAML, "Attribute")
