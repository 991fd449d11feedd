"""How rows are made, who may ask, and what the command refuses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from modules.policy_tests import examining
from modules.policy_tests.differences import compare
from modules.policy_tests.errors import CannotFill, CannotProve
from modules.policy_tests.matrix import read
from modules.policy_tests.project import read_declaration
from modules.teams.tenancy import Tenancy
from monohull.kernel.database.migrations import upgrade
from tests.integration.database.cluster import LOGIN, Cluster
from tests.integration.policy_tests.conftest import CLUBS, SCOPE, STOREFRONT, call, look, run_migrations

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import asyncpg

    from modules.policy_tests.matrix import Matrix
    from monohull.kernel.home import Connections


async def examined(connection: asyncpg.Connection, **declared: Any) -> Matrix:
    async with examining(connection, SCOPE, read_declaration({"policies": declared})) as examination:
        return await examination.look()


@pytest.fixture
async def notes(database: asyncpg.Connection) -> asyncpg.Connection:
    await database.execute(
        "create table notes (id bigint generated always as identity primary key, "
        "owner_id uuid not null references auth.users (id), body text not null);"
        "alter table notes enable row level security;"
        "create policy own on notes to authenticated using (owner_id = (select auth.uid()))"
    )
    return database


@pytest.fixture
async def role(database: asyncpg.Connection) -> AsyncIterator[str]:
    """Name of a role that the login of data requests may switch to."""
    name = "policy_tests_role"
    await database.execute(
        f"drop role if exists {name}; create role {name} nologin; grant {name} to authenticator"
    )
    yield name
    await database.execute(
        f"reassign owned by {name} to current_user; drop owned by {name}; drop role {name}"
    )


AS_OWNER = "public.product_ratings: row security: as its caller → as its owner"


async def test_every_major_gives_the_same_matrix(pristine: Cluster) -> None:
    """As an owner who is no superuser and is held by policies itself.

    But for the view of the storefront, which PostgreSQL 14 cannot tell to read as its caller.
    """
    for project in (STOREFRONT, CLUBS):
        await pristine.wipe()
        async with pristine.owned(attributes="CREATEROLE") as database:
            await pristine.run(
                *(f"create role {name} nologin noinherit" for name in ("anon", "authenticated")),
                "create role service_role nologin noinherit bypassrls",
                "grant anon, authenticated, service_role to shop with admin option",
            )
            await upgrade(database, LOGIN)
            async with database.connection() as connection:
                await run_migrations(connection, project)
                found = compare(read(project / "policies.toml"), await look(connection, project))
                is_old = await connection.fetchval(
                    "select current_setting('server_version_num')::int < 150000"
                )
                expected = [AS_OWNER] if is_old and project is STOREFRONT else []
                assert [difference.text for difference in found] == expected
                assert await connection.fetchval("select count(*) from auth.users") == 0


async def test_an_owner_that_is_held_by_policies_still_makes_the_rows(pristine: Cluster) -> None:
    await pristine.wipe()
    async with pristine.owned(attributes="CREATEROLE") as database:
        await pristine.run(
            *(f"create role {name} nologin noinherit" for name in ("anon", "authenticated")),
            "create role service_role nologin noinherit bypassrls",
            "grant anon, authenticated, service_role to shop with admin option",
        )
        await upgrade(database, LOGIN)
        async with database.connection() as connection:
            await run_migrations(connection, STOREFRONT)
            await connection.execute("alter table customers force row level security")
            matrix = await look(connection, STOREFRONT)
    kept = read(STOREFRONT / "policies.toml")
    assert matrix.tables["public.customers"].row_security == "forced"
    assert matrix.tables["public.customers"].cells == kept.tables["public.customers"].cells


async def test_three_people_and_two_tenants(database: asyncpg.Connection) -> None:
    await run_migrations(database, CLUBS)
    tables = (await look(database, CLUBS)).tables
    assert tables["public.clubs"].cells["authenticated"].keys() == {"own", "stranger"}
    treasury = tables["public.treasury"].cells
    assert treasury["authenticated"]["colleague"]["select"] == "allow"
    assert treasury["authenticated"]["stranger"]["select"] == "hidden"
    assert treasury["treasurer"]["own"]["update"] == "hidden"
    assert treasury["treasurer with two factors"]["own"]["update"] == "allow"
    posts = tables["public.posts"].cells["authenticated"]
    assert posts["own"] == dict.fromkeys(("select", "insert", "update", "delete"), "allow")
    assert posts["own, is_archived = true"]["update"] == "hidden"
    assert posts["stranger, status = published"]["select"] == "hidden"
    assert posts["colleague"]["give"] == "refused"
    audit = tables["public.audit_entries"].cells["authenticated"]
    assert audit["own"] == {"select": "hidden", "insert": "allow", "update": "hidden", "delete": "blind"}
    assert audit["stranger"]["delete"] == "hidden"
    assert tables["public.profiles"].cells["authenticated"]["own"]["update"] == "allow"


VIEWS = """
create view all_notes as select id, owner_id, body from notes;
create view readable_notes as select id, upper(body) as shouted from notes;
create view note_counts as select owner_id, count(*) from notes group by 1;
create view long_notes as select * from notes where length(body) > 100000;
create materialized view kept_notes as select * from notes;
"""
NO_KEY = "no table that it reads has its key in it, under the same names"
NO_ROW = "none of the rows that are made is in it"


async def test_views_have_cells(notes: asyncpg.Connection) -> None:
    await notes.execute(VIEWS)
    tables = (await examined(notes)).tables
    whole = tables["public.all_notes"]
    assert (whole.row_security, whole.whose) == ("as its owner", ("owner_id",))
    allowed = dict.fromkeys(("select", "insert", "update", "delete", "give", "take"), "allow")
    assert whole.cells["authenticated"]["stranger"] == allowed, "it goes round the policy"
    assert tables["public.notes"].cells["authenticated"]["stranger"]["select"] == "hidden"
    assert tables["public.readable_notes"].cells["authenticated"]["stranger"]["select"] == "allow"
    reasons = {
        name.removeprefix("public."): entry.left_out for name, entry in tables.items() if not entry.cells
    }
    assert reasons == {
        "note_counts": NO_KEY,
        "long_notes": NO_ROW,
        "kept_notes": "a materialized view holds what was there when it was refreshed",
    }
    await notes.execute("revoke select on all_notes from anon")
    without = (await examined(notes)).tables["public.all_notes"]
    assert without.cells["anon"]["own"]["select"] == "no grant"


async def test_a_view_that_reads_as_its_caller_is_as_open_as_its_table(notes: asyncpg.Connection) -> None:
    if await notes.fetchval("select current_setting('server_version_num')::int < 150000"):
        return  # such views came with PostgreSQL 15
    await notes.execute("create view own_notes with (security_invoker) as select * from notes")
    before = await examined(notes)
    assert before.tables["public.own_notes"].row_security == "as its caller"
    assert before.tables["public.own_notes"].cells == before.tables["public.notes"].cells
    await notes.execute("alter view own_notes reset (security_invoker)")
    found = [difference.text for difference in compare(before, await examined(notes))]
    assert "public.own_notes: row security: as its caller → as its owner" in found
    assert any("authenticated · stranger · select: hidden → allow" in text for text in found)


PARTED = """
create table readings (
    id int, at date, owner_id uuid not null references auth.users (id), primary key (id, at)
) partition by range (at);
create table readings_now partition of readings default;
create table readings_old partition of readings for values from ('1900-01-01') to ('1901-01-01');
alter table readings enable row level security;
create policy own on readings to authenticated using (owner_id = (select auth.uid()));
"""


async def test_partitions_have_cells_of_their_own(database: asyncpg.Connection) -> None:
    await database.execute(PARTED)
    open_ = (await examined(database)).tables
    assert open_["public.readings"].cells["authenticated"]["stranger"]["select"] == "hidden"
    assert open_["public.readings_now"].row_security == "off"
    assert open_["public.readings_now"].cells["authenticated"]["stranger"]["select"] == "allow"
    assert open_["public.readings_old"].left_out == NO_ROW
    await database.execute(
        "alter table readings_now enable row level security;"
        "create policy mine on readings_now for select to authenticated"
        " using (owner_id = (select auth.uid()))"
    )
    closed = (await examined(database)).tables["public.readings_now"]
    assert closed.cells["authenticated"]["own"]["select"] == "allow"
    assert closed.cells["authenticated"]["own"]["update"] == "hidden"
    assert closed.cells["authenticated"]["stranger"]["select"] == "hidden"
    assert closed.policies.keys() == {"mine"}


async def test_a_view_may_be_left_out(notes: asyncpg.Connection) -> None:
    await notes.execute(VIEWS)
    declared = {"public.all_notes": {"leave_out": "made for the reports"}}
    assert (await examined(notes, tables=declared)).tables["public.all_notes"].left_out == (
        "made for the reports"
    )


async def test_nothing_is_left(project: Path, database: asyncpg.Connection) -> None:
    relations = "select relname, relrowsecurity, relforcerowsecurity from pg_class order by 1"
    triggers = "select tgrelid::regclass::text, tgname, tgenabled from pg_trigger order by 1, 2"
    before = await database.fetch(relations), await database.fetch(triggers)
    await look(database, project)
    assert (await database.fetch(relations), await database.fetch(triggers)) == before
    names = await database.fetch(
        "select relname::text from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'"
    )
    for (name,) in names:
        assert await database.fetchval(f"select count(*) from {name}") == 0
    assert await database.fetchval("select count(*) from auth.users") == 0


@pytest.mark.parametrize(
    ("attribute", "reason"),
    [("bypassrls", "the role policy_tests_role has BYPASSRLS"), ("superuser", "is a superuser")],
)
async def test_a_role_that_would_see_everything_is_refused(
    notes: asyncpg.Connection, role: str, attribute: str, reason: str
) -> None:
    await notes.execute(f"alter role {role} {attribute}")
    with pytest.raises(CannotProve, match=reason):
        await examined(notes)
    await notes.execute(f"alter role {role} nobypassrls nosuperuser")
    assert role in (await examined(notes)).callers


async def test_a_role_that_is_meant_to_bypass_is_shown_so(notes: asyncpg.Connection, role: str) -> None:
    await notes.execute(f"alter role {role} bypassrls; grant select on notes to {role}")
    matrix = await examined(notes, callers=[{"name": "reports", "role": role, "bypasses": True}])
    assert matrix.callers["reports"].bypasses_row_security
    assert matrix.tables["public.notes"].cells["reports"]["stranger"]["select"] == "allow"
    assert matrix.callers["service_role"].bypasses_row_security
    assert not matrix.callers["authenticated"].bypasses_row_security


async def test_a_role_with_the_rights_of_the_owner_is_refused(notes: asyncpg.Connection, role: str) -> None:
    await notes.execute(f"alter table notes owner to {role}")
    with pytest.raises(CannotProve, match=r"rights of policy_tests_role, who owns public\.notes"):
        await examined(notes)
    await notes.execute("alter table notes force row level security")
    assert (await examined(notes)).tables["public.notes"].cells[role]["stranger"]["select"] == "hidden"


async def test_a_role_that_is_not_there_is_named(notes: asyncpg.Connection) -> None:
    with pytest.raises(CannotProve, match="caller ghost: there is no role nobody_here"):
        await examined(notes, callers=[{"name": "ghost", "role": "nobody_here"}])


IMPOSSIBLE = "create table impossible (code text not null check (md5(code) like '00000000%'))"


async def test_a_table_without_rows_is_named_and_never_left_out_in_silence(
    notes: asyncpg.Connection, connections: Connections, tmp_path: Path
) -> None:
    await notes.execute(IMPOSSIBLE)
    await notes.execute("create table depends (id int primary key)")
    with pytest.raises(CannotFill, match=r"(?s)public\.impossible: 23514 .*monohull\.toml"):
        await examined(notes)
    result = await call(connections, "matrix", "--project", str(tmp_path))
    assert result.exit_code == 2
    assert "public.impossible" in result.output
    assert not (tmp_path / "policies.toml").exists()
    tables = {"public.impossible": {"leave_out": "codes are found, not made"}}
    left_out = (await examined(notes, tables=tables)).tables["public.impossible"]
    assert left_out.left_out == "codes are found, not made"
    assert left_out.cells == {}


async def test_the_project_gives_values(notes: asyncpg.Connection) -> None:
    await notes.execute(
        "create table words (n int primary key, w text not null unique "
        "check (md5(w) in (md5('eins'), md5('word 1'), md5('word 2'), md5('word 3'))))"
    )
    with pytest.raises(CannotFill, match=r"public\.words"):
        await examined(notes)
    matrix = await examined(notes, tables={"public.words": {"row": {"w": "word {n}"}}})
    assert matrix.tables["public.words"].row_security == "off"
    assert matrix.tables["public.words"].cells["anon"]["stranger"]["delete"] == "allow"


async def test_the_project_states_owner_and_tenant(database: asyncpg.Connection) -> None:
    """A function hides from the policy's text whose the row is."""
    await database.execute(
        "create function is_mine(u uuid, t int) returns boolean language sql stable as "
        "$$ select u = auth.uid() and t = (auth.jwt() -> 'app_metadata' ->> 'team')::int $$;"
        "create table things (id int primary key, u uuid not null, t int not null, n int check (n < 3));"
        "alter table things enable row level security;"
        "create policy p on things to authenticated using (is_mine(u, t))"
    )
    unstated = await examined(database)
    assert unstated.tables["public.things"].cells["authenticated"]["own"]["select"] == "hidden"
    stated = {"owner": "u", "tenant": "t", "claim": "app_metadata.team", "variants": {"low": {"n": 1}}}
    entry = (await examined(database, tables={"public.things": stated})).tables["public.things"]
    assert entry.whose == ("u", "t")
    cells = entry.cells["authenticated"]
    assert cells["own"]["select"] == cells["own, low"]["select"] == "allow"
    assert cells["colleague"]["select"] == cells["stranger"]["select"] == "hidden"


