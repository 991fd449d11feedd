from __future__ import annotations

import pytest

from modules.policy_tests.catalog import Column, ForeignKey, Table
from modules.policy_tests.errors import CannotFill
from modules.policy_tests.ordering import order_tables, reachable


def table(oid: int, *references: int, nullable: bool = False, deferrable: bool = False) -> Table:
    columns = {
        f"to_{target}": Column(
            number=target,
            name=f"to_{target}",
            type="integer",
            base="int4",
            category="N",
            is_nullable=nullable,
        )
        for target in references
    }
    keys = tuple(
        ForeignKey(f"fk_{target}", (f"to_{target}",), target, ("id",), deferrable) for target in references
    )
    return Table(
        oid=oid, schema="s", name=f"t{oid}", owner="o", row_security="on", columns=columns, foreign_keys=keys
    )


def test_what_is_referred_to_comes_first() -> None:
    tables = {1: table(1, 2, 3), 2: table(2, 3), 3: table(3), 4: table(4, 1)}
    assert order_tables(tables, tables).tables == (3, 2, 1, 4)
    assert reachable(tables, [2]) == {2, 3}


def test_a_table_that_refers_to_itself_waits_for_nobody() -> None:
    tables = {1: table(1, 1)}
    assert order_tables(tables, tables).tables == (1,)


def test_a_circle_is_broken_where_a_column_may_be_empty() -> None:
    tables = {1: table(1, 2), 2: table(2, 3), 3: table(3, 1, nullable=True)}
    order = order_tables(tables, tables)
    assert order.tables == (3, 2, 1)
    assert order.later == {(3, "fk_1")}
    assert order.promised == frozenset()


def test_a_circle_is_broken_where_a_check_may_wait() -> None:
    tables = {1: table(1, 2), 2: table(2, 1, deferrable=True)}
    order = order_tables(tables, tables)
    assert order.tables == (2, 1)
    assert order.promised == {(2, "fk_1")}


def test_a_circle_that_cannot_be_broken_is_named() -> None:
    tables = {1: table(1, 2), 2: table(2, 1)}
    with pytest.raises(CannotFill, match=r"s\.t1, s\.t2"):
        order_tables(tables, tables)
