"""Parse ``Prefer:``.

    Prefer = preference *( "," preference )
    preference = name [ "=" value ]

Several headers count as one. Of each name the first valid one wins; what is
not understood is passed over, unless ``handling=strict`` says otherwise.

Source: RFC 7240; PostgREST 16, ``ApiRequest/Preferences.hs``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from msgspec import Struct

from modules.rest.errors import PreferencesInvalid

if TYPE_CHECKING:
    from collections.abc import Iterable

    from modules.query import Count

COUNTS: Final = ("exact", "planned", "estimated")
MAX_TIMEZONE: Final = 64
_NOT_FOR_READS: Final = {
    "resolution": ("merge-duplicates", "ignore-duplicates"),
    "return": ("representation", "headers-only", "minimal"),
    "missing": ("default", "null"),
    "tx": ("commit", "rollback"),
}
"""Preferences that are understood and say nothing about a read."""


class Preferences(Struct, frozen=True):
    """What the client would like.

    Attributes:
        count: Which total goes into ``Content-Range``.
        is_strict: Unknown preferences are refused.
        handling: As given, for the echo.
        timezone: Time zone of the transaction.
    """

    count: Count | None = None
    handling: str | None = None
    timezone: str | None = None

    @property
    def is_strict(self) -> bool:
        return self.handling == "strict"

    def applied(self) -> str:
        """Return the value of ``Preference-Applied``, empty for none; PostgREST's order."""
        pairs = (("count", self.count), ("handling", self.handling), ("timezone", self.timezone))
        return ", ".join(f"{name}={value}" for name, value in pairs if value is not None)


NONE: Final = Preferences()


def parse_preferences(headers: Iterable[str]) -> Preferences:
    """Return what the ``Prefer`` headers of a read say.

    Raises:
        PreferencesInvalid: PGRST122, strict and not understood.
    """
    wishes = [wish.strip() for header in headers for wish in header.split(",")]
    first: dict[str, str] = {}
    unknown: list[str] = []
    for wish in wishes:
        name, _, value = wish.partition("=")
        if _is_known(name, value):
            first.setdefault(name, value)
        elif wish:
            unknown.append(wish)
    if unknown and first.get("handling") == "strict":
        raise PreferencesInvalid(unknown)
    return Preferences(cast("Count | None", first.get("count")), first.get("handling"), first.get("timezone"))


def _is_known(name: str, value: str) -> bool:
    match name:
        case "count":
            return value in COUNTS
        case "handling":
            return value in ("strict", "lenient")
        case "timezone":
            return 0 < len(value) <= MAX_TIMEZONE and value.isprintable()
        case "max-affected":
            return value.isdigit()
        case _:
            return value in _NOT_FOR_READS.get(name, ())
