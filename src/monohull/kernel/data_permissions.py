"""What a request does to data, as names of permissions.

    data.orders:read               a relation of the first exposed schema
    data.billing.invoices:update   a relation of any schema, the first included
    data.rpc.total:call            a function of the first exposed schema
    data.billing.rpc.total:call    a function of any schema
    data.orders:*  data.rpc.*  data.billing.*  data.*     patterns, as `permissions.grants` reads them

Nobody registers these names: they follow from the database, so that a whole
`Family` of them is registered. A name that holds one of ``. : * %``, or a space,
has it written as in a URL: the relation ``my.table`` is ``data.my%2Etable``.

``data.billing.*`` is everything in the schema ``billing`` and, where there is
one, the relation of that name in the first schema; ``data.rpc.*`` likewise.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal, TypeAlias
from urllib.parse import quote, unquote

from msgspec import Struct

from monohull.kernel.permissions import Family

if TYPE_CHECKING:
    from collections.abc import Sequence

Verb: TypeAlias = Literal["read", "insert", "update", "delete"]

AREA: Final = "data"
ROUTINES: Final = "rpc"
CALL: Final = "call"
VERBS: Final[tuple[Verb, ...]] = ("read", "insert", "update", "delete")
EVERYTHING: Final = frozenset({"*", f"{AREA}.*"})
"""Patterns that leave no data out."""

_SPECIAL: Final = re.compile(r"[%.:*\s\x00-\x1f\x7f]")
_PART: Final = r"(?:[^%.:*\s\x00-\x1f\x7f]|%[0-9A-F]{2})+"
_PATTERN: Final = re.compile(
    rf"{AREA}(?:\.(?P<schema>{_PART}))??"
    rf"(?:\.{ROUTINES}(?:\.\*|\.(?P<routine>{_PART}):(?:{CALL}|\*))"
    rf"|\.(?P<relation>{_PART}):(?:{'|'.join(VERBS)}|\*)"
    rf"|\.\*)"
)


class Named(Struct, frozen=True):
    """The thing that a pattern names.

    Attributes:
        schema: None where the first exposed one is meant.
        name: Of the relation or function.
        is_routine: Which of both.
    """

    schema: str | None
    name: str
    is_routine: bool


def relation_permissions(schema: str, name: str, verb: Verb, *, first: str) -> Sequence[str]:
    """Return the names under which the permission may be held; the first is the shortest.

    >>> relation_permissions("public", "my.table", "read", first="public")
    ['data.my%2Etable:read', 'data.public.my%2Etable:read']
    """
    return _names(schema, f"{written(name)}:{verb}", first)


def routine_permissions(schema: str, name: str, *, first: str) -> Sequence[str]:
    """Like `relation_permissions`, for calling a function.

    >>> routine_permissions("billing", "total", first="public")
    ['data.billing.rpc.total:call']
    """
    return _names(schema, f"{ROUTINES}.{written(name)}:{CALL}", first)


def is_data_permission(text: str) -> bool:
    """Say whether ``text`` is a name or a pattern of this family.

    >>> is_data_permission("data.orders:read"), is_data_permission("data.orders:reed")
    (True, False)
    """
    return _PATTERN.fullmatch(text) is not None


def named_in(text: str) -> Named | None:
    """Return the relation or function that a permission names; None for a pattern of many.

    >>> named_in("data.billing.rpc.total:call")
    Named(schema='billing', name='total', is_routine=True)
    """
    match = _PATTERN.fullmatch(text)
    name = match and (match["routine"] or match["relation"])
    if match is None or name is None:
        return None
    schema = match["schema"]
    return Named(unquote(schema) if schema else None, unquote(name), match["routine"] is not None)


def written(name: str) -> str:
    """Return the name of a schema, relation or function as permissions write it."""
    return _SPECIAL.sub(lambda found: quote(found[0], safe="").replace(".", "%2E"), name)


def _names(schema: str, rest: str, first: str) -> list[str]:
    qualified = f"{AREA}.{written(schema)}.{rest}"
    return [f"{AREA}.{rest}", qualified] if schema == first else [qualified]


DATA: Final = Family(
    area=AREA,
    forms=(
        ("data.<relation>:read", "Read rows of the relation, also where it is embedded or joins two others."),
        ("data.<relation>:insert", "Insert rows. An upsert that merges needs `update` too."),
        ("data.<relation>:update", "Change rows. To get them back needs `read` too."),
        ("data.<relation>:delete", "Delete rows. To get them back needs `read` too."),
        ("data.rpc.<function>:call", "Call the function."),
        ("data.<schema>.<relation>:…", "The same in a schema that is not the first of the exposed ones."),
        ("data.<schema>.rpc.<function>:call", "The same in such a schema."),
    ),
    is_member=is_data_permission,
)
"""Registered by the data API, which asks for them."""
