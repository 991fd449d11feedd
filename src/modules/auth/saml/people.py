"""Who an assertion is about, by the attributes that identity providers use.

Source: supabase/auth, ``internal/api/samlassertion.go``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from modules.auth.errors import ValidationFailed
from modules.auth.rules import check_storable, normal_email
from modules.auth.saml.documents import NAME_ID_FORMATS
from modules.auth.sso_errors import SamlAssertionNoEmail, SamlAssertionNoUserId

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from modules.auth.saml.responses import Assertion

SUBJECT_IDS: Final = (
    "urn:oasis:names:tc:SAML:attribute:subject-id",
    "urn:oasis:names:tc:SAML:attribute:pairwise-id",
)
EMAILS: Final = (
    "urn:oid:0.9.2342.19200300.100.1.3",
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress",
    "http://schemas.xmlsoap.org/claims/EmailAddress",
    "mail",
    "Mail",
    "email",
    "Email",
)
MAX_SUBJECT_CHARACTERS: Final = 1024
RESERVED: Final = frozenset({"sub", "iss", "email", "email_verified", "phone_verified"})
"""Of identity data: what a mapping cannot set."""


class Somebody(Struct, frozen=True, kw_only=True):
    """A person of an organisation: ``subject`` is what stays the same, ``claims`` the rest."""

    subject: str
    email: str
    claims: dict[str, Any]


def somebody(assertion: Assertion, mapping: Mapping[str, Any]) -> Somebody:
    """Return who signed in.

    Args:
        assertion: What was checked.
        mapping: ``{"keys": {claim: {"name": …, "names": […], "default": …, "array": bool}}}``.

    Raises:
        SamlAssertionNoUserId, SamlAssertionNoEmail: 422.
    """
    claims = _mapped(assertion.attributes, mapping)
    subject = _subject(assertion)
    email = claims.pop("email", None) or _email(assertion)
    if not isinstance(email, str) or not email:
        raise SamlAssertionNoEmail
    try:
        check_storable(claims)
        return Somebody(
            subject=subject,
            email=normal_email(email),
            claims={name: value for name, value in claims.items() if name not in RESERVED},
        )
    except ValidationFailed:
        raise SamlAssertionNoEmail from None


def _subject(assertion: Assertion) -> str:
    attribute = _first(assertion.attributes, SUBJECT_IDS)
    is_transient = assertion.name_id_format == NAME_ID_FORMATS["transient"]
    subject = attribute or ("" if is_transient else assertion.name_id)
    if not subject or len(subject) > MAX_SUBJECT_CHARACTERS:
        raise SamlAssertionNoUserId
    return subject


def _email(assertion: Assertion) -> str:
    found = _first(assertion.attributes, EMAILS)
    if not found and assertion.name_id_format == NAME_ID_FORMATS["emailAddress"]:
        return assertion.name_id
    return found


def _first(attributes: Mapping[str, Sequence[str]], names: Sequence[str]) -> str:
    return next((value for name in names for value in attributes.get(name, ()) if value), "")


def _mapped(attributes: Mapping[str, Sequence[str]], mapping: Mapping[str, Any]) -> dict[str, Any]:
    claims: dict[str, Any] = {}
    for claim, rule in mapping.get("keys", {}).items():
        names = [*([rule["name"]] if rule.get("name") else []), *(rule.get("names") or ())]
        values = next((attributes[name] for name in names if attributes.get(name)), None)
        if values is not None:
            claims[claim] = list(values) if rule.get("array") else values[0]
        elif rule.get("default") is not None:
            claims[claim] = rule["default"]
    return claims
