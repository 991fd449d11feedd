"""Owners of audited tables who would like to be the owner of the platform."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import msgspec
import pytest

from modules.audit.tracking import sync

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.integration.audit.log import Log

THEIRS: Final = """
create table public.proof (who text);
create function public.note() returns void language sql volatile as
    'insert into public.proof select current_user';
create type public.mood as enum ('low', 'high');
create function public.as_json(mood) returns json language plpgsql volatile as
    $$ begin perform public.note(); return '"cast"'; end $$;
create function public.as_jsonb(mood) returns jsonb language plpgsql volatile as
    $$ begin perform public.note(); return '"cast"'; end $$;
create function public.as_text(mood) returns text language plpgsql volatile as
    $$ begin perform public.note(); return 'cast'; end $$;
create cast (mood as json) with function public.as_json(mood);
create cast (mood as jsonb) with function public.as_jsonb(mood);
create cast (mood as text) with function public.as_text(mood);
create type public.pair as (one mood, amount numeric);
create domain public.felt as mood;
create table public.diary (
    id int primary key, mood mood, moods mood[], pair pair, pairs pair[], felt felt, note json, empty mood
);
comment on table public.diary is '@audited';
"""
TEMPORARY: Final = """
create domain pg_temp.text as pg_catalog.text;
create function pg_temp.steal(pg_catalog.text) returns boolean language plpgsql volatile as
    $$ begin perform public.note(); return true; end $$;
alter domain pg_temp.text add constraint stolen check (pg_temp.steal(value));
create domain pg_temp.jsonb as pg_catalog.jsonb;
create domain pg_temp.name as pg_catalog.name;
"""
ROW: Final = (
    "insert into public.diary values (1, 'low', '{low,high}', row('high', 1), array[row('low', 2)::pair],"
    " 'high', $1, null)"
)


@pytest.fixture
async def owner(log: Log, platform_database: str) -> AsyncIterator[asyncpg.Connection]:
    """A login that owns an audited table and nothing of the platform."""
    name = f"mallory_{uuid4().hex[:8]}"
    parts = urlsplit(platform_database)
    database = parts.path.removeprefix("/")
    async with log.runtime.database.connection() as ours:
        await ours.execute(f"create role {name} login password 'x'")
        await ours.execute(f'grant create, usage on schema public to {name}; grant temp on database "{database}" to {name}')  # fmt: skip  # noqa: E501
        theirs = await asyncpg.connect(
            urlunsplit(parts._replace(netloc=f"{name}:x@{parts.netloc.rpartition('@')[2]}"))
        )
        try:
            await theirs.execute(THEIRS)
            assert await sync(ours) == ["public.diary"]
            yield theirs
        finally:
            await theirs.close()
            await ours.execute(f"drop owned by {name} cascade; drop role {name}")


async def last(log: Log) -> Any:
    await log.write()
    return (await log.entries())[-1]


async def test_no_cast_of_theirs_runs_as_the_platform(log: Log, owner: asyncpg.Connection) -> None:
    for number, note in enumerate(("{}", r'{"a": "\u0000"}')):
        await owner.execute(ROW.replace("(1,", f"({number},"), note)
        entry = await last(log)
        after = msgspec.json.decode(entry["after_text"])
        assert (after["id"], after["mood"], after["felt"], after["empty"]) == (number, "low", "high", None)
        assert (after["moods"], after["pair"]) == ("{low,high}", "(high,1)")
    await owner.execute("update public.diary set mood = 'high'")
    await owner.execute("delete from public.diary")
    assert (await last(log))["action"] == "data.row_deleted"
    assert await owner.fetch("select who from public.proof") == []


async def test_no_temporary_type_takes_the_place_of_a_type(log: Log, owner: asyncpg.Connection) -> None:
    await owner.execute(TEMPORARY)
    await owner.execute(ROW, "{}")
    await owner.execute("update public.diary set mood = 'high'")
    me = await owner.fetchval("select current_user::pg_catalog.text")
    assert {row["who"] for row in await owner.fetch("select who from public.proof")} <= {me}
    assert (await last(log))["action"] == "data.row_updated"


async def test_every_function_of_ours_looks_at_temporary_objects_last(log: Log) -> None:
    async with log.runtime.database.connection() as connection:
        found = await connection.fetch(
            "select oid::regprocedure::text as name, proconfig from pg_proc "
            "where pronamespace = 'monohull'::regnamespace and (prosecdef or proconfig is not null)"
        )
    assert len(found) > 10
    paths = {row["name"]: [one for one in row["proconfig"] or () if one.startswith("search_path=")] for row in found}  # fmt: skip  # noqa: E501
    assert {name: path for name, path in paths.items() if path != ["search_path=pg_catalog, pg_temp"]} == {}
