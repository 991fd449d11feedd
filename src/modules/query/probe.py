"""What can be asked about a request beside running it: what it touches, and which rows it is about.

For explanations of refusals. The statements are made of the same pieces as the request's own, so that
nobody has to say a second time what a filter or an embed means:

    matching    the rows that the filters leave, embeds or not
    embedded    the rows that hang on one of them
    written     the write, giving whole rows back
    proposed    the rows that an upsert would insert, into a table that looks like the target

Rows are given as text of the relation's type, each with the table and the place it is stored at, where it
is stored at all.
"""

# writing SQL is what this file is for; values are parameters and names are quoted
# ruff: noqa: S608
from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from modules.query.ast import Field, Filter
from modules.query.plan.model import (
    CallPlan,
    DocumentPlan,
    MutationPlan,
    PlannedColumn,
    PlannedFilter,
    PlannedIs,
    PlannedLogic,
    PlannedStar,
    ReadPlan,
    Source,
)
from modules.query.plan.model import PlannedField as Column
from modules.query.sql.fragment import field, identifier, qualifier, statement
from modules.query.sql.mutate import write
from modules.query.sql.read import condition
from modules.query.sql.source import relation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from modules.query.columns import Key
    from modules.query.plan.model import Link, PlannedCondition, PlannedJoin
    from modules.query.sql.fragment import Statement

Plan: TypeAlias = DocumentPlan | MutationPlan | CallPlan
"""What a request was found to mean."""

Verb: TypeAlias = Literal["read", "insert", "update", "delete"]

NOWHERE: Final = "NULL::text, NULL::text"


class Touched(Struct, frozen=True):
    """What a request does to one relation.

    Attributes:
        relation: Schema and name.
        path: Names of the embedded relations that lead to it; empty at the top.
        verb: What is done to it.
        reads: Columns it has to be allowed to read; None for all of them.
        writes: Columns it gives values to.
        updates: Columns that an upsert gives values to where the row exists.
        is_junction: It stands between its embed and the parent.
    """

    relation: Key
    path: tuple[str, ...]
    verb: Verb
    reads: tuple[str, ...] | None
    writes: tuple[str, ...] = ()
    updates: tuple[str, ...] | None = None
    is_junction: bool = False

    @property
    def needs_read(self) -> bool:
        """Whether its rows are read, so that policies for SELECT count as well."""
        return self.verb == "read" or self.reads is None or bool(self.reads)


class Place(Struct, frozen=True):
    """Slots of the two values that say where a row is stored: table and place in it."""

    table: int
    position: int


def touched(plan: Plan) -> tuple[Touched, ...]:
    """Return what a request does to which relations, the first one first."""
    match plan:
        case DocumentPlan():
            return tuple(_read(plan.read, ()))
        case MutationPlan():
            embeds = () if plan.read is None else tuple(_embeds(plan.read, ()))
            return (_written(plan), *embeds)
        case _:
            return tuple(_embeds(plan.read, ()))


def matching(plan: DocumentPlan | MutationPlan, *, most: int, is_stored: bool = True) -> Statement:
    """Write the SELECT of up to ``most`` rows that the filters of ``plan`` leave."""
    source, where = (
        (plan.read.source, plan.read.where) if isinstance(plan, DocumentPlan) else (plan.target, plan.where)
    )
    conditions = [condition(term, counting=True) for term in where]
    text = f"SELECT {_whole(source, is_stored=is_stored)} FROM {relation(source)}{_where(conditions)}"
    return statement(f"{text} LIMIT {most}")


def embedded(join: PlannedJoin, parent: Source, at: Place, *, most: int, is_stored: bool = True) -> Statement:
    """Write the SELECT of up to ``most`` rows of an embed that hang on the row of ``parent`` at a place.

    Each comes with the row of the junction that ties it, or with nulls.
    """
    source, link = join.read.source, join.link
    tables = [relation(parent), relation(source)]
    through = f"{NOWHERE}, NULL::text"
    if link.junction is not None:
        tables.append(relation(link.junction))
        through = _whole(link.junction, is_stored=True)
    conditions = [f"{field(here)} = {field(there)}" for here, there in link.equal]
    conditions += (condition(term, counting=True) for term in (*join.read.where, *_at(parent, at)))
    columns = f"{_whole(source, is_stored=is_stored and source.computed is None)}, {through}"
    return statement(f"SELECT {columns} FROM {', '.join(tables)}{_where(conditions)} LIMIT {most}")


