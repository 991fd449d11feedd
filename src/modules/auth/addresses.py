"""What an e-mail address looks like. Source: supabase/auth, ``internal/api/mail.go: validateEmail``."""

from __future__ import annotations

import re
from typing import Final

MAX_EMAIL_CHARACTERS: Final = 255

_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_EMAIL: Final = re.compile(rf"[a-z0-9.!#$%&'*+/=?^_`{{|}}~-]+@{_LABEL}(?:\.{_LABEL})*")


def parse_email(text: str) -> str | None:
    """Return the address in lower case, or None when it is none.

    >>> parse_email(" Ada@Example.com "), parse_email("ada")
    ('ada@example.com', None)
    """
    email = text.strip().lower()
    return email if len(email) <= MAX_EMAIL_CHARACTERS and _EMAIL.fullmatch(email) else None
