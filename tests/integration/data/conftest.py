"""A database with the API roles, and a login that may switch to them and do nothing else."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest
from msgspec import Struct

from monohull.kernel.database.data import DataPool
from monohull.kernel.database.urls import parse_url
from monohull.kernel.observation import Observation, Observer
from tests.integration.backends import WAIT_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.services import Services

ROLES = """
do $$ begin
  perform pg_advisory_xact_lock(4711);
  if to_regrole('anon') is null then create role anon; end if;
  if to_regrole('authenticated') is null then create role authenticated; end if;
  if to_regrole('service_role') is null then create role service_role bypassrls; end if;
  if not (select rolbypassrls from pg_roles where rolname = 'service_role') then
    alter role service_role bypassrls;
  end if;
end $$
"""
LOGIN = """
do $$ begin
  perform pg_advisory_xact_lock(4711);
  if to_regrole('{login}') is null then create role {login} login noinherit password 'data'; end if;
  if not pg_has_role('{login}', 'anon', 'member') or not pg_has_role('{login}', 'authenticated', 'member')
     or not pg_has_role('{login}', 'service_role', 'member') then
    grant anon, authenticated, service_role to {login};
  end if;
end $$
"""
"""Roles belong to all databases and locks to one: both are for the one that all workers have."""

SCHEMA = """
create table if not exists notes (id int primary key, owner text not null, body text);
alter table notes enable row level security;
drop policy if exists own on notes;
create policy own on notes to authenticated
  using (owner = current_setting('request.jwt.claims', true)::json ->> 'sub');
grant select, insert, update, delete on notes to authenticated, service_role;
create table if not exists plain (id int primary key, v text check (v <> 'bad'));
grant all on plain to anon, authenticated;
truncate notes, plain;
insert into notes values (1, 'ann', 'hers'), (2, 'bob', 'his');
create or replace function who() returns text language sql stable as $$ select current_user::text $$;
"""


class Place(Struct, frozen=True):
    """One database, by its logins."""

    superuser_url: str
    login_url: str
    login: str


@pytest.fixture(scope="session")
def place(services: Services, worker_number: int) -> Place:
    server = services.postgres_url.rsplit("/", 1)[0]
    login = f"data_login_{worker_number}"
    host = server.rsplit("@", 1)[1]
    name = f"data_{worker_number}"
    return Place(f"{server}/{name}", f"postgresql://{login}:data@{host}/{name}", login)


@pytest.fixture
async def admin(place: Place, services: Services) -> AsyncIterator[asyncpg.Connection[Any]]:
    """The superuser, in a database that was set up."""
    name = parse_url(place.superuser_url).database
    server = await asyncpg.connect(services.postgres_url)
    try:
        if not await server.fetchval("select exists(select from pg_database where datname = $1)", name):
            await server.execute(f'create database "{name}"')
        await server.execute(ROLES)
        await server.execute(LOGIN.format(login=place.login))
    finally:
        await server.close()
    connection = await asyncpg.connect(place.superuser_url)
    try:
        await connection.execute(SCHEMA)
        yield connection
    finally:
        await connection.close()


class Seen(Struct):
    """What a pool observed."""

    observations: list[Observation] = []

    @property
    def events(self) -> list[str]:
        return [observation.event for observation in self.observations]


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def make_pool(place: Place, admin: object, seen: Seen) -> Any:
    """Make pools of ``size`` 2 on the login, unless told otherwise."""
    del admin

    @asynccontextmanager
    async def make(url: str = place.login_url, **options: Any) -> AsyncIterator[DataPool]:
        options = {
            "size": 2,
            "timeout_seconds": WAIT_SECONDS,
            "observer": Observer(seen.observations.append),
            **options,
        }
        async with DataPool(url, **options).running(drain_seconds=1.0) as pool:
            yield pool

    return make


@pytest.fixture
async def pool(make_pool: Any) -> AsyncIterator[DataPool]:
    async with make_pool() as pool:
        yield pool


@pytest.fixture
async def single(make_pool: Any) -> AsyncIterator[DataPool]:
    """A pool of one connection: what a request leaves behind meets the next."""
    async with make_pool(size=1) as pool:
        yield pool
