"""What an e-mail address looks like. Source: supabase/auth, ``internal/api/mail.go: validateEmail``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

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


def is_of_domain(email: str, domains: Iterable[str]) -> bool:
    """Tell whether the address is of one of ``domains`` or of one below it.

    >>> is_of_domain("a@mail.example.com", ["Example.com"]), is_of_domain("a@anexample.com", ["example.com"])
    (True, False)
    """
    host = "." + email.rpartition("@")[2].lower()
    return any(host.endswith("." + domain.lower().strip(" .@")) for domain in domains)


def is_listed(email: str, entries: Iterable[str]) -> bool:
    """Tell whether the address is named by itself or by its whole domain.

    >>> is_listed("a@example.com", ["@example.com"]), is_listed("a@example.com", ["b@example.com"])
    (True, False)
    """
    domain = "@" + email.rpartition("@")[2]
    wanted = {entry.strip().lower() for entry in entries}
    return email.lower() in wanted or domain.lower() in wanted
