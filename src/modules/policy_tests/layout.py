"""Whose a row is: which columns hold the user or the tenant, directly or along foreign keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from modules.policy_tests.errors import BadDeclaration
from modules.policy_tests.expressions import (
    EMAIL,
    PERSONAL,
    SUB,
    TEAMS,
    compared_columns,
    referenced_tables,
)
from modules.policy_tests.ordering import reachable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from modules.policy_tests.catalog import ForeignKey, Table
    from modules.policy_tests.project import Declaration, DeclaredTable

    Claims = dict[int, dict[str, tuple[str, ...]]]

USERS: Final = "auth.users"
PLATFORM_TEAMS: Final = "monohull.teams"
UNNAMED: Final = ("policy_tests_tenant",)
"""Claim of a tenant column that the project states without a claim: policies look elsewhere."""


class Layout(Struct, frozen=True):
    """Where the caller is found in the rows.

    Attributes:
        claims: Path of the claim by column, by oid of the table.
        lists: Paths whose claim is a list.
        shared: Tables whose rows are the tenants: one for each, not for each person.
        owned: Tables whose rows belong to somebody.
        back: References that lead back to their own table and may be empty: they own nothing.
    """

    claims: Mapping[int, Mapping[str, tuple[str, ...]]]
    lists: frozenset[tuple[str, ...]]
    shared: frozenset[int]
    owned: frozenset[int]
    back: frozenset[tuple[int, str]]

    def carriers(self, table: Table) -> list[str]:
        """Return the columns that say whose a row of ``table`` is, in their order."""
        found = set(self.claims.get(table.oid, ()))
        for key in table.foreign_keys:
            if key.target in self.owned and (table.oid, key.name) not in self.back:
                found.update(key.columns)
        return [name for name in table.columns if name in found]

    def claim_paths(self) -> set[tuple[str, ...]]:
        """Return the paths of the claims that hold a tenant."""
        return {
            path
            for columns in self.claims.values()
            for path in columns.values()
            if path not in (*PERSONAL, TEAMS)
        }


def lay_out(tables: Mapping[int, Table], declaration: Declaration, beside: Collection[str] = ()) -> Layout:
    """Find whose the rows are, from policies, foreign keys and what the project states.

    ``beside`` are titles of views and partitions, of which the project may state why they are left out.

    Raises:
        BadDeclaration: The project names a table or column that does not exist.
    """
    titles = {table.title: table for table in tables.values()}
    claims, lists = _from_policies(tables.values(), titles)
    shared: set[int] = set()
    if (users := titles.get(USERS)) is not None:
        claims.setdefault(users.oid, {}).update({"id": SUB, "email": EMAIL})
    for title, declared in declaration.tables.items():
        if title in beside:
            continue
        if title not in titles:
            raise BadDeclaration(
                f'[policies.tables."{title}"] in monohull.toml: there is no such table; write schema.name'
            )
        _declare(titles[title], declared, claims, shared)
    _propagate(tables, claims)
    shared |= set(_tenant_tables(tables, claims, titles))
    owned = _owned(tables, claims, shared)
    known = {oid: found for oid, found in claims.items() if found}
    back = frozenset(
        (table.oid, key.name)
        for table in tables.values()
        for key in table.foreign_keys
        if key.target == table.oid
        or (
            any(table.columns[name].is_nullable for name in key.columns)
            and table.oid in reachable(tables, [key.target])
        )
    )
    return Layout(known, frozenset(lists), frozenset(shared), frozenset(owned), back)


def _from_policies(
    tables: Iterable[Table], titles: Mapping[str, Table]
) -> tuple[Claims, set[tuple[str, ...]]]:
    claims: Claims = {}
    lists: set[tuple[str, ...]] = set()
    for table in tables:
        for expression in (text for policy in table.policies for text in policy.expressions):
            for found in compared_columns(expression):
                target = titles.get(found.table) if found.table is not None else table
                if target is None or found.column not in target.columns:
                    continue
                claims.setdefault(target.oid, {}).setdefault(found.column, found.claim)
                if found.is_list:
                    lists.add(found.claim)
    return claims, lists


def _declare(table: Table, declared: DeclaredTable, claims: Claims, shared: set[int]) -> None:
    where = f'[policies.tables."{table.title}"] in monohull.toml'
    stated = [declared.owner, declared.tenant, *declared.row]
    stated += [column for variant in declared.variants.values() for column in variant]
    for column in stated:
        if column is not None and column not in table.columns:
            raise BadDeclaration(f"{where}: the table has no column {column!r}")
    found = claims.setdefault(table.oid, {})
    by_column = {column: key for key in table.foreign_keys for column in key.columns}
    if declared.owner is not None and declared.owner not in by_column:
        found[declared.owner] = SUB
    if declared.tenant is not None:
        path = tuple(declared.claim.split(".")) if declared.claim else None
        if path is not None or declared.tenant not in by_column:
            found[declared.tenant] = path or UNNAMED
        else:
            shared.add(by_column[declared.tenant].target)
    if declared.is_tenant:
        shared.add(table.oid)


def _propagate(tables: Mapping[int, Table], claims: Claims) -> None:
    """What a column holds, the column it refers to holds too."""
    is_changed = True
    while is_changed:
        is_changed = False
        for table, key, column, target in _references(tables):
            path = claims.get(table.oid, {}).get(column)
            if path is not None and target not in claims.setdefault(key.target, {}):
                claims[key.target][target] = path
                is_changed = True


def _references(tables: Mapping[int, Table]) -> Iterator[tuple[Table, ForeignKey, str, str]]:
    for table in tables.values():
        for key in table.foreign_keys:
            if key.target in tables:
                for column, target in zip(key.columns, key.target_columns, strict=True):
                    yield table, key, column, target


def _tenant_tables(tables: Mapping[int, Table], claims: Claims, titles: Mapping[str, Table]) -> Iterator[int]:
    if (teams := titles.get(PLATFORM_TEAMS)) is not None:
        yield teams.oid
    for table, key, column, _ in _references(tables):
        path = claims.get(table.oid, {}).get(column)
        if path is not None and path not in PERSONAL:
            yield key.target
    read = referenced_tables(
        text for table in tables.values() for policy in table.policies for text in policy.expressions
    )
    users = titles.get(USERS)
    for title in read & titles.keys():
        yield from _groups_of(titles[title], claims, users)


def _groups_of(membership: Table, claims: Claims, users: Table | None) -> Iterator[int]:
    """A table unique by a user and a reference says who belongs to what it refers to."""
    personal = {name for name, path in claims.get(membership.oid, {}).items() if path in PERSONAL}
    for key in membership.foreign_keys:
        if users is not None and key.target == users.oid:
            personal.update(key.columns)
    for key in membership.foreign_keys:
        if personal.intersection(key.columns) or key.target == membership.oid:
            continue
        if any(_is_membership(columns, key, personal) for columns in membership.unique):
            yield key.target


def _is_membership(columns: Sequence[str], key: ForeignKey, personal: set[str]) -> bool:
    rest = set(columns) - set(key.columns)
    return set(key.columns) < set(columns) and bool(rest) and rest <= personal


def _owned(tables: Mapping[int, Table], claims: Claims, shared: set[int]) -> set[int]:
    owned = {oid for oid, found in claims.items() if found} | shared
    is_changed = True
    while is_changed:
        is_changed = False
        for table in tables.values():
            if table.oid not in owned and any(key.target in owned for key in table.foreign_keys):
                owned.add(table.oid)
                is_changed = True
    return owned
