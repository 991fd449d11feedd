"""The project's SQL files against a real server: once, in order, whole or not at all."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from monohull.kernel.database import ddl
from monohull.kernel.database.apply import PROJECT_LOCK_KEY, apply, pending
from monohull.kernel.database.engine import Database
from monohull.kernel.database.errors import MigrationRefused
from monohull.kernel.database.migrations import Patience
from monohull.kernel.errors import DatabaseUnavailable
from tests.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    from pathlib import Path

NAME = "shop"
OUT = "-- monohull: no-transaction\n"
QUICK = Patience(lock_timeout_seconds=0.1, attempts=2)


def write(project: Path, **files: str) -> Path:
    for name, text in files.items():
        path = project / "migrations" / f"{name.lstrip('m')}.sql"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return project


async def fetch(database: Database, sql: str) -> object:
    async with database.connection() as connection:
        return await connection.fetchval(sql)


async def refusal(database: Database, project: Path, patience: Patience = QUICK) -> str:
    with pytest.raises(MigrationRefused) as caught:
        await apply(database, project, NAME, patience)
    return str(caught.value)


async def names(database: Database) -> list[str]:
    async with database.connection() as connection:
        rows = await connection.fetch("select name from monohull.project_migrations order by version")
        return [row[0] for row in rows]


async def test_applied_once_and_in_order(database: Database, tmp_path: Path) -> None:
    write(tmp_path, m0002_b="insert into t values (2), (3)", m0001_a="create table t (id int);")
    assert [file.name for file in await pending(database, tmp_path, NAME)] == ["0001_a.sql", "0002_b.sql"]
    done = await apply(database, tmp_path, NAME)
    assert [one.name for one in done] == ["0001_a.sql", "0002_b.sql"]
    assert await apply(database, tmp_path, NAME) == ()
    assert await pending(database, tmp_path, NAME) == ()
    assert await fetch(database, "select count(*) from public.t") == 2
    async with database.connection() as connection:
        row = await connection.fetchrow("select * from monohull.project_migrations where version = 2")
    assert (row["project"], row["kind"], row["applied_by"]) == ("shop", "migration", "monohull")
    assert len(row["checksum"]) == 64
    assert row["duration_ms"] >= 0


async def test_projects_have_ledgers_of_their_own(database: Database, tmp_path: Path) -> None:
    write(tmp_path, m0001_a="create table t (id int)")
    await apply(database, tmp_path, NAME)
    (tmp_path / "migrations" / "0001_a.sql").write_text("create table u (id int)")
    assert len(await apply(database, tmp_path, "other")) == 1


async def test_a_failure_says_where_and_leaves_nothing_of_its_file(
    database: Database, tmp_path: Path
) -> None:
    text = "create table lost (id int);\n\n-- ünïcode\ninsert into lost\n  select nönsense\n  from lost;\n"
    write(tmp_path, m0001_a="create table kept (id int)", m0002_b=text)
    said = await refusal(database, tmp_path)
    assert '0002_b.sql, line 5, column 10: column "nönsense" does not exist (SQLSTATE 42703)' in said
    assert "\n      select nönsense\n             ^\n" in said
    assert "Nothing of 0002_b.sql was applied" in said
    assert await names(database) == ["0001_a.sql"]
    assert await fetch(database, "select to_regclass('public.lost')") is None
    (tmp_path / "migrations" / "0002_b.sql").write_text("create table mended (id int)")
    assert [one.name for one in await apply(database, tmp_path, NAME)] == ["0002_b.sql"]


async def test_failures_without_a_position_name_the_statement(database: Database, tmp_path: Path) -> None:
    write(
        tmp_path,
        m0001_a="create table t (id int primary key);\ninsert into t values (1);\ninsert into t values (1);",
        m0002_b="do $$\nbegin\n  raise exception 'no' using detail = 'd', hint = 'h';\nend $$;",
    )
    said = await refusal(database, tmp_path)
    assert "0001_a.sql, line 3, column 1: duplicate key" in said
    assert "detail: Key (id)=(1) already exists." in said
    write(tmp_path, m0001_a="select 1")
    said = await refusal(database, tmp_path)
    assert "0002_b.sql, line 1, column 1: no (SQLSTATE P0001); detail: d; hint: h; context: PL/pgSQL" in said


async def test_without_a_transaction(database: Database, tmp_path: Path) -> None:
    write(
        tmp_path,
        m0001_a="create table t (id int)",
        m0002_b=f"{OUT}create index concurrently i on t (id);\nvacuum t;\n",
        m0003_c="create index concurrently j on t (id)",
    )
    said = await refusal(database, tmp_path)
    assert "CREATE INDEX CONCURRENTLY cannot run inside a transaction block" in said
    assert "begin the file with `-- monohull: no-transaction`" in said
    assert await names(database) == ["0001_a.sql", "0002_b.sql"]
    assert await fetch(database, "select to_regclass('public.i')::text") == "i"


async def test_without_a_transaction_a_failure_says_what_stays(database: Database, tmp_path: Path) -> None:
    write(tmp_path, m0001_a=f"{OUT}create table t (id int);\nselect nonsense;\n")
    said = await refusal(database, tmp_path)
    assert "0001_a.sql, line 3, column 8" in said
    assert "1 of its 2 statements took effect and stay" in said
    assert await names(database) == []
    assert await fetch(database, "select to_regclass('public.t') is not null")


async def test_a_transaction_left_open(database: Database, tmp_path: Path) -> None:
    write(tmp_path, m0001_a="select 1", m0002_b=f"{OUT}begin;\ncreate table t (id int);")
    assert "0002_b.sql ends inside of a transaction; write COMMIT at its end" in await refusal(
        database, tmp_path
    )
    assert await fetch(database, "select to_regclass('public.t')") is None
    write(tmp_path, m0002_b=f"{OUT}begin;\ncreate table t (id int);\ncommit;")
    assert len(await apply(database, tmp_path, NAME)) == 1


async def test_every_file_starts_in_the_same_session(database: Database, tmp_path: Path) -> None:
    write(
        tmp_path,
        m0001_a="select set_config('search_path', '', false); create table public.a ();"
        "set statement_timeout = 543210",
        m0002_b="""do $$ begin if current_setting('statement_timeout') = '543210ms' then
            raise 'it is still set'; end if; end $$; set role anon""",
        m0003_c="create table b (i int); create extension if not exists citext with schema extensions;",
        m0004_d=f"{OUT}set session authorization authenticator",
        m0005_e="create table e (mail citext default current_user)",
    )
    assert len(await apply(database, tmp_path, NAME)) == 5
    assert await fetch(database, "select count(*) from pg_tables where schemaname = 'public'") == 3
    assert await fetch(database, "select tableowner from pg_tables where tablename = 'e'") == "monohull"


async def test_everything_that_is_hard_to_cut(database: Database, tmp_path: Path) -> None:
    write(
        tmp_path,
        m0001_a=r"""
        create table t (a text); /* ; /* nested; */ ; */
        insert into t values ('a;b'), (E'it\'s;'), ($x$;$$;$x$), ('back\');
        create function f() returns bigint language sql begin atomic
            insert into t values ('f;'); select case when true then count(*) else 0 end from t; end;
        create rule r as on delete to t do also (insert into t values ('1;'); insert into t values ('2;'));
        do $$ begin if true then insert into t values ('do;'); end if; end $$;
        """,
    )
    await apply(database, tmp_path, NAME)
    found = await fetch(database, 'select array_agg(a order by a collate "C") from t')
    assert found == [";$$;", "a;b", "back\\", "do;", "it's;"]
    assert await fetch(database, "select f()") == 6


async def test_changed_missing_and_late_files(database: Database, tmp_path: Path) -> None:
    write(tmp_path, m20240101000000_a="select 1", m20240301000000_c="select 3")
    await apply(database, tmp_path, NAME)
    write(tmp_path, m20240101000000_a="select 2", m20240201000000_b="select 2")
    (tmp_path / "migrations" / "20240301000000_c.sql").unlink()
    said = await refusal(database, tmp_path)
    assert "20240101000000_a.sql was changed" in said
    assert "20240301000000_c.sql was applied on" in said
    assert "20240201000000_b.sql is new but stands before" in said


async def test_two_at_once(database: Database, tmp_path: Path) -> None:
    write(
        tmp_path, m0001_a="create table t (id int); select pg_sleep(0.2)", m0002_b="insert into t values (1)"
    )
    done = await asyncio.gather(*(apply(database, tmp_path, NAME) for _ in range(3)))
    assert sorted(len(one) for one in done) == [0, 0, 2]
    assert await fetch(database, "select count(*) from t") == 1


async def test_a_table_in_use(database: Database, tmp_path: Path) -> None:
    write(tmp_path, m0001_a="create table t (id int)")
    await apply(database, tmp_path, NAME)
    write(tmp_path, m0002_b="alter table t add column x int", m0003_c=f"{OUT}alter table t add column y int")
    async with database.connection() as other:
        transaction = other.transaction()
        await transaction.start()
        await other.execute("select from t")
        said = await refusal(database, tmp_path)
        assert "canceling statement due to lock timeout" in said
        assert "another session holds a lock on that table (waited 0.1 s, 2 times)" in said
        patient = asyncio.create_task(apply(database, tmp_path, NAME))
        await asyncio.sleep(0.3)
        await transaction.rollback()
        assert len(await patient) == 2


async def test_a_migrator_that_never_ends(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monohull.kernel.database.apply.LOCK_WAIT_SECONDS", 0.2)
    async with database.connection() as other:
        await other.execute(f"select pg_advisory_lock({PROJECT_LOCK_KEY})")
        assert "another migration of the project has been running" in await refusal(database, tmp_path)


async def test_whoever_caches_the_schema_is_told(database: Database, tmp_path: Path) -> None:
    heard: list[str] = []
    told = asyncio.Event()

    def listen(_connection: object, _pid: int, _channel: str, payload: object) -> None:
        heard.append(str(payload))
        told.set()

    async with database.connection() as connection:
        # where the database tells of it by itself there would be more to hear
        for trigger in ddl.TRIGGERS:
            await connection.execute(f"alter event trigger {trigger} disable")
        await connection.add_listener("pgrst", listen)
        write(tmp_path, m0001_a="create table t (id int)", m0002_b="create table u (id int)")
        await apply(database, tmp_path, NAME)
        await asyncio.wait_for(told.wait(), PATIENCE_SECONDS)
        await apply(database, tmp_path, NAME)
    assert heard == ["reload schema"]


async def test_a_server_that_goes_away_in_the_middle(database: Database, tmp_path: Path) -> None:
    write(
        tmp_path, m0001_a="create table t (id int); select pg_terminate_backend(pg_backend_pid()); select 1"
    )
    with pytest.raises(DatabaseUnavailable):
        await apply(database, tmp_path, NAME)
    assert await names(database) == []


async def test_before_the_platform_is_there_everything_is_pending(empty_url: str, tmp_path: Path) -> None:
    write(tmp_path, m0001_a="select 1")
    assert len(await pending(Database(empty_url), tmp_path, NAME)) == 1
