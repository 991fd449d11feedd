"""Rows of audited tables, whatever they hold: none is refused, and each is written down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import asyncpg
import msgspec
import pytest

from modules.audit.tracking import mark, sync
from monohull.kernel.ids import uuid7

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.integration.audit.log import Log

SCHEMA: Final = r"""
create type public.place as (name text, shape json);
create table public.odd (
    id int primary key, json json, more json[], place place, places place[], amount numeric, real float8,
    bytes bytea, whole daterange, day timestamptz, twice int generated always as (id * 2) stored,
    "Quo""ted, col" text, hidden_token json
);
create table public.keyless (name text, shape json);
create table public.parted (id int, at date, note text, primary key (id, at)) partition by range (at);
create table public.parted_old partition of parted for values from ('2020-01-01') to ('2021-01-01');
create table public.parted_new partition of parted for values from ('2021-01-01') to ('2030-01-01')
    partition by range (at);
create table public.parted_newest partition of parted_new for values from ('2021-01-01') to ('2030-01-01');
"""
ZERO: Final = r'{"a": "\u0000", "b": [1, "\u0000\u0001"]}'
"""JSON that ``json`` takes and ``jsonb`` refuses."""


@pytest.fixture
async def database(log: Log, platform_database: str) -> AsyncIterator[asyncpg.Connection]:
    """The log's database, with tables that are audited."""
    connection = await asyncpg.connect(platform_database)
    await connection.execute(SCHEMA)
    for table in ("odd", "keyless", "parted"):
        await mark(connection, f"public.{table}", audited=True)
    await log.write()
    yield connection
    await connection.close()


async def written(log: Log) -> list[Any]:
    """Return what was added since the last time."""
    before = len(await log.entries())
    await log.write()
    return list((await log.entries())[before:])


def sides(entry: Any) -> tuple[Any, Any]:
    before, after = (entry[f"{side}_text"] for side in ("before", "after"))
    return before and msgspec.json.decode(before), after and msgspec.json.decode(after)


async def test_json_that_jsonb_does_not_take(log: Log, database: asyncpg.Connection) -> None:
    await database.execute("insert into odd (id, json, amount, hidden_token) values (1, $1, 1, $1)", ZERO)
    await database.execute("update odd set amount = 2")
    await database.execute("update odd set json = '{}'")
    await database.execute("update odd set more = array[$1]::json[]", ZERO)
    await database.execute("update odd set place = row('Rome', $1::json)::place", ZERO)
    await database.execute("update odd set places = array[row('Rome', $1::json)]::place[]", ZERO)
    await database.execute("delete from odd")
    found = await written(log)
    assert [entry["action"].rpartition("_")[2] for entry in found] == [
        "inserted",
        *["updated"] * 5,
        "deleted",
    ]
    assert {entry["object_id"] for entry in found} == {"1"}
    inserted = sides(found[0])[1]
    assert (inserted["json"], inserted["hidden_token"], inserted["twice"]) == (ZERO, "[removed]", 2)
    assert sides(found[1]) == ({"amount": 1}, {"amount": 2})
    assert sides(found[2]) == ({"json": ZERO}, {"json": {}})
    assert r"\u0000" in sides(found[3])[1]["more"]
    assert r"\u0000" in sides(found[4])[1]["place"]
    assert r"\u0000" in sides(found[5])[1]["places"]
    assert (await log.audit.verify()).ok


async def test_values_at_the_edge(log: Log, database: asyncpg.Connection) -> None:
    for amount in ("NaN", "Infinity", "-Infinity", "1e-300", "9" * 3000):
        await database.execute(
            'insert into odd (id, amount, real, day, whole, bytes, "Quo""ted, col") values '
            "((select count(*) from odd), $1::text::numeric, 'NaN', 'infinity', 'empty', $2, $3)",
            amount,
            bytes(range(256)),
            "\x01\x7f\U0001f600\\u0000\u2028",
        )
    found = await written(log)
    amounts = [str(sides(entry)[1]["amount"]) for entry in found]
    assert amounts[:3] == ["NaN", "Infinity", "-Infinity"]
    assert "9" * 3000 in found[4]["after_text"], "digit by digit"
    after = sides(found[0])[1]
    assert after["bytes"] == "\\x" + bytes(range(256)).hex()
    assert after['Quo"ted, col'] == "\x01\x7f\U0001f600\\u0000\u2028"
    assert (after["real"], after["day"], after["whole"]) == ("NaN", "infinity", "empty")


