"""Marks in comments: which columns are read under the eyes of the audit log, and which tables written.

    comment on column people.ssn is 'Social security number @sensitive'
    comment on table payments is 'What was paid @audited'

Whether a statement is concerned is decided once, when it is compiled.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from modules.query.plan.model import (
    PlannedAbsence,
    PlannedColumn,
    PlannedFilter,
    PlannedIs,
    PlannedLogic,
    PlannedStar,
    Source,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from modules.query.catalog import Catalog
    from modules.query.columns import Key
    from modules.query.plan.model import PlannedCondition, ReadPlan

_SENSITIVE: Final = re.compile(r"@sensitive\b")
_AUDITED: Final = re.compile(r"@audited\b")


class Marks(Struct, frozen=True):
    """What is marked in a catalog.

    Attributes:
        sensitive: Names of columns by their relation.
        audited: Tables whose changed rows are audited.
    """

    sensitive: Mapping[Key, frozenset[str]]
    audited: frozenset[Key]


def marks_of(catalog: Catalog) -> Marks:
    """Return what the comments of a catalog mark."""
    sensitive: dict[Key, frozenset[str]] = {}
    audited: set[Key] = set()
    for key, relation in catalog.relations.items():
        if relation.comment is not None and _AUDITED.search(relation.comment):
            audited.add(key)
        names = frozenset(
            name
            for name, column in relation.columns.items()
            if column.comment is not None and _SENSITIVE.search(column.comment)
        )
        if names:
            sensitive[key] = names
    return Marks(sensitive, frozenset(audited))


def sensitive_columns(read: ReadPlan | None, marks: Marks) -> tuple[str, ...]:
    """Return the marked columns that a read selects, embeds included, as ``schema.relation.column``."""
    if read is None or not marks.sensitive:
        return ()
    return tuple(sorted(set(_selected(read, marks))))


def filter_shape(read: ReadPlan | None) -> tuple[str, ...]:
    """Return what a read filters by, without values: ``email.eq``, ``id.in``."""
    return () if read is None else tuple(shape for term in read.where for shape in _shapes(term))


def _selected(read: ReadPlan, marks: Marks) -> Iterator[str]:
    for output in read.outputs:
        if isinstance(output, PlannedStar) and isinstance(output.source, Source):
            key = output.source.key
            yield from (_name(key, column) for column in marks.sensitive.get(key, ()))
        elif isinstance(output, PlannedColumn) and output.field is not None:
            source = output.field.source
            if isinstance(source, Source) and output.field.name in marks.sensitive.get(source.key, ()):
                yield _name(source.key, output.field.name)
    for join in read.joins:
        yield from _selected(join.read, marks)


def _name(key: Key, column: str) -> str:
    return f"{key[0]}.{key[1]}.{column}"


def _shapes(term: PlannedCondition) -> Iterator[str]:
    match term:
        case PlannedFilter():
            negation = "not." if term.filter.negated else ""
            yield f"{term.field.name}.{negation}{term.filter.operator}"
        case PlannedIs():
            yield f"{term.field.name}.{'not.' if term.negated else ''}is"
        case PlannedLogic():
            for inner in term.terms:
                yield from _shapes(inner)
        case PlannedAbsence():
            yield f"{term.join.name}.is"
