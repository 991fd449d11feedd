"""Who an identity provider is: read its metadata, and write ours.

Source: Metadata for SAML 2.0, sections 2.3 to 2.4.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from cryptography import x509
from lxml import etree
from msgspec import Struct

from modules.auth.redirects import MAX_URL_CHARACTERS
from modules.auth.saml.documents import (
    DS,
    MD,
    NAME_ID_FORMATS,
    POST,
    REDIRECT,
    SAMLP,
    Unreadable,
    child,
    children,
    read,
    text_of,
    write,
)
from modules.auth.saml.encryption import OAEP_MGF1_SHA1, XENC11

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from modules.auth.saml.keys import ServiceKey

MAX_ENTITY_ID_CHARACTERS: Final = 1024
OFFERED_METHODS: Final = (f"{XENC11}aes256-gcm", f"{XENC11}aes128-gcm", OAEP_MGF1_SHA1)
"""How assertions should be encrypted for us, best first; more is understood."""


class IdentityProvider(Struct, frozen=True, kw_only=True):
    """What metadata say. ``certificates`` are PEM; any of them may have signed."""

    entity_id: str
    sign_in_url: str
    certificates: Sequence[str]


class Service(Struct, frozen=True, kw_only=True):
    """Ourselves: ``entity_id`` is where our metadata are, ``acs_url`` where answers go."""

    entity_id: str
    acs_url: str


def read_metadata(xml: str) -> IdentityProvider:
    """Read what an administrator gave or its address answered.

    Raises:
        Unreadable: It describes no identity provider that can be used.
    """
    root = read(xml.encode())
    if root.tag != f"{{{MD}}}EntityDescriptor":
        raise Unreadable("the root must be an EntityDescriptor")
    entity_id = root.get("entityID", "").strip()
    if not entity_id or len(entity_id) > MAX_ENTITY_ID_CHARACTERS:
        raise Unreadable("entityID is missing or too long")
    until = root.get("validUntil")
    if until is not None and _is_over(until):
        raise Unreadable("the metadata are not valid any more")
    descriptor = child(root, MD, "IDPSSODescriptor")
    if descriptor is None:
        raise Unreadable("there is no IDPSSODescriptor")
    if SAMLP not in descriptor.get("protocolSupportEnumeration", "").split():
        raise Unreadable("the identity provider does not speak SAML 2.0")
    certificates = list(dict.fromkeys(_certificates(descriptor)))
    if not certificates:
        raise Unreadable("there is no signing certificate")
    return IdentityProvider(
        entity_id=entity_id, sign_in_url=_sign_in_url(descriptor), certificates=certificates
    )


def _sign_in_url(descriptor: etree._Element) -> str:
    for service in children(descriptor, MD, "SingleSignOnService"):
        if service.get("Binding") == REDIRECT:
            url: str = service.get("Location", "").strip()
            parts = urlsplit(url)
            if parts.scheme in ("https", "http") and parts.hostname and len(url) <= MAX_URL_CHARACTERS:
                return url
    raise Unreadable("there is no SingleSignOnService with the HTTP-Redirect binding")


def _certificates(descriptor: etree._Element) -> Iterator[str]:
    for key in children(descriptor, MD, "KeyDescriptor"):
        if key.get("use", "signing") != "signing":
            continue
        for element in key.iter(f"{{{DS}}}X509Certificate"):
            body = "".join(text_of(element).split())
            lines = "\n".join(body[start : start + 64] for start in range(0, len(body), 64))
            pem = f"-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n"
            try:
                x509.load_pem_x509_certificate(pem.encode())
            except ValueError as error:
                raise Unreadable("a signing certificate cannot be read") from error
            yield pem


def _is_over(until: str) -> bool:
    try:
        end = datetime.fromisoformat(until)
    except ValueError:
        raise Unreadable("validUntil is no time") from None
    return (end if end.tzinfo else end.replace(tzinfo=UTC)) <= datetime.now(UTC)


def write_metadata(service: Service, key: ServiceKey | None, *, decrypts: bool = False) -> bytes:
    """Return what identity providers need to know of us; ``decrypts``: that they may encrypt for ``key``."""
    root = etree.Element(f"{{{MD}}}EntityDescriptor", nsmap={"md": MD, "ds": DS}, entityID=service.entity_id)
    descriptor = etree.SubElement(
        root,
        f"{{{MD}}}SPSSODescriptor",
        AuthnRequestsSigned="false" if key is None else "true",
        WantAssertionsSigned="true",
        protocolSupportEnumeration=SAMLP,
    )
    if key is not None:
        _add_key(descriptor, "signing", key)
        if decrypts:
            described = _add_key(descriptor, "encryption", key)
            for method in OFFERED_METHODS:
                etree.SubElement(described, f"{{{MD}}}EncryptionMethod", Algorithm=method)
    for form in NAME_ID_FORMATS.values():
        etree.SubElement(descriptor, f"{{{MD}}}NameIDFormat").text = form
    etree.SubElement(
        descriptor,
        f"{{{MD}}}AssertionConsumerService",
        Binding=POST,
        Location=service.acs_url,
        index="1",
        isDefault="true",
    )
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + write(root)


def _add_key(descriptor: etree._Element, use: str, key: ServiceKey) -> etree._Element:
    described = holder = etree.SubElement(descriptor, f"{{{MD}}}KeyDescriptor", use=use)
    for name in ("KeyInfo", "X509Data", "X509Certificate"):
        holder = etree.SubElement(holder, f"{{{DS}}}{name}")
    holder.text = key.certificate
    return described