def written(plan: MutationPlan, at: Place | None = None) -> Statement:
    """Write the mutation so that it gives whole rows back; ``at`` limits an update to one row."""
    where = plan.where if at is None else (*plan.where, *_at(plan.target, at))
    text = write(replace(plan, returned=None, where=where))
    return statement(f"WITH _rows AS ({text}) SELECT (_rows.*)::text FROM _rows")


def proposed(plan: MutationPlan, table: Key) -> Statement:
    """Write the insert of an upsert into another table of the same columns."""
    text = write(replace(plan, target=Source(table), conflict=(), returned=None))
    return statement(f"WITH _rows AS ({text}) SELECT (_rows.*)::text FROM _rows")


def existing(key: Key, columns: Sequence[str]) -> str:
    """Write the SELECT of the row with which another one, $1 as text, would be in conflict."""
    source, other = Source(key), identifier("_other")
    name = qualifier(source)
    equal = (f"{name}.{identifier(column)} = {other}.{identifier(column)}" for column in columns)
    return (
        f"SELECT {_whole(source, is_stored=True)} FROM {relation(source)}, "
        f"unnest(ARRAY[$1::text::{name}]) AS {other}{_where(list(equal))}"
    )


def joins_of(plan: Plan) -> tuple[PlannedJoin, ...]:
    """Return the embeds of a read."""
    return plan.read.joins if isinstance(plan, DocumentPlan) else ()


def _whole(source: Source, *, is_stored: bool) -> str:
    name = qualifier(source)
    place = f"{name}.tableoid::text, {name}.ctid::text" if is_stored else NOWHERE
    return f"{place}, ({name}.*)::text"


def _at(source: Source, at: Place) -> tuple[PlannedFilter, PlannedFilter]:
    """Return the conditions that leave the row at a place."""
    return (
        PlannedFilter(Column(source, "tableoid"), Filter(Field("tableoid"), "eq", at.table)),
        PlannedFilter(Column(source, "ctid"), Filter(Field("ctid"), "eq", at.position)),
    )


def _where(conditions: list[str]) -> str:
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _written(plan: MutationPlan) -> Touched:
    asked = plan.mutation
    names = tuple(column.name for column in plan.columns)
    reads: tuple[str, ...] | None = None
    if plan.returned is not None:
        own = () if asked.matches_key else tuple(_named(plan.where, plan.target))
        reads = tuple(dict.fromkeys((*own, *plan.returned, *plan.conflict)))
    is_merged = bool(plan.conflict) and asked.conflict is not None and asked.conflict.merge and bool(names)
    return Touched(plan.target.key, (), asked.action, reads, names, names if is_merged else None)


def _read(plan: ReadPlan, path: tuple[str, ...]) -> Iterator[Touched]:
    names = list(_names(plan))
    reads = None if None in names else tuple(dict.fromkeys(name for name in names if name is not None))
    yield Touched(plan.source.key, path, "read", reads)
    yield from _embeds(plan, path)


def _embeds(plan: ReadPlan, path: tuple[str, ...]) -> Iterator[Touched]:
    for join in plan.joins:
        inner = (*path, join.read.source.key[1])
        first, *others = _read(join.read, inner)
        linked = tuple(_linked(join.link, join.read.source))
        yield replace(first, reads=None if first.reads is None else (*first.reads, *linked))
        if join.link.junction is not None:
            columns = tuple(_linked(join.link, join.link.junction))
            yield Touched(join.link.junction.key, inner, "read", columns, is_junction=True)
        yield from others


def _names(plan: ReadPlan) -> Iterator[str | None]:
    """Yield the columns of the plan's own relation that it reads; None for all."""
    for output in plan.outputs:
        if isinstance(output, PlannedStar) and output.source == plan.source:
            yield None
        elif isinstance(output, PlannedColumn) and output.field is not None:
            yield from _own(output.field, plan.source)
    yield from _named(plan.where, plan.source)
    for term in plan.order:
        yield from _own(term.field, plan.source)
    for join in plan.joins:
        yield from _linked(join.link, plan.source)
        if join.read.source.computed is not None:
            yield None


def _named(conditions: Sequence[PlannedCondition], source: Source) -> Iterator[str]:
    for term in conditions:
        if isinstance(term, PlannedFilter | PlannedIs):
            yield from _own(term.field, source)
        elif isinstance(term, PlannedLogic):
            yield from _named(term.terms, source)


def _linked(link: Link, source: Source) -> Iterator[str]:
    for pair in link.equal:
        for one in pair:
            yield from _own(one, source)


def _own(column: Column, source: Source) -> Iterator[str]:
    if column.source == source:
        yield column.name
