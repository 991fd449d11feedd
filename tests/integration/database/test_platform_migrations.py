"""Up, down and up again from every revision, on every major, as an owner without superuser rights."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg
import pytest

from monohull.kernel.database.engine import Database
from monohull.kernel.database.errors import MigrationRefused, SchemaNewer
from monohull.kernel.database.migrations import (
    LOCK_KEY,
    Patience,
    downgrade,
    head,
    pending,
    state,
    upgrade,
)
from monohull.kernel.database.platform_version import current, schema_state
from monohull.kernel.database.revisions import locate
from tests.integration.database.cluster import LOGIN

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.database.cluster import Cluster

REVISIONS = [path.name[:4] for path in sorted((locate() / "versions").glob("*.py"))]

STRUCTURE = """
    select n.nspname, c.relname, c.relkind::text, c.relrowsecurity, c.relacl::text,
           array(select a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || ' ' || a.attnotnull
                   from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
                  order by a.attnum) as columns,
           array(select pg_get_constraintdef(k.oid) from pg_constraint k
                  where k.conrelid = c.oid order by 1) as rules
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where n.nspname in ('monohull', 'auth', 'storage', 'extensions', 'public') order by 1, 2
"""
UNINDEXED = """
    select k.conrelid::regclass::text || '.' || k.conname
      from pg_constraint k join pg_namespace n on n.oid = k.connamespace
     where k.contype = 'f' and n.nspname in ('monohull', 'auth', 'storage')
       and not exists (select from pg_index i where i.indrelid = k.conrelid
                         and (i.indkey::int2[])[0:array_length(k.conkey, 1) - 1] @> k.conkey)
