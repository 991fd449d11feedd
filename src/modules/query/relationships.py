"""Foreign keys become relationships, and a name in a request becomes one of them.

Each foreign key is a way there (many-to-one) and back (one-to-many); where the
referring columns are unique both are one-to-one. A table whose primary key
holds the columns of two foreign keys joins their targets many-to-many.

Source: PostgREST 16, ``SchemaCache.hs`` (`allM2OandO2ORels`, `addInverseRels`,
`addM2MRels`) and ``Plan.hs`` (`findRel`).
"""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from modules.query.catalog import Catalog, ForeignKey, Junction, Relation, Relationship
from modules.query.errors import RelationshipAmbiguous, RelationshipNotFound
from modules.query.similarity import most_similar, rank

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from modules.query.columns import Key
    from modules.query.steps import Steps

_ORDER: Final = {"one-to-many": 0, "many-to-one": 1, "one-to-one": 2, "many-to-many": 3}
"""In which ambiguous relationships are listed."""


def derive_relationships(
    relations: Mapping[Key, Relation],
    foreign_keys: Iterable[ForeignKey],
    computed: Iterable[Relationship] = (),
) -> Steps[dict[Key, tuple[Relationship, ...]]]:
    """Return every relationship by the relation it starts from.

    A computed one takes the place of those that foreign keys make to a relation of the function's name.
    """
    known = [fk for fk in foreign_keys if fk.source in relations and fk.target in relations]
    found: dict[Key, list[Relationship]] = {}
    for fk in known:
        for relationship in _both_ways(relations, fk):
            found.setdefault(relationship.origin, []).append(relationship)
        yield
    by_source: dict[Key, list[ForeignKey]] = {}
    for fk in known:
        by_source.setdefault(fk.source, []).append(fk)
    for key, outgoing in by_source.items():
        for relationship in _through_junction(relations, key, outgoing):
            found.setdefault(relationship.origin, []).append(relationship)
        yield
    for relationship in computed:
        detected = found.get(relationship.origin, [])
        kept = [way for way in detected if way.function or way.target != relationship.function]
        found[relationship.origin] = [*kept, relationship]
        yield
    derived: dict[Key, tuple[Relationship, ...]] = {}
    for key, ways in found.items():
        derived[key] = tuple(sorted(ways, key=_place))
        yield
    return derived


def _place(way: Relationship) -> tuple[Any, ...]:
    """Return what ways are listed by: of two junctions by the foreign key of this side first."""
    junction = way.junction
    names = () if junction is None else (junction.key, junction.origin_constraint, junction.target_constraint)
    return _ORDER[way.cardinality], way.target, way.constraint, way.pairs, names


def _both_ways(relations: Mapping[Key, Relation], fk: ForeignKey) -> Iterator[Relationship]:
    is_unique = frozenset(column for column, _ in fk.pairs) in relations[fk.source].uniques
    yield Relationship(
        origin=fk.source,
        target=fk.target,
        cardinality="one-to-one" if is_unique else "many-to-one",
        constraint=fk.name,
        pairs=fk.pairs,
        is_referring=True,
        is_target_view=relations[fk.target].is_view,
    )
    yield Relationship(
        origin=fk.target,
        target=fk.source,
        cardinality="one-to-one" if is_unique else "one-to-many",
        constraint=fk.name,
        pairs=tuple((referred, referring) for referring, referred in fk.pairs),
        is_target_view=relations[fk.source].is_view,
    )


def _through_junction(
    relations: Mapping[Key, Relation], key: Key, outgoing: Sequence[ForeignKey]
) -> Iterator[Relationship]:
    """Yield the ways through the table ``key``, whose foreign keys are ``outgoing``."""
    primary_key = set(relations[key].primary_key)
    parts = [fk for fk in outgoing if {column for column, _ in fk.pairs} <= primary_key]
    for there, here in permutations(parts, 2):
        if there.name == here.name:
            continue  # a table and a view that stands in for it
        yield Relationship(
            origin=here.target,
            target=there.target,
            cardinality="many-to-many",
            junction=Junction(
                key=key,
                origin_constraint=here.name,
                target_constraint=there.name,
                origin_pairs=tuple((referred, referring) for referring, referred in here.pairs),
                target_pairs=there.pairs,
            ),
            is_target_view=relations[there.target].is_view,
        )


