"""`plan_mutation`: find in the catalog what a `Mutation` writes, or refuse with PostgREST's words.

Unlike in a read every column is looked up: what the body gives a value to has
to be known with its type.

Source: PostgREST 16, ``Plan.hs``, ``mutatePlan``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from modules.query.ast import Filter
from modules.query.catalog import Representation
from modules.query.errors import (
    ColumnAbsent,
    ColumnNotFound,
    ColumnNotWritable,
    KeyFiltersInvalid,
    KeyMismatch,
    RelationNotWritable,
)
from modules.query.plan.model import (
    BodyColumn,
    FilledColumn,
    Link,
    MutationPlan,
    PlannedColumn,
    PlannedField,
    PlannedOrder,
    PlannedOutput,
    PlannedStar,
    ReadPlan,
    Source,
)
from modules.query.plan.read import Rules, check_open, find_relation, plan_rows
from modules.query.plan.terms import plan_conditions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modules.query.ast import Mutation, Part
    from modules.query.catalog import Catalog, Relation
    from modules.query.columns import Key

_KEPT_BY_JSONB: Final = frozenset(
    (
        *("bool", "bytea", "date", "interval", "time", "timestamp", "timestamptz", "timetz", "uuid"),
        *("float4", "float8", "int2", "int4", "int8", "numeric", "jsonb"),
        *("_int2", "_int4", "_int8", "_jsonb", "_uuid"),
    )
)
"""Types that a nested value goes into unchanged, or not at all."""

_AS_IT_IS: Final = Representation()

BODY: Final = "_body"
"""The rows that the body gives."""

WRITTEN: Final = "_written"
"""The rows that were written, as the representation reads them."""


KEYS: Final = "_keys"
"""Keys of rows that are written already, each column by its place in the primary key."""

PLACE: Final = "_place"
"""Which of them it is."""


def plan_mutation(mutation: Mutation, catalog: Catalog, rules: Rules) -> MutationPlan:
    """Resolve ``mutation``.

    Raises:
        RelationNotFound: PGRST205.
        RelationClosed: MH100.
        RelationNotWritable: MH102.
        ColumnNotFound: PGRST204.
        ColumnNotWritable: MH104, the caller is limited to others.
        KeyFiltersInvalid: PGRST105.
        KeyMismatch: PGRST115.
        QueryProblem: What `plan_read` refuses, in the representation.
    """
    relation = find_relation(mutation.schema, mutation.relation, catalog, rules)
    check_open(relation.key, rules)
    _check_writable(mutation, relation)
    if mutation.matches_key:
        _check_key_filters(mutation, relation)
    written = _written(relation)
    columns = tuple(_body_column(name, written, catalog) for name in mutation.columns)
    read, touched = _representation(mutation, relation, catalog, rules)
    key = relation.primary_key if mutation.returning == "keys" else ()
    returned = _returned(read) if read is not None else key
    if mutation.part is not None:
        returned = _given(mutation.part, relation)
    found_by: tuple[BodyColumn, ...] = ()
    if mutation.written is not None and mutation.returning != "minimal":
        found_by = tuple(BodyColumn(name, relation.columns[name].type) for name in relation.primary_key)
    link = None
    if found_by and read is not None:
        read, link = _in_order(read, relation)
        returned = None if returned is None else tuple(dict.fromkeys((*returned, *relation.primary_key)))
    return MutationPlan(
        mutation=mutation,
        target=Source(relation.key),
        columns=columns,
        where=plan_conditions(
            mutation.selection.where,
            relation,
            BODY if mutation.matches_key else Source(relation.key),
            catalog,
        ),
        is_exact=_needs_json(mutation, written, columns),
        returned=returned,
        read=read,
        conflict=_conflict(mutation, relation),
        key=key,
        relations=touched | {relation.key},
        filled=() if mutation.part is None else _filled(mutation.part, written, catalog),
        found_by=found_by,
        link=link,
        is_of_one=relation.returns_inserted and _inserts_one(mutation),
    )


def _inserts_one(mutation: Mutation) -> bool:
    is_plain = mutation.conflict is None and not mutation.matches_key
    is_whole = mutation.part is None and mutation.written is None
    return mutation.action == "insert" and is_plain and is_whole and not mutation.is_list


def _check_writable(mutation: Mutation, relation: Relation) -> None:
    allowed = {
        "insert": relation.allows_insert,
        "update": relation.allows_update,
        "delete": relation.allows_delete,
    }
    needed = ("insert", "update") if mutation.matches_key else (mutation.action,)
    if not all(allowed[action] for action in needed):
        raise RelationNotWritable(relation.kind, relation.name, mutation.action)


def _check_key_filters(mutation: Mutation, relation: Relation) -> None:
    named = [
        term.field.name if isinstance(term, Filter) and _is_plain_equality(term) else None
        for term in mutation.selection.where
    ]
    if not named or len(named) != len(relation.primary_key) or set(named) != set(relation.primary_key):
        raise KeyFiltersInvalid
    if not set(relation.primary_key) <= set(mutation.columns):
        raise KeyMismatch


def _is_plain_equality(term: Filter) -> bool:
    return term.operator == "eq" and not term.negated and term.quantifier is None and not term.field.path


def _representation(
    mutation: Mutation, relation: Relation, catalog: Catalog, rules: Rules
) -> tuple[ReadPlan | None, frozenset[Key]]:
    asked = mutation.selection
    selection = type(asked)(items=asked.items, order=asked.order)
    source = Source(relation.key, relation.name, rows=WRITTEN)
    # planned in any case, since a select that makes no sense is refused in any case
    read, touched = plan_rows(selection, relation, source, catalog, rules, max_rows=None)
    return (read, touched) if mutation.returning == "representation" else (None, frozenset())


def _written(relation: Relation) -> Relation:
    """Return the relation with all its columns: some may be written and not read."""
    return relation if relation.rule is None else replace(relation, columns=relation.stored)


def _body_column(name: str, relation: Relation, catalog: Catalog) -> BodyColumn:
    if relation.rule is not None and not relation.rule.takes(name):
        raise ColumnNotWritable(name, relation.rule.key, relation.rule.roles)
    column = relation.columns.get(name)
    if column is None:
        raise ColumnNotFound(name, relation.name)
    way = catalog.representations.get(column.type, _AS_IT_IS)
    return BodyColumn(name, column.type, column.default, way.from_json, way.to_json)


def _given(part: Part, relation: Relation) -> tuple[str, ...]:
    """Return the columns whose values are wanted; they give the caller nothing that may not be read."""
    for name in part.gives:
        if name not in relation.columns:
            raise ColumnAbsent(name, relation.key)
    return part.gives


def _filled(part: Part, relation: Relation, catalog: Catalog) -> tuple[FilledColumn, ...]:
    found: list[FilledColumn] = []
    for one in part.filled:
        column = _body_column(one.column, relation, catalog)
        origin = catalog.relations[one.origin].columns[one.name]
        found.append(FilledColumn(column.name, one.slot, origin.type))
    return tuple(found)


def _in_order(read: ReadPlan, relation: Relation) -> tuple[ReadPlan, Link]:
    """Have rows that are found by their keys come in the order of these, where nothing else was asked for.

    The order of a common table expression gets lost in a join with an embed.
    """
    keys = Source(("", KEYS), rows=KEYS)
    equal = tuple(
        (PlannedField(read.source, name), PlannedField(keys, str(place)))
        for place, name in enumerate(relation.primary_key)
    )
    place = () if read.grouped else (PlannedOrder(PlannedField(keys, PLACE)),)
    return replace(read, order=(*read.order, *place)), Link(equal, keys)


def _needs_json(mutation: Mutation, relation: Relation, columns: tuple[BodyColumn, ...]) -> bool:
    """Say whether the order of keys and the writing of numbers may end up in a column.

    ``jsonb`` is the quicker way, and keeps neither.
    """
    types = {relation.columns[name].base_type for name in mutation.columns}
    if types & {"json", "_json"} or any(column.parse is not None for column in columns):
        return True
    return not {relation.columns[name].base_type for name in mutation.nested if name in relation.columns} <= (
        _KEPT_BY_JSONB
    )


def _conflict(mutation: Mutation, relation: Relation) -> tuple[str, ...]:
    if mutation.conflict is None:
        return ()
    if mutation.conflict.columns is None:
        return relation.primary_key
    for name in mutation.conflict.columns:
        if relation.rule is not None and not relation.rule.shows(name):
            raise ColumnAbsent(name, relation.rule.key)
    return mutation.conflict.columns


def _returned(read: ReadPlan) -> tuple[str, ...] | None:
    """Return the columns that the representation needs; a role may be allowed to read no others."""
    takes_rows = any(join.read.source.computed is not None for join in read.joins)
    if takes_rows or any(isinstance(output, PlannedStar) for output in read.outputs):
        return None
    if any(join.read.source.computed is not None for join in read.joins):
        return None
    return tuple(dict.fromkeys(_read_names(read)))


def _read_names(read: ReadPlan) -> Iterator[str]:
    fields = (*_output_fields(read.outputs), *(term.field for term in read.order))
    fields += tuple(there for join in read.joins for _, there in join.link.equal)
    for field in fields:
        if isinstance(field.source, Source) and field.source.rows == WRITTEN:
            yield field.name


def _output_fields(outputs: tuple[PlannedOutput, ...]) -> tuple[PlannedField, ...]:
    return tuple(o.field for o in outputs if isinstance(o, PlannedColumn) and o.field is not None)
