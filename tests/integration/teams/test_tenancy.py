"""``monohull tenant protect``: a table of which teams see and change their own rows alone."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import asyncpg
import pytest
from click.testing import CliRunner

from modules.teams.tenant_cli import tenant
from tests.integration.api_keys.test_cli import ENVIRON, Context

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

    from tests.integration.teams.clubs import Clubs

WALL = ("members have their team's rows", "rows stay in their team")


def protect(project: Path, *arguments: str) -> Result:
    return CliRunner().invoke(
        tenant, ["protect", *arguments, "--project", str(project)], obj=Context(None, ENVIRON)
    )


def sql_of(project: Path, *arguments: str) -> str:
    result = protect(project, *arguments, "--dry-run")
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("table", ["orders", 'Odd "orders" $tenant$'], ids=["plain", "odd"])
async def test_rows_belong_to_teams(clubs: Clubs, tmp_path: Path, table: str) -> None:
    quoted = '"' + table.replace('"', '""') + '"'
    await clubs.people.execute(
        f"create table public.{quoted} (id int primary key);"
        f"grant select, insert, update, delete on public.{quoted} to authenticated, anon"
    )
    sql = sql_of(tmp_path, table)
    for _ in range(2):
        await clubs.people.execute(sql)
    keys = await clubs.people.rows(
        "select (select count(*) from pg_constraint where conrelid = $1::regclass and contype = 'f') as keys,"
        " (select count(*) from pg_index where indrelid = $1::regclass) as indexes",
        f"public.{quoted}",
    )
    assert [dict(row) for row in keys] == [{"keys": 1, "indexes": 2}], "twice leads to the same"
    one, two = await clubs.people.sign_up(), await clubs.people.sign_up()
    mine, theirs = await clubs.team(one), await clubs.team(two)
    colleague = await clubs.joined(mine)
    await clubs.people.execute(f"insert into {quoted} values (1, '{mine}'), (2, '{theirs}'), (3, null)")
    rows = f"select id from {quoted} order by id"
    assert [await clubs.asked(person, rows) for person in (one, colleague, two)] == [[1], [1], [2]]
    assert await clubs.asked(None, rows, role="anon") == []
    new = f"insert into {quoted} values (9, {{}}) returning id"
    assert await clubs.asked(colleague, new.format(f"'{mine}'")) == [9]
    for team in (f"'{theirs}'", "null"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await clubs.asked(colleague, new.format(team))
    moved = f"update {quoted} set team_id = '{theirs}' where id = 1 returning id"
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await clubs.asked(one, moved)
    await clubs.people.execute(f"create policy loose on {quoted} to authenticated using (true)")
    assert await clubs.asked(one, rows) == [1, 9], "no later policy opens another team's rows"
    plan = "\n".join(await clubs.asked(one, f"explain (costs off) select * from {quoted}"))
    assert "SubPlan" not in plan
    assert re.search(r"^ *InitPlan", plan, re.MULTILINE)
    assert await clubs.refused("DELETE", f"/teams/{mine}/members/{colleague.id}", by=one) == (204, None)
    assert await clubs.asked(colleague, rows) == []
    assert await clubs.refused("DELETE", f"/teams/{mine}", by=one) == (409, "team_in_use")
    await clubs.people.execute(f"drop table {quoted}")


@pytest.mark.asyncio(loop_scope="module")
async def test_rows_of_the_active_team_alone(clubs: Clubs, tmp_path: Path) -> None:
    await clubs.people.execute(
        "create schema shop; create table shop.orders (id int primary key, org uuid not null);"
        "grant usage on schema shop to authenticated; grant select on shop.orders to authenticated"
    )
    await clubs.people.execute(
        sql_of(tmp_path, "shop.orders", "--column", "org", "--active-only", "--on-delete", "cascade")
    )
    person = await clubs.people.sign_up()
    one, two = await clubs.team(person), await clubs.team(person)
    await clubs.people.execute(f"insert into shop.orders values (1, '{one}'), (2, '{two}')")
    rows = "select id from shop.orders order by id"
    assert await clubs.asked(person, rows) == []
    for team, seen in ((one, [1]), (two, [2])):
        await clubs.call("PUT", "/active-team", {"team_id": team}, by=person)
        assert await clubs.asked(person, rows) == seen
    assert await clubs.refused("DELETE", f"/teams/{two}", by=person) == (204, None)
    assert [row["id"] for row in await clubs.people.rows(rows)] == [1]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_column_and_an_index_that_are_there_are_kept(clubs: Clubs, tmp_path: Path) -> None:
    await clubs.people.execute(
        "create table public.had (id int, team_id uuid references monohull.teams (id) on delete cascade);"
        "create index had_team on public.had (team_id, id)"
    )
    await clubs.people.execute(sql_of(tmp_path, "had"))
    found = await clubs.people.rows(
        "select confdeltype::text as rule from pg_constraint where conrelid = 'public.had'::regclass"
        " and contype = 'f'"
    )
    assert [row["rule"] for row in found] == ["c"]
    indexes = await clubs.people.rows("select indexname from pg_indexes where tablename = 'had'")
    assert [row["indexname"] for row in indexes] == ["had_team"]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_column_of_another_type_is_refused(clubs: Clubs, tmp_path: Path) -> None:
    await clubs.people.execute("create table public.texts (team_id text)")
    with pytest.raises(asyncpg.DatatypeMismatchError, match="incompatible types"):
        await clubs.people.execute(sql_of(tmp_path, "texts"))


def test_migrations_are_numbered_as_those_there(tmp_path: Path) -> None:
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0001_first.sql").write_text("select 1;")
    made = protect(tmp_path, "shop.orders", "--column", "org_id")
    path = folder / "0002_tenant_orders.sql"
    assert made.exit_code == 0, made.output
    assert str(path) in made.stderr
    assert made.stdout == path.read_text()
    assert '"shop"."orders"' in made.stdout
    again = protect(tmp_path, "shop.orders", "--column", "org_id", "--json")
    assert json.loads(again.stdout) == {"sql": made.stdout, "file": str(path), "is_applied": False}
    assert len(list(folder.iterdir())) == 2, "what is said already is not said twice"
    assert protect(tmp_path, "shop.orders", "--column", "org_id", "--active-only").exit_code == 0
    assert protect(tmp_path, "shop.orders", "--column", "org_id").exit_code == 0
    assert (folder / "0004_tenant_orders.sql").read_text() == made.stdout, "something else was said last"
    for file in folder.iterdir():
        file.unlink()
    (folder / "20260101000000_first.sql").write_text("select 1;")
    assert protect(tmp_path, "orders").exit_code == 0
    (written,) = [file.name for file in folder.iterdir() if "tenant" in file.name]
    assert re.fullmatch(r"\d{14}_tenant_orders\.sql", written)
    (folder / "nonsense.sql").write_text("")
    refused = protect(tmp_path, "more")
    assert (refused.exit_code, "nonsense.sql" in refused.stderr) == (1, True)


@pytest.mark.parametrize(
    "arguments",
    [[""], ["a."], ["a\n"], ["a", "--column", ""], ["a", "--dry-run", "--apply"], ["a", "--on-delete", "x"]],
    ids=["nothing", "half", "line end", "no column", "both", "no rule"],
)
def test_what_is_no_table(tmp_path: Path, arguments: list[str]) -> None:
    assert protect(tmp_path, *arguments).exit_code == 2
