"""``Prefer: respond-async``: one application and one worker for calls that nobody waits for."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import asyncpg
import msgspec
import pytest
import pytest_asyncio

from modules.rest.promised import PromisedCall, call_function
from monohull.kernel.clock import monotonic_seconds
from monohull.kernel.configuration import Configuration
from monohull.worker import SideWorker, WorkerProcess
from tests.application import anon_key
from tests.integration.auth.conftest import shared_connections  # noqa: F401 found by name
from tests.integration.backends import until_asleep
from tests.integration.rest.conftest import SHOP, serving
from tests.integration.rest.test_reading import ADA, SERVICE, token
from tests.integration.rest.test_scopes import key
from tests.patience import PATIENCE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    import httpx

    from monohull.kernel.home import Connections
    from monohull.kernel.observation import Observation
    from tests.application import Served

FUNCTIONS: Final = """
create table made (id int primary key deferrable initially deferred, by uuid);
alter table made enable row level security;
create policy mine on made using (by = auth.uid()) with check (by = auth.uid());
grant select, insert on made to authenticated;
create domain "text/plain" as text;
create domain "image/x-dots" as bytea;
create function make(id int) returns int language sql volatile as
    'insert into made values ($1, auth.uid()) returning id';
create function who() returns json language sql volatile as $$ select json_build_object(
    'role', current_user, 'sub', auth.uid(), 'timeout', current_setting('statement_timeout'),
    'headers', current_setting('request.headers')::json) $$;
create function hurried() returns text language sql volatile set statement_timeout = '5s' as
    $$ select current_setting('statement_timeout') $$;
create function fail() returns int language plpgsql as $$ begin
    raise exception 'no' using errcode = 'P0001', detail = 'd', hint = 'h'; end $$;
create function teapot() returns void language sql volatile as
    $$ select set_config('response.status', '299', true) $$;
create function nothing() returns void language sql volatile as 'select';
create function names() returns setof customers language sql stable as 'select * from customers order by id';
create function hello() returns "text/plain" language sql volatile as $$ select 'hi'::"text/plain" $$;
create function dots() returns "image/x-dots" language sql volatile as $$ select '\\x00ff'::"image/x-dots" $$;
create function huge() returns text language sql volatile as $$ select repeat('x', 5000000) $$;
create function tick() returns int language sql volatile as 'select 1';
create function slow() returns int language plpgsql as $$ begin
    perform pg_sleep(600); return 1; end $$;
