"""What an e-mail address, a password and metadata have to look like.

Source: supabase/auth, ``internal/api/password.go: checkPasswordStrength``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from modules.auth.addresses import is_listed, is_of_domain, parse_email
from modules.auth.errors import ValidationFailed, WeakPassword
from modules.auth.flow_errors import EmailAddressInvalid, EmailAddressNotAuthorized

if TYPE_CHECKING:
    from modules.auth.settings import AuthSettings

CHANNELS: Final = ("sms", "whatsapp")
MAX_PASSWORD_BYTES: Final = 72
"""GoTrue's, from its bcrypt days; its clients are told so."""

_PHONE: Final = re.compile(r"[1-9][0-9]{1,14}")


def normal_email(text: str) -> str:
    """Return the address in lower case.

    Raises:
        ValidationFailed: 400, it is no address.
    """
    if (email := parse_email(text)) is None:
        raise ValidationFailed("Unable to validate email address: invalid format")
    return email


def check_domain(email: str, settings: AuthSettings) -> None:
    """Refuse an address that nobody may sign up with.

    Raises:
        EmailAddressInvalid: 400, its domain is blocked.
    """
    if is_of_domain(email, settings.external_email_blocked_domains):
        raise EmailAddressInvalid(email)


def check_recipient(email: str, settings: AuthSettings) -> None:
    """Refuse to write to somebody whom the settings do not name, if they name anybody.

    Raises:
        EmailAddressNotAuthorized: 400.
    """
    named = settings.external_email_authorized_addresses
    if named and not is_listed(email, named):
        raise EmailAddressNotAuthorized(email)


def normal_phone(text: str) -> str:
    """Return the number in E.164 without its plus.

    >>> normal_phone("+49 151 2345678")
    '491512345678'

    Raises:
        ValidationFailed: 400, it is no number.
    """
    phone = text.replace(" ", "").removeprefix("+")
    if not _PHONE.fullmatch(phone):
        raise ValidationFailed("Invalid phone number format (E.164 required)")
    return phone


def check_channel(channel: str | None) -> None:
    """Refuse a way of sending text messages that there is not.

    Raises:
        ValidationFailed: 400.
    """
    if channel not in (None, "", *CHANNELS):
        raise ValidationFailed("Invalid channel, supported values are 'sms' or 'whatsapp'")


def check_password(password: str, settings: AuthSettings) -> None:
    """Refuse a password that is too long to be used or too weak.

    Raises:
        ValidationFailed: 400, more than 72 bytes.
        WeakPassword: 422, with the reasons.
    """
    if len(password.encode()) > MAX_PASSWORD_BYTES:
        raise ValidationFailed(f"Password cannot be longer than {MAX_PASSWORD_BYTES} characters")
    reasons, texts = [], []
    if len(password) < settings.password_min_length:
        reasons.append("length")
        texts.append(f"Password should be at least {settings.password_min_length} characters.")
    sets = character_sets(settings.password_required_characters)
    if any(not set(wanted) & set(password) for wanted in sets):
        reasons.append("characters")
        texts.append("Password should contain at least one character of each: " + ", ".join(sets) + ".")
    if reasons:
        raise WeakPassword(" ".join(texts), reasons)


def character_sets(text: str | None) -> list[str]:
    r"""Split ``PASSWORD_REQUIRED_CHARACTERS``; ``\:`` is a colon.

    >>> character_sets(r"abc:123:\:!")
    ['abc', '123', ':!']
    """
    return [part.replace("\\:", ":") for part in re.split(r"(?<!\\):", text or "") if part]


def check_storable(value: Any) -> None:
    """Refuse JSON that PostgreSQL cannot store.

    Raises:
        ValidationFailed: 400, a string holds the character U+0000.
    """
    if _has_nul(value):
        raise ValidationFailed("data must not contain the character U+0000")


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any("\0" in key or _has_nul(item) for key, item in value.items())
    return isinstance(value, list) and any(_has_nul(item) for item in value)
