"""Which index would serve a request: what it looks rows up by, against the indexes that there are. Pure.

    where status = $1 and note like $2 order by at desc      wants (status, at); no index has note

Only what the request itself says counts: conditions of policies are nobody's business here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from msgspec import Struct

from modules.query.plan.model import (
    CallPlan,
    DocumentPlan,
    MutationPlan,
    PlannedField,
    PlannedFilter,
    PlannedIs,
    PlannedLogic,
    Source,
)
from modules.query.sql.fragment import TEXT_SEARCHES, identifier, literal, qualified

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from modules.query.ast import Filter
    from modules.query.catalog import Catalog
    from modules.query.columns import Key
    from modules.query.plan.model import PlannedCondition, ReadPlan
    from modules.query.probe import Plan

Kind: TypeAlias = Literal["equal", "range", "order", "words", "contents", "space", "none"]
"""What an index has to be good at; ``none`` where there is no such index."""

INDEXED: Final = frozenset({"table", "partitioned table", "materialized view"})

_RANGES: Final = ("int4range", "int8range", "numrange", "tsrange", "tstzrange", "daterange")
_SEARCH: Final = frozenset(TEXT_SEARCHES)
_NOISE: Final = re.compile(r"::[a-z ]+|[\s()\"]")


class Want(Struct, frozen=True):
    """Something that a request looks rows up by, or sorts them by.

    Attributes:
        relation: Whose rows.
        expression: As it stands in an index.
        named: As the client knows it.
        kind: What the index has to be good at.
        is_alone: It is one of several alternatives, and needs an index of its own.
    """

    relation: Key
    expression: str
    named: str
    kind: Kind
    is_alone: bool = False


class Index(Struct, frozen=True):
    """What an index begins with, as the database writes it."""

    relation: Key
    first: str
    method: str


class Advice(Struct, frozen=True):
    """What is missing.

    Attributes:
        lacks: What has no index.
        index: The statement that makes one, or None where none would do.
    """

    lacks: str
    index: str | None


def wants_of(plan: Plan, catalog: Catalog) -> list[Want]:
    """Return what ``plan`` looks rows up by: conditions first, then embeds, then the order."""
    if isinstance(plan, CallPlan):
        return []
    if isinstance(plan, MutationPlan):
        found = [want for term in plan.where for want in _of_condition(term)]
    else:
        assert isinstance(plan, DocumentPlan)
        found = [*_of_read(plan.read), *_of_joins(plan.read), *_of_order(plan.read)]
    return [want for want in found if _is_indexed(catalog, want.relation)]


def advise(wants: Sequence[Want], indexes: Sequence[Index], scanned: frozenset[str]) -> Advice | None:
    """Return what lacks an index, and the index that would help; None where nothing of the request does.

    Args:
        wants: See `wants_of`.
        indexes: Those of all relations in it.
        scanned: Names of relations that the planner would read from end to end.
    """
    lacking = [want for want in wants if not _is_served(want, indexes)]
    conditions = [want for want in lacking if want.kind != "order"]
    there = [want for want in conditions if want.relation[1] in scanned] or conditions
    if there:
        first = next((want for want in there if want.kind != "none"), there[0])
        return Advice(first.named, _index(first, lacking))
    sorts = [want for want in lacking if want.kind == "order"]
    if not sorts or any(want.kind in ("equal", "range") for want in wants):
        return None
    return Advice(f"order={','.join(want.named for want in sorts)}", _index(sorts[0], sorts))


def _is_indexed(catalog: Catalog, key: Key) -> bool:
    relation = catalog.relations.get(key)
    return relation is not None and relation.kind in INDEXED


def _of_read(plan: ReadPlan) -> Iterator[Want]:
    for term in plan.where:
        yield from _of_condition(term)
    for one in plan.joins:
        yield from _of_read(one.read)


def _of_joins(plan: ReadPlan) -> Iterator[Want]:
    """Yield what embeds are found by: the columns of their foreign keys."""
    for one in plan.joins:
        for field in (field for pair in one.link.equal for field in pair):
            if field.source in (one.read.source, one.link.junction) and isinstance(field.source, Source):
                named = f"the embedding of {one.read.source.key[1]} by {field.source.key[1]}.{field.name}"
                yield Want(field.source.key, identifier(field.name), named, "equal")
        yield from _of_joins(one.read)


def _of_order(plan: ReadPlan) -> Iterator[Want]:
    for term in plan.order:
        if term.embed is None and isinstance(term.field.source, Source):
            named = term.field.name + ("" if term.direction is None else f".{term.direction}")
            yield Want(term.field.source.key, _expression(term.field), named, "order")


def _of_condition(term: PlannedCondition, *, is_alone: bool = False, negated: bool = False) -> Iterator[Want]:
    match term:
        case PlannedLogic():
            is_or = term.connective == "or"
            for inner in term.terms:
                yield from _of_condition(inner, is_alone=is_alone or is_or, negated=negated != term.negated)
        case PlannedFilter(field=field, filter=asked):
            if isinstance(field.source, Source) and field.source.called is None:
                negated = negated != asked.negated
                kind: Kind = "none" if negated else _kind(field, asked)
                expression = _searched(field, asked) if kind == "words" else _expression(field)
                named = f"{_shown(field)}={'not.' if negated else ''}{asked.operator}"
                yield Want(field.source.key, expression, named, kind, is_alone)
        case PlannedIs(field=field, value=value):
            if isinstance(field.source, Source) and field.source.called is None:
                kind = "none" if negated != term.negated or value == "not_null" else "equal"
                yield Want(
                    field.source.key, _expression(field), f"{_shown(field)}=is.{value}", kind, is_alone
                )


def _kind(field: PlannedField, asked: Filter) -> Kind:
    operator, base = asked.operator, field.base_type or ""
    if operator in ("eq", "in"):
        return "equal"
    if operator in ("gt", "gte", "lt", "lte"):
        return "range"
    if operator in ("like", "ilike", "match", "imatch"):
        return "words"
    if operator in _SEARCH:
        return "contents" if base == "tsvector" else "words" if asked.config else "none"
    if operator in ("cs", "ov", "cd") and (base.startswith("_") or (base == "jsonb" and operator == "cs")):
        return "contents"
    return "space" if base in _RANGES else "none"


def _expression(field: PlannedField) -> str:
    """Write a column, or a place in one, as it stands in an index."""
    text = identifier(field.name)
    if not field.path:
        return text
    if field.to_json:
        text = f"to_jsonb({text})"
    steps = (
        f"{'->>' if step.as_text else '->'}{step.key if isinstance(step.key, int) else literal(step.key)}"
        for step in field.path
    )
    return f"({text}{''.join(steps)})"


def _searched(field: PlannedField, asked: Filter) -> str:
    if asked.operator in _SEARCH:
        return f"to_tsvector({literal(asked.config or '')}, {_expression(field)})"
    return f"{_expression(field)} gin_trgm_ops"


def _shown(field: PlannedField) -> str:
    path = "".join(f"{'->>' if step.as_text else '->'}{step.key}" for step in field.path)
    return f"{field.name}{path}"


def _is_served(want: Want, indexes: Sequence[Index]) -> bool:
    """Say whether an index begins with what is wanted."""
    methods = {
        "equal": ("btree", "hash"),
        "range": ("btree", "brin"),
        "order": ("btree",),
        "words": ("gin", "gist"),
        "contents": ("gin", "gist"),
        "space": ("gist", "spgist"),
        "none": (),
    }[want.kind]
    bare = _bare(want.expression.removesuffix(" gin_trgm_ops"))
    return any(
        one.relation == want.relation and one.method in methods and _bare(one.first) == bare
        for one in indexes
    )


def _bare(expression: str) -> str:
    """Leave out what the database writes otherwise: casts, quotes, brackets and spaces."""
    return _NOISE.sub("", expression)


def _index(first: Want, lacking: Sequence[Want]) -> str | None:
    """Write the index for ``first``, with what else it can serve: equals, then one range or the order."""
    if first.kind == "none":
        return None
    target = qualified(first.relation)
    if first.kind in ("words", "contents"):
        return f"create index on {target} using gin ({first.expression})"
    if first.kind == "space":
        return f"create index on {target} using gist ({first.expression})"
    columns = [first]
    if not first.is_alone:
        beside = [want for want in lacking if want.relation == first.relation and not want.is_alone]
        equal = [want for want in beside if want.kind == "equal"]
        ranges = [want for want in beside if want.kind == "range"][:1]
        columns = [*equal, *(ranges or [want for want in beside if want.kind == "order"])]
    return f"create index on {target} ({', '.join(dict.fromkeys(want.expression for want in columns))})"
