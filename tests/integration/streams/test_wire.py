"""``/platform/v1/streams`` and ``monohull streams``: who may, what is refused and how, and what is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from modules.streams.looks import look
from tests.integration.streams.dock import new_name

if TYPE_CHECKING:
    from monohull.kernel.home import Connections
    from tests.integration.auth.people import Person
    from tests.integration.streams.dock import Dock

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOWHERE = str(uuid4())
TARGET = {"redis_stream": {"url": "redis://me:hush@127.0.0.1:1/0"}}


def made(**body: Any) -> dict[str, Any]:
    return {"name": "one", "target": TARGET, "events": ["shop.*"], "is_paused": True} | body


async def clerk(dock: Dock, *permissions: str) -> Person:
    """Return somebody who may write sinks, and what else is named."""
    name = f"clerk-{uuid4().hex[:8]}"
    await dock.staff.made("/roles", name=name, permissions=["streams.sinks:write", *permissions])
    return await dock.staff.hired(name)


async def test_who_may(dock: Dock, shared_connections: Connections) -> None:
    url = shared_connections.redis_url
    there = await dock.sink({"redis_stream": {"url": url, "stream": new_name()}})
    requests: list[tuple[str, str, Any, int]] = [
        ("GET", "/sinks", None, 200),
        ("GET", f"/sinks/{there.id}", None, 200),
        ("POST", "/sinks", made(), 201),
        ("PATCH", f"/sinks/{there.id}", {"name": "other"}, 200),
        ("POST", f"/sinks/{there.id}/rewind", {"sequence": 0}, 200),
        ("POST", f"/sinks/{there.id}/test", None, 200),
        ("DELETE", f"/sinks/{there.id}", None, 204),
    ]
    developer, admin = await dock.staff.hired("developer"), await dock.staff.hired("admin")
    for method, path, body, status in requests:
        answer = await dock.call(method, path, body, by=developer)
        if method == "GET":
            assert answer.status_code == 200, "developers see sinks"
        else:
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), path
        assert (await dock.call(method, path, body, by=admin)).status_code == status, path
    assert (await dock.call("GET", f"/sinks/{there.id}")).status_code == 404


async def test_rows_take_more(dock: Dock) -> None:
    table = f"orders_{new_name()}"
    await dock.execute(f"create table public.{table} (id int primary key, status text)")
    plain, with_rows = made(rows=[{"table": table}]), [{"table": table, "condition": "new.id > 1"}]
    nobody, reader = await clerk(dock), await clerk(dock, "streams.rows:write")
    assert (await dock.call("POST", "/sinks", plain, by=nobody)).status_code == 403
    answer = await dock.call("POST", "/sinks", plain, by=reader)
    assert answer.status_code == 201, answer.text
    path = f"/sinks/{answer.json()['id']}"
    assert (await dock.call("PATCH", path, {"target": TARGET}, by=nobody)).status_code == 403
    assert (await dock.call("PATCH", path, {"rows": []}, by=nobody)).status_code == 403
    answer = await dock.call("PATCH", path, {"rows": with_rows}, by=reader)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    judge = await clerk(dock, "streams.rows:write", "streams.conditions:write")
    assert (await dock.call("PATCH", path, {"rows": with_rows}, by=judge)).status_code == 200
    answer = await dock.call("PATCH", path, {"rows": [{"table": "absent"}]})
    assert (answer.status_code, answer.json()["code"]) == (400, "rows_not_watchable")


async def test_what_is_refused(dock: Dock) -> None:
    there = await dock.sink(TARGET, is_paused=True)
    path = f"/sinks/{there.id}"
    cases: list[tuple[str, str, Any, int, str]] = [
        ("POST", "/sinks", made(target={}), 400, "invalid_request"),
        ("POST", "/sinks", made(target={"redis_stream": {"url": "http://x"}}), 400, "sink_invalid"),
        ("POST", "/sinks", made(target={"redis_stream": {"url": "redis://x y"}}), 400, "invalid_request"),
        ("POST", "/sinks", made(target={"pigeon": {}}), 400, "invalid_request"),
        ("POST", "/sinks", made(events=["rows.inserted"]), 400, "sink_invalid"),
        ("POST", "/sinks", made(events=["Shop"]), 400, "invalid_request"),
        ("POST", "/sinks", made(name="a\0b"), 400, "invalid_request"),
        ("POST", "/sinks", made(format="avro"), 400, "invalid_request"),
        ("POST", "/sinks", made(unknown=1), 400, "invalid_request"),
        ("PATCH", f"/sinks/{NOWHERE}", {"name": "x"}, 404, "not_found"),
        ("PATCH", f"/sinks/{NOWHERE}", {"rows": []}, 404, "not_found"),
        ("PATCH", path, {"target": {"nats": {"url": "nats://h", "subject": "a..b"}}}, 400, "sink_invalid"),
        ("GET", "/sinks/nonsense", None, 404, "not_found"),
        ("GET", "/sinks?limit=0", None, 400, "invalid_request"),
        ("GET", "/sinks?cursor=x", None, 400, "invalid_request"),
        ("DELETE", f"/sinks/{NOWHERE}", None, 404, "not_found"),
        ("POST", f"/sinks/{NOWHERE}/test", None, 404, "not_found"),
        ("POST", f"{path}/rewind", {}, 400, "invalid_request"),
        ("POST", f"{path}/rewind", {"sequence": 1, "time": "2026-01-01T00:00:00Z"}, 400, "invalid_request"),
        ("POST", f"{path}/rewind", {"time": "2026-01-01T00:00:00"}, 400, "invalid_request"),
        ("POST", f"{path}/rewind", {"sequence": -1}, 400, "invalid_request"),
        ("POST", f"/sinks/{NOWHERE}/rewind", {"sequence": 1}, 404, "not_found"),
        ("GET", "/schemas/no.such/1", None, 404, "not_found"),
        ("GET", "/schemas/streams.sink_created/one", None, 404, "not_found"),
    ]
    for method, where, body, status, code in cases:
        answer = await dock.call(method, where, body)
        assert (answer.status_code, answer.json().get("code")) == (status, code), (where, body, answer.text)


async def test_passwords_are_kept_and_not_shown(dock: Dock) -> None:
    there = await dock.sink(TARGET, is_paused=True)
    view = await there.view()
    assert view["target"] == {
        "redis_stream": {"url": "redis://me:***@127.0.0.1:1/0", "stream": "monohull", "max_length": 1_000_000}
    }
    assert view["address"] == "redis://me:***@127.0.0.1:1/0 monohull"
    assert "hush" not in str(await dock.rows("select * from monohull.stream_sinks where id = $1", there.id))
    said = await dock.rows("select payload::text from monohull.outbox where key = $1", there.id)
    assert "hush" not in str(said)
    assert "***" in str(said)
    answer = await dock.call("PATCH", f"/sinks/{there.id}", {"target": view["target"]})
    assert (answer.status_code, answer.json()["code"]) == (400, "sink_invalid")
    tested = await there.post("test")
    assert tested["is_taken"] is False
    # what was sealed under another secret is told, and mended by giving the target anew
    await dock.execute("update monohull.stream_sinks set sealed_target = 'x' where id = $1", there.id)
    answer = await dock.call("POST", f"/sinks/{there.id}/test")
    assert (answer.status_code, answer.json()["code"]) == (400, "sink_invalid")
    await there.change(is_paused=False)
    failing = await there.until(lambda one: one["state"] == "failing")
    assert "another secret" in failing["last_error"]
    await there.change(target=TARGET, is_paused=True)


async def test_pages_meet(dock: Dock) -> None:
    for _ in range(2):
        await dock.sink(TARGET, is_paused=True)
    first = (await dock.call("GET", "/sinks?limit=1")).json()
    second = (await dock.call("GET", f"/sinks?limit=1&cursor={first['next']}")).json()
    assert first["sinks"][0]["id"] < second["sinks"][0]["id"]


async def test_the_doctor_tells_of_a_sink_that_fails(dock: Dock) -> None:
    there = await dock.sink({"redis_stream": {"url": "redis://127.0.0.1:1/0"}})
    await there.happen(1)
    await there.until(lambda one: one["consecutive_failures"] > 0)
    assert (await look(dock.served.runtime)).state == "ok"
    await dock.execute(
        "update monohull.stream_sinks set failing_since = now() - interval '1 hour' where id = $1", there.id
    )
    found = await look(dock.served.runtime)
    assert found.state == "wrong"
    assert there.name in found.message
    await dock.call("DELETE", f"/sinks/{there.id}")
    assert (await look(dock.served.runtime)).state == "ok"


async def test_schemas_are_open_to_all(dock: Dock) -> None:
    listed = (await dock.served.client.get("/platform/v1/streams/schemas")).json()
    names = [one["event"] for one in listed]
    assert names == sorted(names)
    assert {"rows.inserted", "auth.user_signed_up", "streams.sink_created"} <= set(names)
