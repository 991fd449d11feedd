"""`ColumnLimits`: which columns of a relation somebody may read, and which they may write.

    role      relation           may read           may write
    support   public.customers   id, name, phone    phone
    billing   public.customers   id, iban           *

A rule belongs to a role and lists what is left, so that a column which is added
later is hidden until somebody lists it. Who holds several roles may do what one
of them lists; ``*`` lists everything. A role without a rule for a relation says
nothing about it: it neither limits nor opens. A role that is held in one team
counts like one for the whole instance, since a column has no team.

What a key does for its user is limited by the roles of both.
"""

from __future__ import annotations

from collections.abc import Sequence  # noqa: TC003 msgspec reads it
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable

EVERY: Final = "*"
"""Stands for all columns in the rule of a role."""


class RoleRule(Struct, frozen=True):
    """What one role says about one relation.

    Attributes:
        role: Its name.
        schema: Of the relation.
        relation: Its name.
        reads: Columns and computed fields, or `EVERY`; None where the role says nothing about reading.
        writes: The same for writing.
    """

    role: str
    schema: str
    relation: str
    reads: Sequence[str] | None = None
    writes: Sequence[str] | None = None


class ColumnRule(Struct, frozen=True):
    """What all roles of somebody leave of one relation.

    Attributes:
        schema: Of the relation.
        relation: Its name.
        reads: Columns and computed fields; None for all there are.
        writes: Columns that may be given a value; None for all there are.
        roles: Names of the roles that say something about it, sorted.
    """

    schema: str
    relation: str
    reads: frozenset[str] | None
    writes: frozenset[str] | None
    roles: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        """Schema and name of the relation."""
        return (self.schema, self.relation)

    def shows(self, name: str) -> bool:
        """Say whether a column may be read."""
        return self.reads is None or name in self.reads

    def takes(self, name: str) -> bool:
        """Say whether a column may be written."""
        return self.writes is None or name in self.writes


class ColumnLimits(Struct, frozen=True, cache_hash=True):
    """The rules of somebody, one a relation, in the order of their names; one at least."""

    rules: tuple[ColumnRule, ...]

    def of(self, schema: str, relation: str) -> ColumnRule | None:
        """Return the rule of a relation; None for one that is not limited."""
        return next((rule for rule in self.rules if rule.key == (schema, relation)), None)


def united(rules: Iterable[RoleRule]) -> ColumnLimits | None:
    """Return what somebody is left with who holds all the roles of ``rules``; None for everything.

    >>> one = RoleRule("a", "public", "t", ["id"], ["id"])
    >>> united([one, RoleRule("b", "public", "t", ["name"])]).rules[0].reads == {"id", "name"}
    True
    >>> united([one, RoleRule("b", "public", "t", ["*"], ["*"])]) is None
    True
    """
    by_relation: dict[tuple[str, str], list[RoleRule]] = {}
    for rule in rules:
        by_relation.setdefault((rule.schema, rule.relation), []).append(rule)
    return _limits(
        ColumnRule(
            schema,
            relation,
            _union(rule.reads for rule in found),
            _union(rule.writes for rule in found),
            tuple(sorted({rule.role for rule in found})),
        )
        for (schema, relation), found in by_relation.items()
    )


def narrowed(one: ColumnLimits | None, other: ColumnLimits | None) -> ColumnLimits | None:
    """Return what both leave."""
    if one is None or other is None:
        return one or other
    by_relation: dict[tuple[str, str], ColumnRule] = {rule.key: rule for rule in one.rules}
    for rule in other.rules:
        known = by_relation.get(rule.key)
        by_relation[rule.key] = rule if known is None else _both(known, rule)
    return _limits(by_relation.values())


def _limits(rules: Iterable[ColumnRule]) -> ColumnLimits | None:
    found = tuple(rule for rule in rules if rule.reads is not None or rule.writes is not None)
    return ColumnLimits(tuple(sorted(found, key=lambda rule: rule.key))) if found else None


def _union(lists: Iterable[Sequence[str] | None]) -> frozenset[str] | None:
    said = [names for names in lists if names is not None]
    if not said or any(EVERY in names for names in said):
        return None
    return frozenset(name for names in said for name in names)


def _both(one: ColumnRule, other: ColumnRule) -> ColumnRule:
    return ColumnRule(
        one.schema,
        one.relation,
        _intersection(one.reads, other.reads),
        _intersection(one.writes, other.writes),
        tuple(sorted({*one.roles, *other.roles})),
    )


def _intersection(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    if one is None or other is None:
        return other if one is None else one
    return one & other