class Among(Struct, frozen=True):
    """Which relationships count.

    Attributes:
        schemas: Schemas a junction may be in; None for all.
        hidden: Relations that no message may suggest.
    """

    schemas: frozenset[str] | None = None
    hidden: Collection[Key] = ()


def find_relationship(
    catalog: Catalog, origin: Key, target: str, hint: str | None, *, among: Among
) -> Relationship:
    """Return the one relationship from ``origin`` that ``target`` and ``hint`` name.

    Args:
        catalog: Where to look.
        origin: The embedding relation.
        target: A relation's name, a foreign key's name, or a column of it.
        hint: A foreign key's name, a column of it, or a junction's name.
        among: What counts.

    Raises:
        RelationshipNotFound: PGRST200, there is none.
        RelationshipAmbiguous: PGRST201, there are several.
    """
    matches = _matches_self if hint is None else _matches_hint
    schema = origin[0]
    found = [
        way
        for way in catalog.related(origin)
        if _shown_in(way) == schema
        and _is_reachable(way, among)
        and (way.function[1] == target if way.function else matches(way, target, hint or ""))
    ]
    if len(found) == 1:
        return found[0]
    if not found:
        similar = _similar(catalog, origin, target, among.hidden)
        raise RelationshipNotFound(origin[1], target, schema=schema, hint=hint, similar=similar)
    shown = [way for way in found if not _touches(way, among.hidden)] or found
    raise RelationshipAmbiguous(
        origin[1],
        target,
        candidates=[_describe(way) for way in shown],
        choices=[
            f"{way.target[1]}!{way.junction.key[1] if way.junction else way.constraint}" for way in shown
        ],
    )


def _matches_self(way: Relationship, target: str, _: str) -> bool:
    """Without a hint.

    A self reference is two ways with one name: the relation's name means the rows that refer here, and the
    column's name the row that is referred to.
    """
    if way.is_to_self and way.junction is None:
        if way.is_referring:
            return not way.is_target_view and target in (way.constraint, _only(way.pairs, 0))
        return target == way.target[1]
    if not way.is_target_view and way.junction is None and target in (way.constraint, _only(way.pairs, 0)):
        return True
    return target == way.target[1]


def _matches_hint(way: Relationship, target: str, hint: str) -> bool:
    if target != way.target[1]:
        return False
    if way.junction is not None:
        return hint == way.junction.key[1]
    if way.is_to_self:
        return not way.is_referring and hint == _only(way.pairs, 1)
    return hint in (way.constraint, _only(way.pairs, 0), _only(way.pairs, 1))


def _shown_in(way: Relationship) -> str:
    return way.function[0] if way.function else way.target[0]


def _is_reachable(way: Relationship, among: Among) -> bool:
    return way.junction is None or among.schemas is None or way.junction.key[0] in among.schemas


def _only(pairs: tuple[tuple[str, str], ...], side: int) -> str | None:
    return pairs[0][side] if len(pairs) == 1 else None


def _touches(way: Relationship, keys: Collection[Key]) -> bool:
    return way.target in keys or (way.junction is not None and way.junction.key in keys)


def _similar(catalog: Catalog, origin: Key, target: str, hidden: Collection[Key]) -> str | None:
    """Word the suggestion: another target, or another origin when this one has no relationship at all."""
    schema = origin[0]
    if ways := catalog.related(origin):
        names = {way.target[1] for way in ways if way.target not in hidden}
        best = next(iter(rank(target, names)), None)
        return f"'{best[1]}' instead of '{target}'" if best and best[0] < 1 else None
    names = {key[1] for key in catalog.relationships if key[0] == schema and key not in hidden}
    other = most_similar(origin[1], names)
    return f"'{other}' instead of '{origin[1]}'" if other else None


def _describe(way: Relationship) -> dict[str, Any]:
    origin, target = way.origin[1], way.target[1]
    if way.junction is None:
        here, there = [one for one, _ in way.pairs], [other for _, other in way.pairs]
        relationship = f"{way.constraint} using {origin}({', '.join(here)}) and {target}({', '.join(there)})"
    else:
        here = [column for _, column in way.junction.origin_pairs]
        there = [column for column, _ in way.junction.target_pairs]
        relationship = (
            f"{way.junction.key[1]} using {way.junction.origin_constraint}({', '.join(here)})"
            f" and {way.junction.target_constraint}({', '.join(there)})"
        )
    return {
        "cardinality": way.cardinality,
        "embedding": f"{origin} with {target}",
        "relationship": relationship,
    }