async def test_policies_that_ask_for_teams_of_the_platform(database: asyncpg.Connection) -> None:
    await database.execute(
        "create table plans (id int primary key, team_id uuid not null, body text not null);"
        "alter table plans enable row level security;"
        "create policy p on plans to authenticated using (team_id in (select monohull.teams()))"
    )
    cells = (await examined(database)).tables["public.plans"].cells["authenticated"]
    assert [cells[row]["select"] for row in ("own", "colleague", "stranger")] == ["allow", "allow", "hidden"]
    assert cells["stranger"]["give"] == "refused"


async def test_a_table_that_was_given_to_teams(database: asyncpg.Connection) -> None:
    await database.execute("create table plans (id int primary key, body text not null)")
    await database.execute(Tenancy(schema="public", table="plans", column="team_id").sql())
    matrix = await examined(database)
    cells = matrix.tables["public.plans"].cells["authenticated"]
    assert [cells[row]["select"] for row in ("own", "colleague", "stranger")] == ["allow", "allow", "hidden"]
    assert [cells["stranger"][verb] for verb in ("update", "delete", "give")] == [
        "hidden",
        "hidden",
        "refused",
    ]


async def test_a_circle_of_policies_shows_as_what_it_is(notes: asyncpg.Connection) -> None:
    await notes.execute("create policy circle on notes for select using (exists (select from notes n))")
    cells = (await examined(notes)).tables["public.notes"].cells["authenticated"]
    assert cells["own"]["select"] == "raises 42P17"


