"""Read XML that strangers send.

No document type, so no entities, and nothing is fetched. Comments and
processing instructions go while reading: signatures do not cover them, and a
text that one of them splits has to read as the signer meant it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from lxml import etree

if TYPE_CHECKING:
    from collections.abc import Iterator

SAML: Final = "urn:oasis:names:tc:SAML:2.0:assertion"
SAMLP: Final = "urn:oasis:names:tc:SAML:2.0:protocol"
MD: Final = "urn:oasis:names:tc:SAML:2.0:metadata"
DS: Final = "http://www.w3.org/2000/09/xmldsig#"
REDIRECT: Final = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
POST: Final = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
NAME_ID_FORMATS: Final = {
    "emailAddress": "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress",
    "unspecified": "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified",
    "persistent": "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent",
    "transient": "urn:oasis:names:tc:SAML:2.0:nameid-format:transient",
}
MAX_BYTES: Final = 1_000_000


class Unreadable(ValueError):
    """It is no XML that is read here."""


def parser() -> etree.XMLParser:
    """Return a parser that resolves, loads and fetches nothing."""
    return etree.XMLParser(
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )


def read(xml: bytes) -> etree._Element:
    """Return the root of a document.

    Raises:
        Unreadable: It is no XML, has a document type, or is too large.
    """
    if len(xml) > MAX_BYTES:
        raise Unreadable(f"the document has more than {MAX_BYTES} bytes")
    try:
        root = etree.fromstring(xml, parser())
    except (etree.XMLSyntaxError, ValueError) as error:
        raise Unreadable("the document is no well-formed XML") from error
    if root.getroottree().docinfo.internalDTD is not None:
        raise Unreadable("document types are not read")
    return root


def write(root: etree._Element) -> bytes:
    """Return an element as a document of its own."""
    written: bytes = etree.tostring(root, with_tail=False)
    return written


def children(parent: etree._Element, namespace: str, name: str) -> Iterator[etree._Element]:
    """Yield the direct children of one kind; what lies deeper was put there by somebody else."""
    yield from parent.iterchildren(f"{{{namespace}}}{name}")


def child(parent: etree._Element, namespace: str, name: str) -> etree._Element | None:
    """Return the only direct child of a kind, or None.

    Raises:
        Unreadable: There are several.
    """
    found = list(children(parent, namespace, name))
    if len(found) > 1:
        raise Unreadable(f"there is more than one {name}")
    return found[0] if found else None


def text_of(element: etree._Element | None) -> str:
    """Return the whole text of an element, trimmed; empty for None."""
    return "" if element is None else "".join(element.itertext()).strip()