"""


async def structure(database: Database) -> list[tuple[object, ...]]:
    async with database.connection() as connection:
        return [tuple(row) for row in await connection.fetch(STRUCTURE)]


async def schemas(database: Database) -> set[str]:
    async with database.connection() as connection:
        return {
            row[0]
            for row in await connection.fetch("select nspname from pg_namespace where nspname !~ '^pg_'")
        }


async def test_up_down_and_up_again(pristine: Cluster) -> None:
    async with pristine.owned() as database:
        before = await schemas(database)
        assert [revision.id for revision in await upgrade(database, LOGIN)] == REVISIONS
        whole = await structure(database)
        assert (await state(database)).kind == "current"
        await downgrade(database, "base")
        assert await schemas(database) == before
        assert await current(database) is None
        await upgrade(database, LOGIN)
        assert await structure(database) == whole


async def test_from_each_earlier_revision(pristine: Cluster) -> None:
    async with pristine.owned() as database:
        await upgrade(database, LOGIN)
        whole = await structure(database)
        steps = {}
        for revision in reversed(REVISIONS[:-1]):
            await downgrade(database, revision)
            steps[revision] = await structure(database)
        for revision in REVISIONS[:-1]:
            await upgrade(database, LOGIN, target=revision)
            assert await structure(database) == steps[revision]
            await upgrade(database, LOGIN)
            assert await structure(database) == whole
            await downgrade(database, revision)


OPEN_TO = """
    select proname::text as name from pg_proc
     where pronamespace = 'monohull'::regnamespace
       and has_schema_privilege($1, 'monohull', 'USAGE') and has_function_privilege($1, oid, 'EXECUTE')
    union all
    select relname::text from pg_class
     where relnamespace = 'monohull'::regnamespace
       and case when relkind = 'S' then has_sequence_privilege($1, oid, 'USAGE, SELECT, UPDATE')
                when relkind in ('r', 'p', 'v', 'm', 'f') then
                     has_table_privilege($1, oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')
                     or has_any_column_privilege($1, oid, 'SELECT, INSERT, UPDATE')
                else false end
     order by name
"""
ASKED_BY_POLICIES = ["active_team", "has_permission", "has_role", "teams"]
OPENED = {
    "anon": ASKED_BY_POLICIES,
    "authenticated": ASKED_BY_POLICIES,
    "service_role": sorted([*ASKED_BY_POLICIES, "enqueue", "keep_answer"]),
    "authenticator": ["idempotent_answers", "ingest_mark", "ingest_settle"],
}


async def test_every_foreign_key_has_an_index_and_our_schema_is_closed(pristine: Cluster) -> None:
    async with pristine.owned() as database:
        await upgrade(database, LOGIN)
        async with database.connection() as connection:
            assert [row[0] for row in await connection.fetch(UNINDEXED)] == []
            for role, expected in OPENED.items():
                usage = "select has_schema_privilege($1, $2, 'USAGE')"
                opened = [row["name"] for row in await connection.fetch(OPEN_TO, role)]
                assert opened == expected
                for schema in ("public", "auth", "storage", "extensions"):
                    assert await connection.fetchval(usage, role, schema) or role == "authenticator"


async def test_new_tables_in_public_are_granted_and_old_ones_are_left(pristine: Cluster) -> None:
    async with pristine.owned() as database, database.connection() as connection:
        await connection.execute("create table public.old (id int)")
        await upgrade(database, LOGIN, target="0001")
        await connection.execute("create table public.new (id serial)")
        granted = "select has_table_privilege('anon', $1, 'SELECT, INSERT, UPDATE, DELETE')"
        assert await connection.fetchval(granted, "public.new")
        assert not await connection.fetchval(granted, "public.old")
        assert await connection.fetchval(
            "select has_sequence_privilege('anon', 'public.new_id_seq', 'USAGE')"
        )


async def test_policies_written_for_supabase_run_unchanged(pristine: Cluster) -> None:
    async with pristine.owned() as database:
        await upgrade(database, LOGIN, target="0001")
        async with database.connection() as connection:
            await connection.execute("""
                create table notes (id int, owner uuid default auth.uid(), mail text default auth.email());
                alter table notes enable row level security;
                create policy own on notes to authenticated using (auth.uid() = owner);
                create policy add on notes for insert to authenticated
                    with check (auth.role() = 'authenticated');
                create policy staff on notes for select to anon
                    using ((auth.jwt() -> 'app_metadata' ->> 'role') = 'staff');
            """)
        login = await asyncpg.connect(pristine.address("shop", "authenticator", LOGIN.password))
        ada, grace = "00000000-0000-0000-0000-00000000ada0", "00000000-0000-0000-0000-0000009face0"

        async def as_user(name: str, sql: str, claims: str, /, **legacy: str) -> object:
            async with login.transaction():
                settings = {"role": name, "request.jwt.claims": claims}
                settings |= {f"request.jwt.claim.{claim}": value for claim, value in legacy.items()}
                for setting in settings.items():
                    await login.execute("select set_config($1, $2, true)", *setting)
                return await login.fetchval(sql)

        claims = f'{{"sub": "{ada}", "role": "authenticated", "email": "ada@example.com"}}'
        added = "insert into notes (id) values (1) returning owner::text || mail"
        assert await as_user("authenticated", added, claims) == f"{ada}ada@example.com"
        count = "select count(*) from notes"
        assert await as_user("authenticated", count, claims) == 1
        assert await as_user("authenticated", count, claims.replace(ada, grace)) == 0
        assert await as_user("authenticated", count, "", sub=ada) == 1
        assert await as_user("authenticated", count, "") == 0
        assert await as_user("authenticated", count, "{}", sub=ada) == 0
        assert await as_user("authenticated", "select auth.uid()", '{"sub": ""}') is None
        assert await as_user("anon", count, '{"app_metadata": {"role": "staff"}}') == 1
        assert await as_user("anon", count, '{"role": "anon"}') == 0
        assert await as_user("anon", "select auth.role() || auth.email()", "", role="r", email="e") == "re"
        assert await as_user("anon", "select auth.jwt() ->> 'a'", '{"a": 1}') == "1"
        await login.close()


async def test_claims_do_not_depend_on_the_callers_search_path(pristine: Cluster) -> None:
    async with pristine.owned() as database:
        await upgrade(database, LOGIN, target="0001")
        async with database.connection() as connection:
            await connection.execute("""
                create schema evil;
                create function evil.current_setting(text, boolean) returns text
                    language sql as $$ select 'x' $$;
                set search_path = evil, pg_catalog;
            """)
            assert await connection.fetchval("select auth.role()") is None
            await connection.execute("set search_path = ''")
            assert await connection.fetchval("select auth.jwt()") is None
            plan = await connection.fetch("explain verbose select auth.uid() from pg_catalog.pg_class")
            assert "auth.uid" not in str(plan), "the planner can inline it"


async def test_a_policy_keeps_its_function_from_being_dropped(pristine: Cluster) -> None:
    async with pristine.owned() as database:
        await upgrade(database, LOGIN, target="0001")
        async with database.connection() as connection:
            await connection.execute("create table t (o uuid); create policy p on t using (auth.uid() = o)")
        with pytest.raises(MigrationRefused, match="other objects depend on it"):
            await downgrade(database, "base")
        assert await current(database) == "0001"
        async with database.connection() as connection:
            await connection.execute("drop table t; create table extensions.mine (id int)")
        await downgrade(database, "base")
        assert "extensions" in await schemas(database)
        assert "auth" not in await schemas(database)


async def test_functions_that_somebody_else_made_are_left(pristine: Cluster) -> None:
    async with pristine.owned() as database:
        await pristine.run(
            "create schema auth",
            "create function auth.uid() returns uuid language sql stable as 'select null::uuid'",
            "grant all on schema auth to shop",
            database="shop",
        )
        await upgrade(database, LOGIN, target="0001")
        owner = "select proowner::regrole::text from pg_proc where oid = to_regprocedure($1)"
        async with database.connection() as connection:
            assert await connection.fetchval(owner, "auth.uid()") == "monohull"
            assert await connection.fetchval(owner, "auth.role()") == "shop"
        await downgrade(database, "base")
        async with database.connection() as connection:
            assert await connection.fetchval(owner, "auth.uid()") == "monohull"


async def test_an_owner_called_like_our_schema_builds_in_public(empty_url: str) -> None:
    database = Database(empty_url, pool_size=1)
    async with database.running():
        async with database.connection() as connection:
            name = await connection.fetchval("select current_database()")
            await connection.execute(f'alter database {name} set search_path = "$user", public')
        await upgrade(database, LOGIN)
        async with database.connection() as connection:
            await build(connection)


async def test_the_embedded_servers_owner_builds_in_public(database: Database) -> None:
    async with database.connection() as connection:
        await build(connection)


async def build(connection: asyncpg.Connection) -> None:
    assert await connection.fetchval("select current_user") == "monohull"
    await connection.execute("create table plain (id int)")
    assert await connection.fetchval("select 'public.plain'::regclass::text") == "plain"


async def test_a_schema_newer_than_the_code_is_refused(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("update monohull.platform_version set version_num = '9999'")
    found = await state(database)
    assert (found.kind, found.current, found.head) == ("newer", "9999", head())
    assert await schema_state(database) == "newer"
    assert "newer than this code" in str(found.problem)
    for work in (upgrade(database, LOGIN), pending(database), downgrade(database, "base")):
        with pytest.raises(SchemaNewer, match="at revision 9999, which is newer than this code"):
            await work


async def test_states(empty_url: str) -> None:
    database = Database(empty_url, pool_size=1)
    async with database.running():
        assert await schema_state(database) == "pending"
        found = await state(database)
        assert [revision.id for revision in found.pending] == REVISIONS
        assert "run `monohull migrate`" in str(found.problem)
        await upgrade(database, LOGIN, target="0001")
        assert await schema_state(database) == "pending"
        assert [revision.id for revision in await pending(database)] == REVISIONS[1:]
        await upgrade(database, LOGIN)
        assert await schema_state(database) == "current"
        assert (await state(database)).problem is None


async def test_many_migrators_at_once(empty_url: str) -> None:
    databases = [Database(empty_url, pool_size=1) for _ in range(4)]
    try:
        done = await asyncio.gather(*(upgrade(database, LOGIN) for database in databases))
    finally:
        for database in databases:
            await database.close()
    assert sorted(len(revisions) for revisions in done) == [0, 0, 0, len(REVISIONS)]


def revision(folder: Path, body: str, number: str = "0001") -> None:
    below = None if number == "0001" else f"{int(number) - 1:04}"
    (folder / "versions").mkdir(exist_ok=True)
    (folder / "env.py").write_text((locate() / "env.py").read_text())
    (folder / "versions" / f"{number}_x.py").write_text(
        f'"""Number {number}."""\nfrom alembic import op\nrevision = "{number}"\ndown_revision = {below!r}\n'
        f"def upgrade():\n    {body}\ndef downgrade():\n    pass\n"
    )


async def test_a_revision_that_fails_leaves_the_ones_before(empty_url: str, tmp_path: Path) -> None:
    folder = tmp_path / "100% mine"
    folder.mkdir()
    revision(folder, "op.execute('create table kept (id int)')")
    revision(folder, "op.execute('create table lost (id int)'); op.execute('select nonsense')", "0002")
    database = Database(empty_url, pool_size=1)
    async with database.running():
        with pytest.raises(MigrationRefused, match='column "nonsense" does not exist'):
            await upgrade(database, LOGIN, folder=folder)
        assert (await state(database, folder=folder)).current == "0001"
        async with database.connection() as connection:
            assert await connection.fetchval(
                "select to_regclass('kept') is not null and to_regclass('lost') is null"
            )


async def test_a_table_in_use_is_waited_for_and_then_refused(empty_url: str, tmp_path: Path) -> None:
    revision(tmp_path, "op.execute('alter table busy add column x int')")
    database = Database(empty_url, pool_size=1)
    async with database.running(), database.connection() as other:
        await other.execute("create table busy (id int)")
        transaction = other.transaction()
        await transaction.start()
        await other.execute("select from busy")
        patience = Patience(lock_timeout_seconds=0.1, attempts=2)
        with pytest.raises(MigrationRefused, match="could not lock a table that other sessions use"):
            await upgrade(database, LOGIN, folder=tmp_path, patience=patience)
        waiting = asyncio.create_task(upgrade(database, LOGIN, folder=tmp_path))
        await asyncio.sleep(0.5)
        await transaction.rollback()
        assert [one.id for one in await waiting] == ["0001"]


async def test_a_migrator_that_never_ends(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monohull.kernel.database.migrations.LOCK_WAIT_SECONDS", 0.2)
    database = Database(empty_url, pool_size=1)
    async with database.running(), database.connection() as other:
        await other.execute(f"select pg_advisory_lock({LOCK_KEY})")
        with pytest.raises(MigrationRefused, match="another migration has been running"):
            await upgrade(database, LOGIN)


async def test_two_heads_are_a_fault_of_ours(empty_url: str, tmp_path: Path) -> None:
    revision(tmp_path, "pass")
    revision(tmp_path, "pass", "0002")
    other = tmp_path / "versions" / "0002_x.py"
    (tmp_path / "versions" / "0003_x.py").write_text(other.read_text().replace('"0002"', '"0003"'))
    database = Database(empty_url, pool_size=1)
    async with database.running():
        with pytest.raises(MigrationRefused, match=r"2 heads \(0002, 0003\)"):
            await state(database, folder=tmp_path)