async def test_keys_that_need_each_other_and_cannot_wait_are_refused(notes: asyncpg.Connection) -> None:
    await notes.execute(
        "create table hen (id int primary key, egg int not null);"
        "create table egg (id int primary key, hen int not null references hen (id));"
        "alter table hen add foreign key (egg) references egg (id)"
    )
    with pytest.raises(CannotFill, match=r"public\.egg, public\.hen: they refer to each other"):
        await examined(notes)


async def test_json_says_the_same(
    notes: asyncpg.Connection, connections: Connections, tmp_path: Path
) -> None:
    for name in ("policies.json", "policies.toml"):
        written = await call(connections, "matrix", "--project", str(tmp_path), "--out", str(tmp_path / name))
        assert written.exit_code == 0, written.output
    assert compare(read(tmp_path / "policies.json"), read(tmp_path / "policies.toml")) == []
    passed = await call(connections, "test", "--project", str(tmp_path), "--json")
    assert passed.exit_code == 0
    document = json.loads(passed.stdout[passed.stdout.index("{") :])
    assert document["differences"] == []
    await notes.execute("alter policy own on notes using (true)")
    failed = await call(connections, "test", "--project", str(tmp_path), "--json")
    assert failed.exit_code == 1
    assert json.loads(failed.stdout[failed.stdout.index("{") :])["differences"]
    printed = await call(connections, "matrix", "--project", str(tmp_path), "--out", "-")
    assert 'stranger  = { select = "allow"' in printed.stdout


async def test_without_a_file_the_command_says_how_to_get_one(
    connections: Connections, tmp_path: Path
) -> None:
    result = await call(connections, "test", "--project", str(tmp_path))
    assert result.exit_code == 2
    assert "`monohull policy matrix` writes the file" in result.output
    (tmp_path / "monohull.toml").write_text(
        '[policies.tables."public.none"]\nowner = "x"\n', encoding="utf-8"
    )
    result = await call(connections, "matrix", "--project", str(tmp_path))
    assert result.exit_code == 2
    assert "there is no such table" in result.output
