"""`Facts` as one caller may see them: exposure, scopes of a key, rules for columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

if TYPE_CHECKING:
    from modules.query import Steps
    from modules.rest.description.facts import Column, Facts, RelationFacts
    from modules.rest.scopes import Sight
    from monohull.kernel.column_limits import ColumnLimits, ColumnRule


class Eyes(Struct, frozen=True):
    """What limits a caller beside the database's grants.

    Attributes:
        closed: Names of relations that are closed to the caller.
        sight: What a limited key sees; None for everything.
        columns: What the caller's roles leave of columns; None for everything.
    """

    closed: frozenset[str] = frozenset()
    sight: Sight | None = None
    columns: ColumnLimits | None = None


def narrow(facts: Facts, eyes: Eyes) -> Steps[Facts]:
    """Return what is left of ``facts``."""
    relations: list[RelationFacts] = []
    for relation in facts.relations:
        seen = _relation(relation, facts.schema, eyes)
        if seen is not None:
            relations.append(seen)
        yield
    sight = eyes.sight
    functions = facts.functions
    if sight is not None:
        functions = tuple(one for one in functions if sight.may_call(one.name))
    return replace(facts, relations=tuple(relations), functions=functions)


def _relation(relation: RelationFacts, schema: str, eyes: Eyes) -> RelationFacts | None:
    if relation.name in eyes.closed:
        return None
    if eyes.sight is not None:
        hidden = eyes.sight.hidden(relation.name)
        if hidden is None:
            return None
        relation = replace(relation, hidden=hidden)
    rule = None if eyes.columns is None else eyes.columns.of(schema, relation.name)
    if rule is None:
        return relation
    columns = (_column(column, rule) for column in relation.columns)
    return replace(relation, columns=tuple(column for column in columns if column is not None))


def _column(column: Column, rule: ColumnRule) -> Column | None:
    """Return a column as a rule leaves it; what may not be read is not there, as everywhere else."""
    if not rule.shows(column.name):
        return None
    may = rule.takes(column.name)
    return replace(column, may_insert=column.may_insert and may, may_update=column.may_update and may)
