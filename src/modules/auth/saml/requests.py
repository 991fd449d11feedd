"""Ask an identity provider who somebody is: an ``AuthnRequest`` in an address.

Source: Bindings for SAML 2.0, section 3.4.4.
"""

from __future__ import annotations

import zlib
from base64 import b64encode
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from lxml import etree

from modules.auth.saml.documents import NAME_ID_FORMATS, POST, SAML, SAMLP, write
from modules.auth.saml.keys import SIGNATURE_METHOD
from monohull.kernel import clock

if TYPE_CHECKING:
    from modules.auth.saml.keys import ServiceKey
    from modules.auth.saml.metadata import IdentityProvider, Service


def request_url(  # noqa: PLR0913 what a request says, by name
    idp: IdentityProvider,
    service: Service,
    *,
    request_id: str,
    relay_state: str,
    name_id_format: str | None,
    key: ServiceKey | None,
) -> str:
    """Return where to send the browser.

    Args:
        idp: Whom to ask.
        service: Who asks.
        request_id: What the answer has to name.
        relay_state: What comes back with the answer.
        name_id_format: A key of `NAME_ID_FORMATS`, or None for any.
        key: Signs, or None.
    """
    compressor = zlib.compressobj(wbits=-15)
    deflated = compressor.compress(_document(idp, service, request_id, name_id_format)) + compressor.flush()
    query = {"SAMLRequest": b64encode(deflated).decode(), "RelayState": relay_state}
    if key is not None:
        query["SigAlg"] = SIGNATURE_METHOD
        query["Signature"] = b64encode(key.sign(urlencode(query).encode())).decode()
    separator = "&" if "?" in idp.sign_in_url else "?"
    return f"{idp.sign_in_url}{separator}{urlencode(query)}"


def _document(idp: IdentityProvider, service: Service, request_id: str, name_id_format: str | None) -> bytes:
    root = etree.Element(
        f"{{{SAMLP}}}AuthnRequest",
        nsmap={"samlp": SAMLP, "saml": SAML},
        ID=request_id,
        Version="2.0",
        IssueInstant=clock.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
        Destination=idp.sign_in_url,
        ProtocolBinding=POST,
        AssertionConsumerServiceURL=service.acs_url,
    )
    etree.SubElement(root, f"{{{SAML}}}Issuer").text = service.entity_id
    policy = etree.SubElement(root, f"{{{SAMLP}}}NameIDPolicy", AllowCreate="true")
    if name_id_format is not None:
        policy.set("Format", NAME_ID_FORMATS[name_id_format])
    return write(root)
