"""The live catalog: what is read, when it is read again, and what happens while the database is away."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from modules.query import CatalogMissing, LiveCatalog
from modules.query.introspect import introspect
from modules.query.live import RETRY_SECONDS
from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.errors import DatabaseUnavailable
from tests.application import service_key
from tests.patience import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import asyncpg

pytestmark = pytest.mark.asyncio(loop_scope="module")

SERVICE = {"Authorization": f"Bearer {service_key()}"}
KEYED = {
    "everything": {frozenset({"id"}), frozenset({"code"})},
    "narrow": frozenset(),
    "later": {frozenset({"code"})},
    "grown": frozenset(),
    "growth": frozenset(),
    "days": {frozenset({"id", "day"})},
    "parts": frozenset(),
}
"""Which columns tell rows apart at any time."""


async def test_what_is_read(database: asyncpg.Connection) -> None:
    await database.execute(
        """create domain words as tsvector;
           create table everything (
               id int generated always as identity primary key, code varchar(8) unique not null default 'x',
               search words, twice int generated always as (1) stored, tags int[]);
           comment on column everything.code is 'Short name.';
           create table parts (id int, day date) partition by range (day);
           create table parts_2026 partition of parts for values from ('2026-01-01') to ('2027-01-01');
           create view narrow as select id from everything;
           create table later (id int primary key deferrable, code int unique, unique (code, id) deferrable);
           create table grown (id int primary key); create table growth () inherits (grown);
           create table days (id int, day date, primary key (id, day)) partition by range (day);
           create unique index on days (id, day) where id > 1"""
    )
    catalog = await introspect(database)
    everything = catalog.relations["public", "everything"]
    assert everything.primary_key == ("id",)
    assert everything.uniques == {frozenset({"id"}), frozenset({"code"})}
    assert {name: catalog.relations["public", name].identities for name in KEYED} == KEYED
    code, search = everything.columns["code"], everything.columns["search"]
    assert (code.type, code.base_type, code.is_nullable, code.has_default) == (
        "character varying(8)",
        "varchar",
        False,
        True,
    )
    assert (code.comment, search.type, search.base_type) == (
        "Short name.",
        "public.words",
        "tsvector",
    )
    assert everything.columns["twice"].is_generated
    assert everything.columns["id"].has_default
    assert everything.columns["tags"].base_type == "_int4"
    assert everything.allows_insert
    assert catalog.relations["public", "parts"].kind == "partitioned table"
    assert catalog.relations["public", "parts_2026"].is_partition
    assert catalog.relations["public", "narrow"].bases == (("public", "everything"),)
    assert catalog.relations["public", "narrow"].allows_update
    assert catalog.relations["public", "totals"].kind == "materialized view"
    assert not catalog.relations["public", "totals"].allows_update
    assert catalog.relations["public", "own_orders"].is_security_invoker
    assert catalog.relations["public", "customers"].has_row_security
    assert "service_role" in catalog.bypassing_roles
    assert ("pg_catalog", "pg_class") not in catalog.relations
    assert {way.target[1] for way in catalog.related(("public", "notes"))} == {"customers", "customer_names"}
    assert catalog.relations["public", "customer_names"].primary_key == ("id",)


async def test_a_database_that_is_away_is_waited_for() -> None:
    attempts: list[float] = []

    @asynccontextmanager
    async def connect() -> AsyncIterator[Any]:
        attempts.append(monotonic_seconds())
        if attempts:
            raise DatabaseUnavailable("away")
        yield

    live = LiveCatalog(connect, "postgresql://127.0.0.1:1/none")
    async with live.running():
        await eventually(lambda: len(attempts) >= 2)
        with pytest.raises(CatalogMissing) as caught:
            live.current()
    assert caught.value.status == 503
    assert caught.value.headers["Retry-After"] == "1"
    first, second, *_ = attempts
    assert second - first >= RETRY_SECONDS
