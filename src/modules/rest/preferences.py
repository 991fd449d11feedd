"""Parse ``Prefer:``.

    Prefer = preference *( "," preference )
    preference = name [ "=" value ]

Several headers count as one. Of each name the first valid one wins; what is
not understood is passed over, unless ``handling=strict`` says otherwise.

Source: RFC 7240; PostgREST 16, ``ApiRequest/Preferences.hs``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, cast

from msgspec import Struct

from modules.rest.errors import PreferencesInvalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from modules.query import Count

Resolution: TypeAlias = Literal["merge-duplicates", "ignore-duplicates"]
Return: TypeAlias = Literal["representation", "headers-only", "minimal"]
TxEnd: TypeAlias = Literal["commit", "rollback"]
Missing: TypeAlias = Literal["default", "null"]
NestedMode: TypeAlias = Literal["insert", "upsert"]

MAX_TIMEZONE: Final = 64
MAX_DIGITS: Final = 18

_VALUES: Final[Mapping[str, tuple[str, ...]]] = {
    "resolution": ("merge-duplicates", "ignore-duplicates"),
    "missing": ("default", "null"),
    "return": ("representation", "headers-only", "minimal"),
    "count": ("exact", "planned", "estimated"),
    "tx": ("commit", "rollback"),
    "handling": ("strict", "lenient"),
    "explain-denial": ("",),
    "etag": ("",),
    "respond-async": ("",),
    "nested": ("insert", "upsert"),
    "pagination": ("cursor",),
}

READ: Final = ("count", "tx", "handling", "timezone", "pagination")
INSERT: Final = ("resolution", "missing", "return", "count", "tx", "handling", "timezone", "nested")
UNRESOLVED: Final = INSERT[1:]
PUT: Final = UNRESOLVED[:-1]
UPDATE: Final = ("missing", "return", "count", "tx", "handling", "timezone", "max-affected")
DELETE: Final = ("return", "count", "tx", "handling", "timezone", "max-affected")
CALL: Final = ("count", "tx", "handling", "timezone", "max-affected")
"""What each kind of request can honour, in the order of ``Preference-Applied``."""


class Preferences(Struct, frozen=True):
    """What the client would like.

    Attributes:
        resolution: What an insert does about rows that exist.
        missing: What a key that a row of the body lacks means.
        returning: What comes back of written rows.
        count: Which total goes into ``Content-Range``.
        tx: How the transaction ends; None where the client has no say.
        handling: As given, for the echo.
        timezone: Time zone of the transaction.
        max_affected: Most rows that may be written, where handling is strict.
        explain_denial: Say why a request came to nothing; ours alone.
        etag: Give the answer an entity tag; ours alone.
        respond_async: Promise the call, and do not wait for it (RFC 7240).
        nested: Take objects and arrays under the name of a relationship as rows, to insert or to upsert;
            ours alone.
        pagination: ``cursor``: say where the pages beside this one begin; ours alone.
    """

    resolution: Resolution | None = None
    missing: Missing | None = None
    returning: Return | None = None
    count: Count | None = None
    tx: TxEnd | None = None
    handling: str | None = None
    timezone: str | None = None
    max_affected: str | None = None
    explain_denial: bool = False
    etag: bool = False
    respond_async: bool = False
    nested: NestedMode | None = None
    pagination: str | None = None

    def applied(self, honoured: Iterable[str] = READ) -> str:
        """Return the value of ``Preference-Applied``, empty for none.

        Args:
            honoured: Names that this kind of request can honour, in order.
        """
        given = {
            "resolution": self.resolution,
            "missing": self.missing,
            "return": self.returning,
            "count": self.count,
            "tx": self.tx,
            "handling": self.handling,
            "timezone": self.timezone,
            "max-affected": self.max_affected,
            "nested": self.nested,
            "pagination": self.pagination,
        }
        return ", ".join(f"{name}={given[name]}" for name in honoured if given[name] is not None)


NONE: Final = Preferences()


@lru_cache(maxsize=512)
def parse_preferences(headers: tuple[str, ...], *, allows_tx: bool = False) -> Preferences:
    """Return what the ``Prefer`` headers say.

    Args:
        headers: Their values.
        allows_tx: Whether the client may say how the transaction ends.

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
    is_strict = first.get("handling") == "strict"
    if unknown and is_strict:
        raise PreferencesInvalid(unknown)
    return Preferences(
        cast("Resolution | None", first.get("resolution")),
        cast("Missing | None", first.get("missing")),
        cast("Return | None", first.get("return")),
        cast("Count | None", first.get("count")),
        cast("TxEnd | None", first.get("tx")) if allows_tx else None,
        first.get("handling"),
        first.get("timezone"),
        first.get("max-affected") if is_strict else None,
        "explain-denial" in first,
        "etag" in first,
        "respond-async" in first,
        cast("NestedMode | None", first.get("nested")),
        first.get("pagination"),
    )


def _is_known(name: str, value: str) -> bool:
    match name:
        case "timezone":
            return 0 < len(value) <= MAX_TIMEZONE and value.isprintable()
        case "max-affected":
            return value.isascii() and value.isdigit() and len(value) <= MAX_DIGITS
        case _:
            return value in _VALUES.get(name, ())
