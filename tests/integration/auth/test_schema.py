"""The tables: closed to the API's roles, referable, indexed, and as the models say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

import modules.api_keys.models
import modules.auth.keys.models
import modules.auth.models
import modules.auth.revocations.models
import modules.streams.models
import modules.teams.models
import modules.webhooks.models  # noqa: F401 all of them fill the metadata
from monohull.kernel.database.base import Base

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from tests.integration.auth.people import People

pytestmark = pytest.mark.asyncio(loop_scope="module")

TABLES = {(str(table.schema), table.name) for table in Base.metadata.tables.values()}


async def test_the_models_are_what_the_migrations_make(people: People) -> None:
    def differences(connection: Connection) -> list[Any]:
        def ours(item: Any, name: str | None, kind: str, reflected: bool, other: Any) -> bool:
            del name, reflected, other
            table = item if kind == "table" else getattr(item, "table", None)
            return table is not None and (table.schema, table.name) in TABLES

        def known(name: str | None, kind: str, parents: Any) -> bool:
            return kind != "table" or (parents.get("schema_name"), name) in TABLES

        options = {
            "include_object": ours,
            "include_name": known,
            "include_schemas": True,
            "compare_type": True,
        }
        context = MigrationContext.configure(connection, opts=options)
        found: list[Any] = compare_metadata(context, Base.metadata)
        return [
            item for item in found if "comment" not in str(item[0][0] if isinstance(item, list) else item[0])
        ]

    async with people.served.runtime.database.engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_every_table_of_auth_has_a_model(people: People) -> None:
    there = await people.rows("select tablename from pg_tables where schemaname = 'auth'")
    assert {row["tablename"] for row in there} == {name for schema, name in TABLES if schema == "auth"}


async def test_every_table_says_what_it_is_for(people: People) -> None:
    silent = await people.rows(
        "select c.relname from pg_class c where relnamespace = 'auth'::regnamespace and relkind = 'r'"
        " and obj_description(c.oid, 'pg_class') is null"
    )
    assert [row["relname"] for row in silent] == []


async def test_every_foreign_key_has_an_index(people: People) -> None:
    missing = await people.rows(
        "select conrelid::regclass, conname from pg_constraint c where contype = 'f'"
        " and connamespace = 'auth'::regnamespace and not exists (select from pg_index i"
        " where i.indrelid = c.conrelid and (i.indkey::int2[])[0:array_length(c.conkey, 1) - 1] @> c.conkey)"
    )
    assert [row["conname"] for row in missing] == []


@pytest.mark.parametrize("role", ["anon", "authenticated", "service_role", "authenticator"])
async def test_the_apis_roles_cannot_read_them(people: People, role: str) -> None:
    for schema, table in sorted(TABLES):
        (row,) = await people.rows(
            "select has_table_privilege($1, $2, 'select, insert, update, delete') as may,"
            " (select relrowsecurity from pg_class where oid = $2::regclass) as secured",
            role,
            f"{schema}.{table}",
        )
        assert (row["may"], row["secured"]) == (False, True), table


async def test_a_project_may_refer_to_users(people: People) -> None:
    person = await people.sign_up()
    await people.execute(
        "create table public.profiles (id uuid primary key references auth.users (id) on delete cascade)"
    )
    await people.execute("insert into public.profiles values ($1)", person.id)
    await people.execute("delete from auth.users where id = $1", person.id)
    assert await people.rows("select 1 from public.profiles") == []


async def test_one_live_refresh_token_a_session_is_the_databases_rule(people: People) -> None:
    person = await people.sign_up()
    with pytest.raises(Exception, match="refresh_tokens_one_active"):
        await people.execute(
            "insert into auth.refresh_tokens (token, user_id, session_id)"
            " select 'x', user_id, id from auth.sessions where user_id = $1",
            person.id,
        )
