"""The catalog as somebody sees it who is limited to some columns.

What may not be read is not there: no column, no key and no relationship that
needs one. So whatever is planned, described or suggested with this catalog
cannot name it. What PostgreSQL would find by itself (a computed field, a function
of the whole row, ``ctid``) is found only where the rule lists it: of a limited
relation nothing is left to the server to look up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from modules.query.catalog import Catalog, Relation, Relationship
    from modules.query.columns import Key
    from monohull.kernel.column_limits import ColumnLimits, ColumnRule


def limit_catalog(catalog: Catalog, limits: ColumnLimits) -> Catalog:
    """Return ``catalog`` without what ``limits`` hide."""
    rules = {rule.key: rule for rule in limits.rules}
    relations = dict(catalog.relations)
    for key, rule in rules.items():
        if (relation := relations.get(key)) is not None:
            relations[key] = _limit(relation, rule)
    relationships = {
        origin: tuple(way for way in ways if not _needs_hidden(way, rules))
        for origin, ways in catalog.relationships.items()
    }
    return replace(
        catalog, relations=relations, relationships={key: ways for key, ways in relationships.items() if ways}
    )


def hidden_names(catalog: Catalog) -> frozenset[str]:
    """Return the names of all columns that are hidden in a limited catalog."""
    return frozenset(
        name
        for relation in catalog.relations.values()
        if relation.rule is not None
        for name in relation.stored
        if name not in relation.columns
    )


def _limit(relation: Relation, rule: ColumnRule) -> Relation:
    return replace(
        relation,
        columns={name: column for name, column in relation.columns.items() if rule.shows(name)},
        primary_key=relation.primary_key if _shows_all(rule, relation.primary_key) else (),
        uniques=frozenset(unique for unique in relation.uniques if _shows_all(rule, unique)),
        identities=frozenset(unique for unique in relation.identities if _shows_all(rule, unique)),
        rule=rule,
        stored=relation.columns,
    )


def _needs_hidden(way: Relationship, rules: Mapping[Key, ColumnRule]) -> bool:
    """Say whether a relationship is made of a column that may not be read, on any side of it."""
    here, there = zip(*way.pairs, strict=True) if way.pairs else ((), ())
    if not (_is_seen(rules, way.origin, here) and _is_seen(rules, way.target, there)):
        return True
    if way.junction is None:
        return False
    origins, middles = zip(*way.junction.origin_pairs, strict=True)
    others, targets = zip(*way.junction.target_pairs, strict=True)
    return not (
        _is_seen(rules, way.origin, origins)
        and _is_seen(rules, way.junction.key, (*middles, *others))
        and _is_seen(rules, way.target, targets)
    )


def _is_seen(rules: Mapping[Key, ColumnRule], key: Key, names: Iterable[str]) -> bool:
    rule = rules.get(key)
    return rule is None or _shows_all(rule, names)


def _shows_all(rule: ColumnRule, names: Iterable[str]) -> bool:
    return all(rule.shows(name) for name in names)