async def test_wide_rows_are_taken_a_few_at_a_time(log: Log, database: asyncpg.Connection) -> None:
    wide = 1_000_000
    await database.execute(
        "insert into keyless select string_agg(md5(n::text || m::text), ''), null"
        " from generate_series(1, 20) n, generate_series(1, $1::int / 32) m group by n",
        wide,
    )
    found = await written(log)
    assert [len(sides(entry)[1]["name"]) for entry in found] == [wide] * 20
    assert len({entry["recorded_at"] for entry in found}) == 2, "16 MB a batch"
    assert (await log.audit.verify()).ok


async def test_what_is_huge_beside_such_json_is_named_by_its_size(
    log: Log, database: asyncpg.Connection
) -> None:
    await database.execute("insert into keyless values (repeat('x', 17000000), $1)", ZERO)
    (entry,) = await written(log)
    assert sides(entry)[1] == {"name": "[17000002 bytes]", "shape": ZERO}


async def test_without_a_key_by_copy_and_through_partitions(log: Log, database: asyncpg.Connection) -> None:
    await database.copy_records_to_table("keyless", records=[("a", ZERO), ("b", "1"), (None, None)])
    await database.execute("insert into parted values (1, '2020-05-05', 'old'), (2, '2025-05-05', 'new')")
    await database.execute("update parted set at = '2026-01-01' where id = 1")
    await database.execute("update parted_newest set note = 'moved' where id = 1")
    found = await written(log)
    assert [entry["object_id"] for entry in found[:3]] == [None] * 3
    assert [sides(entry)[1] and sides(entry)[1]["name"] for entry in found[:3]] == ["a", "b", None]
    assert {entry["object_kind"] for entry in found[3:]} == {"public.parted"}, "under the name that is marked"
    assert [(entry["action"], entry["object_id"]) for entry in found[3:]] == [
        ("data.row_inserted", "1,2020-05-05"),
        ("data.row_inserted", "2,2025-05-05"),
        ("data.row_deleted", "1,2020-05-05"),
        ("data.row_inserted", "1,2026-01-01"),
        ("data.row_updated", "1,2026-01-01"),
    ]


async def test_truncating_a_partition_is_seen(log: Log, database: asyncpg.Connection) -> None:
    await database.execute("create table parted_late partition of parted default; truncate parted_late")
    assert await written(log) == [], "one that is new is followed when the triggers are looked at next"
    assert await sync(database) == []
    await database.execute("truncate parted_late, parted_old; truncate parted_new; truncate parted")
    found = [(entry["object_kind"], entry["object_id"]) for entry in await written(log)]
    names = ("parted_late", "parted_old", "parted_new", "parted_newest")
    assert set(found) == {("public.parted", None), *(("public.parted", f"public.{name}") for name in names)}
    await database.execute("alter table parted detach partition parted_late")
    assert await sync(database) == []
    await database.execute("truncate parted_late; insert into parted_late values (1, '2040-01-01')")
    assert await written(log) == []
    await mark(database, "public.parted", audited=False)
    await database.execute("truncate parted; truncate parted_old")
    assert [entry["action"] for entry in await written(log)] == ["audit.table_untracked"]
    left = (
        "select count(*) from pg_trigger"
        " where tgname like 'monohull_audit%' and tgrelid::regclass::text ~ 'parted'"
    )
    assert await database.fetchval(left) == 0


async def test_a_long_name_of_a_row_does_not_stop_the_log(log: Log, database: asyncpg.Connection) -> None:
    await database.execute("create table named (name text primary key)")
    await mark(database, "public.named", audited=True)
    name = "".join(chr(0x4E00 + (number * 7919) % 20_000) for number in range(800))
    await database.execute("insert into named values ($1)", name)
    *_, entry = await written(log)
    assert name.startswith(entry["object_id"])
    assert len(entry["object_id"].encode()) in range(998, 1001)
    assert sides(entry)[1] == {"name": name}
    await log.say(f"{uuid7()}\0" + name)
    (said,) = await written(log)
    assert said["object_id"].startswith(
        said["after"] and msgspec.json.decode(said["after_text"])["case_id"][:36]
    )
    odd = "".join(chr(0x4E00 + (number * 7919) % 20_000) for number in range(1000))
    await database.execute(
        "insert into monohull.audit_queue (source, content) values ('event', $1)",
        msgspec.json.encode({"name": odd, "key": odd, "actor": odd}).decode(),
    )
    (said,) = await written(log)
    assert len(said["action"].encode()) in range(298, 301), "all of it has to stand in one index"