"""
pytestmark = pytest.mark.asyncio(loop_scope="module")

ASYNC: Final = {"Prefer": "respond-async"}
CALLS: Final = "/platform/v1/calls"


class Desk:
    """The application, a worker beside it, and a signed-in user."""

    def __init__(self, served: Served, database: asyncpg.Connection, connections: Connections) -> None:
        self.served = served
        self.database = database
        self.connections = connections
        self.ada = token(ADA)

    async def call(
        self,
        function: str,
        body: Any = None,
        *,
        by: dict[str, str] | None = None,
        more: Mapping[str, str] = {},
        **headers: str,
    ) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
        return await self.served.client.post(
            f"/rest/v1/rpc/{function}",
            content=content,
            headers={"Content-Type": "application/json", **(by or self.ada), **ASYNC, **headers, **more},
        )

    async def promised(self, function: str, body: Any = None, **more: Any) -> str:
        answer = await self.call(function, body, **more)
        assert answer.status_code == 202, answer.text
        assert answer.headers["preference-applied"].startswith("respond-async")
        assert answer.json()["state"] in ("queued", "running")
        assert answer.headers["location"] == f"{CALLS}/{answer.json()['id']}"
        return str(answer.headers["location"])

    async def see(self, location: str, by: dict[str, str] | None = None) -> httpx.Response:
        return await self.served.client.get(location, headers=by or self.ada)

    async def over(self, location: str, by: dict[str, str] | None = None, *, state: str = "") -> Any:
        deadline = monotonic_seconds() + PATIENCE_SECONDS
        while True:
            found = (await self.see(location, by)).json()
            if found["state"] in ((state,) if state else ("succeeded", "dead", "cancelled")):
                return found
            assert monotonic_seconds() < deadline, found
            await asyncio.sleep(0.02)

    async def came_of(self, function: str, body: Any = None, **more: Any) -> Any:
        return await self.over(await self.promised(function, body, **more), more.get("by"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(shared_connections: Connections) -> AsyncIterator[Desk]:  # noqa: F811 as pytest has it
    database = await asyncpg.connect(shared_connections.owner_url)
    await database.execute(SHOP + FUNCTIONS)
    async with serving(shared_connections) as served:
        yield Desk(served, database, shared_connections)
    await database.close()


@asynccontextmanager
async def working(desk: Desk) -> AsyncIterator[None]:
    """Run a worker; what nobody waited for before is not for it."""
    await desk.database.execute("delete from monohull.jobs")
    runtime = desk.served.runtime
    process = WorkerProcess(Configuration(runtime.settings, runtime.modules), desk.connections)
    is_started = asyncio.Event()

    def read(observation: Observation) -> None:
        if observation.event == "process.started":
            is_started.set()

    process.runtime.observer.add_reader(read)
    worker = SideWorker(**process.settings())
    started = asyncio.create_task(worker.start())
    await is_started.wait()
    try:
        yield
    finally:
        worker.event.set()
        await started


async def test_what_becomes_of_calls(desk: Desk) -> None:
    async with working(desk):
        location = await desk.promised("make", {"id": 1})
        made = await desk.over(location)
        assert (made["state"], made["status"], made["result"]) == ("succeeded", 200, 1)
        assert (made["function"], made["error"], made["attempts"]) == ("public.make", None, 1)
        assert made["content_type"] == "application/json; charset=utf-8"
        assert await desk.database.fetchval("select by::text from made where id = 1") == ADA

        who = (await desk.came_of("who", **{"X-Own": "7"}))["result"]
        assert (who["role"], who["sub"], who["timeout"]) == ("authenticated", ADA, "10min")
        assert who["headers"]["x-own"] == "7"
        assert "authorization" not in who["headers"]
        assert (await desk.came_of("hurried"))["result"] == "5s"
        names = await desk.came_of("names?select=name&limit=1")
        assert names["result"] == [{"name": "Ada"}]

        void, teapot = await desk.came_of("nothing"), await desk.came_of("teapot")
        assert [(one["status"], one["result"]) for one in (void, teapot)] == [(204, None), (299, None)]
        text = await desk.came_of("hello", Accept="text/plain")
        assert (text["result"], text["encoding"]) == ("hi", None)
        dots = await desk.came_of("dots", Accept="image/x-dots")
        assert (dots["result"], dots["encoding"], dots["content_type"]) == ("AP8=", "base64", "image/x-dots")
        rolled = await desk.served.client.get("/rest/v1/made?select=id", headers=desk.ada)
        assert rolled.json() == [{"id": 1}]

        failed = await desk.came_of("fail")
        told = {"code": "P0001", "message": "no", "details": "d", "hint": "h", "status": 400}
        assert (failed["state"], failed["error"], failed["attempts"]) == ("dead", told, 1)
        again = await desk.came_of("make", {"id": 1})  # found at the end of the transaction alone
        assert (again["state"], again["error"]["code"], again["error"]["status"]) == ("dead", "23505", 409)
        huge = await desk.came_of("huge")
        assert (huge["state"], huge["error"]["code"]) == ("dead", "54000")
        assert "write them into a table" in huge["error"]["hint"]

        slow = await desk.promised("slow")
        job_id = (await desk.over(slow, state="running"))["job_id"]
        answer = await desk.served.client.post(f"/platform/v1/jobs/{job_id}/cancel", headers=SERVICE)
        assert answer.status_code == 200
        assert (await desk.over(slow))["state"] == "cancelled"
        await until_asleep(desk.database, 0)  # the server ends it after it was told to


async def test_who_may_see_a_call(desk: Desk) -> None:
    secret, limited = await key(desk.served, "*"), await key(desk.served, "data.rpc.tick:call")
    async with working(desk):
        of_ada, of_key = await desk.promised("tick"), await desk.promised("tick", by=secret)
        of_service = await desk.promised("tick", by=SERVICE)
        assert (await desk.over(of_key, secret))["result"] == 1
        assert (await desk.over(of_service, SERVICE))["result"] == 1
    grace = token("00000000-0000-0000-0000-000000000002")
    cases = [
        (of_ada, desk.ada, 200), (of_ada, grace, 404), (of_ada, secret, 404), (of_ada, SERVICE, 200),
        (of_key, secret, 200), (of_key, desk.ada, 404), (of_service, desk.ada, 404),
        (of_ada, {"apikey": anon_key()}, 401), (f"{CALLS}/no", desk.ada, 404),
        (f"{CALLS}/{UUID(int=0)}", desk.ada, 404), (of_ada.replace("calls", "jobs"), desk.ada, 403),
    ]  # fmt: skip
    for location, by, status in cases:
        answer = await desk.see(location, by)
        assert (location, answer.status_code) == (location, status), answer.text
    answer = await desk.call("make", by=limited)
    assert (answer.status_code, answer.json()["code"]) == (403, "MH103")
    assert (await desk.call("tick", by=limited)).status_code == 200, "it acts as anon, which is nobody"


async def test_what_is_refused_at_once_and_what_is_answered_at_once(desk: Desk) -> None:
    refused = [
        ("make", {"ids": 1}, {}, 404, "PGRST202"), ("make", {}, {}, 404, "PGRST202"),
        ("make", b'{"id": 1', {}, 400, "PGRST102"),
        ("make", {"id": 1}, {"Accept": "image/png"}, 406, "PGRST107"),
        ("make", {"id": 1}, {"Prefer": "respond-async, handling=strict, nonsense"}, 400, "PGRST122"),
        ("make", {"id": 1}, {"X-Large": "x" * 100, "Content-Profile": "other"}, 406, "PGRST106"),
    ]  # fmt: skip
    before = await desk.database.fetchval("select count(*) from monohull.async_calls")
    for function, body, headers, status, code in refused:
        answer = await desk.call(function, body, more=headers)
        assert (function, answer.status_code, answer.json()["code"]) == (function, status, code)
    assert await desk.database.fetchval("select count(*) from monohull.async_calls") == before

    at_once = [
        (await desk.call("tick", by={"apikey": anon_key()}), 1),
        (await desk.served.client.get("/rest/v1/rpc/names?select=id", headers={**SERVICE, **ASYNC}), None),
        (await desk.served.client.get("/rest/v1/customers?select=id", headers={**SERVICE, **ASYNC}), None),
        (await desk.call("tick", Accept="application/vnd.pgrst.plan+json"), None),
    ]
    for answer, result in at_once:
        assert answer.status_code in (200, 406)
        assert "respond-async" not in answer.headers.get("preference-applied", "")
        assert result is None or answer.json() == result
    body = {"id": 50, "by": ADA}
    created = await desk.served.client.post("/rest/v1/made", json=body, headers={**desk.ada, **ASYNC})
    assert created.status_code == 201
    answer = await desk.call("tick", Prefer="respond-async, handling=strict")
    assert answer.headers["preference-applied"] == "respond-async, handling=strict"


async def test_nobody_has_hundreds_of_calls_waiting(desk: Desk) -> None:
    await desk.database.execute("delete from monohull.jobs")
    for _ in range(100):
        await desk.promised("tick")
    answer = await desk.call("tick")
    assert (answer.status_code, answer.json()["code"]) == (429, "MH115")
    assert answer.headers["retry-after"] == "5"
    assert (await desk.call("tick", by=SERVICE)).status_code == 202


async def test_an_effect_is_there_once_whatever_happens_to_workers(desk: Desk) -> None:
    """What a worker does that lost its first attempt after the commit, and two that run one call at once."""
    runtime = desk.served.runtime
    await desk.database.execute("delete from monohull.jobs")
    call_id = (await desk.promised("make", {"id": 7})).rpartition("/")[2]
    pending = "select request, answer from monohull.async_calls where id = $1"
    request = (await desk.database.fetchrow(pending, call_id))["request"]
    await asyncio.gather(*(call_function(runtime, call_id=call_id) for _ in range(3)))
    await call_function(runtime, call_id=call_id)
    assert (await desk.see(f"{CALLS}/{call_id}")).json()["result"] == 7
    # as after a worker that died between the commit and its last word
    await desk.database.execute(
        "update monohull.async_calls set request = $2, answer = $3, result = null where id = $1",
        call_id,
        request,
        '[null, "1", null, null, "8"]',
    )
    await call_function(runtime, call_id=call_id)
    assert (await desk.see(f"{CALLS}/{call_id}")).json()["result"] == 8
    assert await desk.database.fetchval("select count(*) from made where id between 7 and 9") == 1

    other = (await desk.promised("make", {"id": 9})).rpartition("/")[2]
    await desk.database.execute("update monohull.jobs set done_at = now(), outcome = 'cancelled'")
    with pytest.raises(Exception, match="over before"):
        await call_function(runtime, call_id=other)
    assert await desk.database.fetchval("select count(*) from made where id = 9") == 0


async def test_what_is_kept_of_a_call(desk: Desk) -> None:
    await desk.database.execute("delete from monohull.jobs")
    call_id = (await desk.promised("who", Cookie="a=b", apikey=anon_key())).rpartition("/")[2]
    raw = await desk.database.fetchval("select request from monohull.async_calls where id = $1", call_id)
    call = msgspec.msgpack.decode(raw, type=PromisedCall)
    settings = dict(call.settings)
    assert desk.ada["Authorization"].encode() not in raw
    assert anon_key().encode() not in raw
    assert json.loads(settings["request.jwt.claims"])["sub"] == ADA
    assert settings["request.cookies"] == "{}"


async def test_they_can_be_switched_off(desk: Desk) -> None:
    name = await desk.database.fetchval("select current_database()")
    change = f"alter role authenticator in database {name} %s pgrst.async_timeout_seconds"
    await desk.database.execute(change % "set" + " = '0'; notify pgrst, 'reload config'")
    deadline = monotonic_seconds() + PATIENCE_SECONDS
    while (answer := await desk.call("tick")).status_code != 200:
        assert (answer.status_code, monotonic_seconds() < deadline) == (202, True)
        await asyncio.sleep(0.05)
    assert answer.json() == 1
    await desk.database.execute(change % "reset")
