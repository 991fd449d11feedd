"""What relations and functions have in common: names and columns."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

Key: TypeAlias = tuple[str, str]
"""Schema and name."""


class TableColumn(Struct, frozen=True, gc=False):
    """A column of a relation.

    Attributes:
        type: As ``format_type`` writes it, ``character varying(40)``, with its schema unless it is
            the server's own.
        base_type: Without modifiers and with domains resolved, ``int4``, ``_text`` for an array.
        is_document: The base type is ``json`` or ``jsonb``, whose arrows need no conversion.
        has_default: A value appears when none is given: default, identity or generated.
        comment: What COMMENT ON COLUMN says, or None.
        default: Expression of the value it has when none is given; None for null and for what is computed.
    """

    name: str
    type: str
    base_type: str
    is_nullable: bool
    has_default: bool
    is_generated: bool
    comment: str | None
    default: str | None = None

    @property
    def is_document(self) -> bool:
        return self.base_type in ("json", "jsonb")
