"""In which order tables are filled, so that what a row refers to is there before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from modules.policy_tests.errors import CannotFill

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from modules.policy_tests.catalog import ForeignKey, Table


class Order(Struct, frozen=True):
    """Tables in order, and the references of circles.

    Attributes:
        tables: Oids.
        later: References that are left empty at first and set when their target is there.
        promised: References whose target gets its key before it is made; checked at the end.
    """

    tables: tuple[int, ...]
    later: frozenset[tuple[int, str]]
    promised: frozenset[tuple[int, str]]


def reachable(tables: Mapping[int, Table], first: Iterable[int]) -> set[int]:
    """Return ``first`` and all tables that they refer to, directly or not."""
    found: set[int] = set()
    left = list(first)
    while left:
        oid = left.pop()
        if oid not in found and oid in tables:
            found.add(oid)
            left += [key.target for key in tables[oid].foreign_keys]
    return found


def order_tables(tables: Mapping[int, Table], needed: Iterable[int]) -> Order:
    """Sort ``needed``; circles are broken at a nullable reference, else at a deferrable one.

    Raises:
        CannotFill: A circle has neither.
    """
    left = sorted(needed, key=lambda oid: tables[oid].title)
    inside = set(left)
    done: list[int] = []
    later: set[tuple[int, str]] = set()
    promised: set[tuple[int, str]] = set()

    def waits(oid: int) -> list[ForeignKey]:
        return [
            key
            for key in tables[oid].foreign_keys
            if key.target in inside
            and key.target not in (*done, oid)
            and (oid, key.name) not in later | promised
        ]

    while left:
        ready = next((oid for oid in left if not waits(oid)), None)
        if ready is not None:
            left.remove(ready)
            done.append(ready)
        elif not _break(tables, {oid: waits(oid) for oid in left}, later, promised):
            titles = ", ".join(tables[oid].title for oid in left)
            raise CannotFill(
                [f"{titles}: they refer to each other by keys that are neither nullable nor deferrable"]
            )
    return Order(tuple(done), frozenset(later), frozenset(promised))


def _break(
    tables: Mapping[int, Table],
    waits: Mapping[int, list[ForeignKey]],
    later: set[tuple[int, str]],
    promised: set[tuple[int, str]],
) -> bool:
    """Free the table that needs the fewest references broken."""
    candidates = sorted(waits, key=lambda oid: (len(waits[oid]), tables[oid].title))
    for oid in candidates:
        if all(_is_nullable(tables[oid], key) for key in waits[oid]):
            later.update((oid, key.name) for key in waits[oid])
            return True
    for oid in candidates:
        if all(_is_nullable(tables[oid], key) or key.is_deferrable for key in waits[oid]):
            for key in waits[oid]:
                (later if _is_nullable(tables[oid], key) else promised).add((oid, key.name))
            return True
    return False


def _is_nullable(table: Table, key: ForeignKey) -> bool:
    return any(table.columns[name].is_nullable for name in key.columns)
