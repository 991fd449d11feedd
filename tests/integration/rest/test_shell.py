"""What surrounds a statement, over the whole application: configuration in the database, roles, functions."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.application import Served, service_key
from tests.integration.rest.conftest import serving
from tests.patience import eventually

if TYPE_CHECKING:
    import asyncpg

    from monohull.kernel.home import Connections

pytestmark = pytest.mark.asyncio(loop_scope="module")

SERVICE = {"Authorization": f"Bearer {service_key()}"}

FUNCTIONS = """
create function public.setting(name text) returns text language sql stable as
  $$ select current_setting(name, true) $$;
create function public.hurried(name text) returns text language sql stable
  set statement_timeout = '3s' set default_transaction_isolation = 'serializable' as
  $$ select current_setting(name, true) $$;
create function public.speak() returns int language plpgsql as $$
begin
  perform set_config('response.headers', '[{"X-Spoken": "yes"}]', false);
  perform set_config('response.status', '202', false);
  return 1;
end $$;
create function public.guard() returns void language plpgsql as $$
begin
  if current_setting('request.headers')::json ->> 'x-stop' is not null then
    raise sqlstate 'PGRST' using message = '{"code": "S1", "message": "stop"}',
      detail = '{"status": 418, "headers": {"X-Why": "told"}}';
  end if;
end $$;
"""


async def ask(served: Served, path: str, **headers: str) -> Any:
    response = await served.client.get(f"/rest/v1/{path}", headers={**SERVICE, **headers})
    assert response.status_code == 200, response.text
    return response.json()


@pytest.fixture(scope="module")
def tables(tables: tuple[str, ...]) -> tuple[str, ...]:
    return (*tables, FUNCTIONS)


@pytest.fixture
def functions(database: asyncpg.Connection) -> asyncpg.Connection:
    return database


async def becomes(served: Served, path: str, wanted: Any) -> None:
    await eventually(lambda: ask(served, path), lambda found: found == wanted)


async def test_configuration_in_the_database_is_reloaded(
    functions: asyncpg.Connection, connections: Connections
) -> None:
    name = await functions.fetchval("select current_database()")
    async with serving(connections) as served:
        try:
            assert len(await ask(served, "customers?select=id")) == 3
            await functions.execute(
                f"alter role authenticator in database {name} set pgrst.db_max_rows = '2';"
                " notify pgrst, 'reload config'"
            )
            await eventually(lambda: ask(served, "customers?select=id"), lambda found: len(found) == 2)
            await functions.execute(
                f"alter role authenticator in database {name} set pgrst.db_tx_end = 'nonsense';"
                " notify pgrst, 'reload config'"
            )
            await asyncio.sleep(0.2)
            assert len(await ask(served, "customers?select=id")) == 2
        finally:
            await functions.execute(f"alter role authenticator in database {name} reset all")


async def test_settings_of_the_application_and_of_functions(
    functions: asyncpg.Connection,  # noqa: ARG001 filled first
    connections: Connections,
) -> None:
    async with serving(
        connections, rest_app_settings_host="here", rest_statement_timeout_seconds="7"
    ) as served:
        assert await ask(served, "rpc/setting?name=app.settings.host") == "here"
        assert await ask(served, "rpc/setting?name=statement_timeout") == "7s"
        assert await ask(served, "rpc/hurried?name=statement_timeout") == "3s"
        assert await ask(served, "rpc/hurried?name=transaction_isolation") == "serializable"
        assert await ask(served, "rpc/setting?name=transaction_isolation") == "read committed"
        assert await ask(served, "rpc/setting?name=request.path") == "/rpc/setting"


async def test_what_a_function_says_reaches_its_own_client_alone(
    functions: asyncpg.Connection,  # noqa: ARG001 filled first
    connections: Connections,
) -> None:
    async with serving(connections, pool_size="1") as served:
        spoken = await served.client.post("/rest/v1/rpc/speak", headers=SERVICE)
        assert (spoken.status_code, spoken.headers["x-spoken"]) == (202, "yes")
        after = await served.client.get("/rest/v1/customers?select=id", headers=SERVICE)
        assert after.status_code == 200
        assert "x-spoken" not in after.headers


async def test_a_function_before_each_request(
    functions: asyncpg.Connection,  # noqa: ARG001 filled first
    connections: Connections,
) -> None:
    async with serving(connections, rest_pre_request="public.guard") as served:
        assert len(await ask(served, "customers?select=id")) == 3
        stopped = await served.client.get("/rest/v1/customers", headers={**SERVICE, "X-Stop": "1"})
        assert stopped.status_code == 418
        assert stopped.headers["x-why"] == "told"
        assert stopped.json() == {"code": "S1", "details": None, "hint": None, "message": "stop"}


async def test_the_root_tells_each_role_what_it_may_know(shop: Served) -> None:
    described = (await shop.client.get("/rest/v1/", headers=SERVICE)).json()
    assert described["swagger"] == "2.0"
    assert "/customers" in described["paths"]
    assert described["definitions"]["customers"]["properties"]["id"]["description"].endswith("<pk/>")
    assert described["basePath"] == "/rest/v1"
    head = await shop.client.head("/rest/v1/", headers=SERVICE)
    assert (head.status_code, head.content) == (200, b"")
    wrong = await shop.client.get("/rest/v1/", headers={**SERVICE, "Accept": "text/csv"})
    assert (wrong.status_code, wrong.json()["code"]) == (406, "PGRST107")


async def test_plans_and_times(database: asyncpg.Connection, connections: Connections) -> None:  # noqa: ARG001 filled first
    accept = {**SERVICE, "Accept": "application/vnd.pgrst.plan+json; options=verbose"}
    async with serving(connections, rest_plan_enabled="true", rest_server_timing_enabled="true") as served:
        response = await served.client.get("/rest/v1/customers?id=eq.1", headers=accept)
        assert response.status_code == 200
        assert response.json()[0]["Plan"]["Node Type"] == "Aggregate"
        assert "transaction;dur=" in response.headers["server-timing"]
    async with serving(connections) as served:
        response = await served.client.get("/rest/v1/customers?id=eq.1", headers=accept)
        assert (response.status_code, response.json()["code"]) == (406, "PGRST107")
        assert "server-timing" not in response.headers


async def test_methods_are_told(shop: Served) -> None:
    response = await shop.client.options("/rest/v1/customers", headers=SERVICE)
    assert response.headers["allow"] == "OPTIONS,GET,HEAD,POST,PUT,PATCH,DELETE"
    assert response.headers["access-control-allow-origin"] == "*"
    unknown = await shop.client.options("/rest/v1/nowhere", headers=SERVICE)
    assert unknown.status_code == 404
