from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from modules.query.exposure import Exposure, find_closures
from tests.unit.query.catalogs import catalog, relation

if TYPE_CHECKING:
    from modules.query.catalog import Relation

SAFE = relation("safe", "id:int4")
BARE = relation("bare", "id:int4", rls=False)


@pytest.mark.parametrize(
    ("one", "why"),
    [
        (SAFE, None),
        (BARE, "row level security is not enabled on it"),
        (relation("one", "id:int4", rls=False, comment="All our prices.\n @public \n"), None),
        (relation("one", "id:int4", rls=False, comment="not @public at all"), "row level security"),
        (relation("listed", "id:int4", rls=False), None),
        (relation("one", "id:int4", kind="view", rls=False), "as its owner"),
        (relation("one", "id:int4", kind="view", invoker=True, bases=(SAFE.key,)), None),
        (relation("one", "id:int4", kind="view", invoker=True, bases=(SAFE.key, BARE.key)), "public.bare"),
        (
            relation("one", "id:int4", kind="view", invoker=True, bases=(("pg_catalog", "1259"),)),
            "system catalog",
        ),
        (relation("one", "id:int4", kind="view", invoker=True, bases=(("public", "one"),)), None),
        (relation("one", "id:int4", kind="materialized view", rls=False), "cannot have"),
        (relation("one", "id:int4", kind="foreign table", rls=False), "cannot have"),
        (
            relation("one", "id:int4", kind="partitioned table", rls=False),
            "row level security is not enabled",
        ),
    ],
)
def test_closed_until_protected_or_declared(one: Relation, why: str | None) -> None:
    closures = find_closures(catalog([SAFE, BARE, one]), Exposure(public=frozenset({("public", "listed")})))
    if why is None:
        assert one.key not in closures
    else:
        assert why in closures[one.key].why
        assert "COMMENT ON" in closures[one.key].hint
        assert f'public_tables = ["public.{one.name}"]' in closures[one.key].hint


def test_grants_close_nothing() -> None:
    assert find_closures(catalog([BARE]), Exposure(mode="grants")) == {}


def test_odd_names_are_quoted_in_the_advice() -> None:
    odd = relation('My "Table"', "id:int4", rls=False)
    hint = find_closures(catalog([odd]), Exposure())[odd.key].hint
    assert 'ALTER TABLE public."My ""Table""" ENABLE ROW LEVEL SECURITY' in hint
