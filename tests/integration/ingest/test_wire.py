"""``/platform/v1/ingest``: who may, what is refused and how, what is secret, and ``monohull ingest``."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from click.testing import CliRunner, Result

from modules.ingest.cli import ingest
from modules.ingest.jobs import purge
from tests.integration.api_keys.test_cli import ENVIRON, Context, printed
from tests.integration.ingest.desk import COLUMNS, order

if TYPE_CHECKING:
    from tests.integration.ingest.desk import Desk
    from tests.integration.ingest.senders import RedisSender

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOWHERE = str(uuid4())
KAFKA = {"brokers": ["127.0.0.1:1"], "topic": "orders"}
TABLE = {"table": {"table": "orders", "role": "authenticated", "columns": COLUMNS}}
JOB = {"job": {"job": "shop.receive"}}
PASSWORD = "very-secret-0815"


def made(**body: Any) -> dict[str, Any]:
    return {"name": "one", "origin": {"kafka": KAFKA}, "destination": JOB, "is_paused": True} | body


def origin(kind: str, **fields: Any) -> dict[str, Any]:
    return {"origin": {kind: fields}}


async def test_who_may(desk: Desk) -> None:
    tap = await desk.tap(made())
    viewer, developer, admin = [await desk.staff.hired(role) for role in ("viewer", "developer", "admin")]
    requests: list[tuple[str, str, Any, int, int]] = [
        ("GET", "/sources", None, 200, 200), ("GET", f"/sources/{tap.id}", None, 200, 200),
        ("POST", "/sources", made(), 403, 201), ("POST", "/sources", made(destination=TABLE), 403, 201),
        ("PATCH", f"/sources/{tap.id}", {"batch_size": 3}, 403, 200),
        ("GET", "/letters", None, 200, 200), ("GET", f"/letters/{NOWHERE}", None, 404, 404),
        ("POST", f"/letters/{NOWHERE}/replay", None, 404, 404),
        ("POST", "/replays", {"source_id": tap.id}, 202, 202),
        ("DELETE", f"/letters/{NOWHERE}", None, 404, 404),
        ("DELETE", f"/sources/{tap.id}", None, 403, 204),
    ]  # fmt: skip
    for method, path, body, by_developer, by_admin in requests:
        answer = await desk.call(method, path, body, by=viewer)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), path
        answer = await desk.call(method, path, body, by=developer)
        assert answer.status_code == by_developer, answer.text
        answer = await desk.call(method, path, body, by=admin)
        assert answer.status_code == by_admin, answer.text


async def test_tables_take_a_permission_of_their_own(desk: Desk) -> None:
    await desk.staff.made("/roles", name="receiver", permissions=["ingest.sources:write"])
    receiver = await desk.staff.hired("receiver")
    answer = await desk.call("POST", "/sources", made(), by=receiver)
    assert answer.status_code == 201, answer.text
    own = f"/sources/{answer.json()['id']}"
    tap = await desk.tap(made(destination=TABLE))
    for method, path, body in (
        ("POST", "/sources", made(destination=TABLE)),
        ("PATCH", own, {"destination": TABLE}),
        ("PATCH", f"/sources/{tap.id}", {"is_paused": False}),
        ("PATCH", f"/sources/{tap.id}", {"destination": JOB}),
    ):
        answer = await desk.call(method, path, body, by=receiver)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), answer.text


async def test_what_is_refused(desk: Desk) -> None:
    tap = await desk.tap(made())
    amqp = {"url": "amqp://broker", "queue": "q"}
    cases: list[tuple[str, str, Any, int, str]] = [
        ("POST", "/sources", made(origin={}), 400, "invalid_request"),
        ("POST", "/sources", made(origin={"kafka": KAFKA, "rabbitmq": amqp}), 400, "invalid_request"),
        ("POST", "/sources", made(destination={}), 400, "invalid_request"),
        ("POST", "/sources", made(destination=TABLE | JOB), 400, "invalid_request"),
        ("POST", "/sources", made(destination={"job": {"job": "auth.send_mail"}}), 400, "unknown_ingest_job"),
        ("POST", "/sources", made(name="a\0b"), 400, "invalid_request"),
        ("POST", "/sources", made(batch_size=0), 400, "invalid_request"),
        ("POST", "/sources", made(retry_base_seconds=9, retry_max_seconds=1), 400, "ingest_source_invalid"),
        ("POST", "/sources", made(unknown=1), 400, "invalid_request"),
        ("POST", "/sources", made(id_field="a\nb"), 400, "invalid_request"),
        (
            "POST",
            "/sources",
            made(**origin("kafka", brokers=["a:0"], topic="t")),
            400,
            "ingest_source_invalid",
        ),
        ("POST", "/sources", made(**origin("kafka", brokers=["a"], topic="t")), 400, "invalid_request"),
        ("POST", "/sources", made(**origin("kafka", **KAFKA, username="x")), 400, "ingest_source_invalid"),
        (
            "POST",
            "/sources",
            made(**origin("kafka", **KAFKA, ca_certificates="x")),
            400,
            "ingest_source_invalid",
        ),
        (
            "POST",
            "/sources",
            made(**origin("nats", url="http://b", stream="s")),
            400,
            "ingest_source_invalid",
        ),
        (
            "POST",
            "/sources",
            made(**origin("nats", url="nats://b:x", stream="s")),
            400,
            "ingest_source_invalid",
        ),
        ("POST", "/sources", made(**origin("nats", url="nats://b", stream="a.b")), 400, "invalid_request"),
        (
            "POST",
            "/sources",
            made(**origin("rabbitmq", url="amqp://", queue="q")),
            400,
            "ingest_source_invalid",
        ),
        (
            "POST",
            "/sources",
            made(**origin("redis_stream", url="x", stream="s")),
            400,
            "ingest_source_invalid",
        ),
        (
            "POST",
            "/sources",
            made(**origin("redis_stream", url="redis+cluster://h", stream="s")),
            400,
            "ingest_source_invalid",
        ),
        (
            "POST",
            "/sources",
            made(**origin("rabbitmq", url="amqp://a:***@h", queue="q")),
            400,
            "ingest_source_invalid",
        ),
        (
            "POST",
            "/sources",
            made(destination={"table": TABLE["table"] | {"columns": {"a": "$x"}}}),
            400,
            "ingest_source_invalid",
        ),
        (
            "POST",
            "/sources",
            made(destination={"table": TABLE["table"] | {"columns": {}}}),
            400,
            "invalid_request",
        ),
        ("PATCH", f"/sources/{tap.id}", {"origin": {}}, 400, "invalid_request"),
        ("PATCH", f"/sources/{tap.id}", {"retry_base_seconds": 9}, 400, "ingest_source_invalid"),
        ("PATCH", f"/sources/{NOWHERE}", {}, 404, "not_found"),
        ("GET", "/sources/nonsense", None, 404, "not_found"),
        ("GET", "/sources?limit=0", None, 400, "invalid_request"),
        ("GET", "/sources?cursor=x", None, 400, "invalid_request"),
        ("DELETE", f"/sources/{NOWHERE}", None, 404, "not_found"),
        ("GET", "/letters?state=lost", None, 400, "invalid_request"),
        ("GET", "/letters?reason=%00", None, 400, "invalid_request"),
        ("GET", f"/letters?source_id={NOWHERE}", None, 200, ""),
        ("POST", "/replays", {"source_id": NOWHERE}, 404, "not_found"),
        ("POST", "/replays", {"source_id": tap.id, "limit": 0}, 400, "invalid_request"),
    ]
    for method, path, body, status, code in cases:
        answer = await desk.call(method, path, body)
        assert (answer.status_code, answer.json().get("code", "")) == (status, code), (
            path,
            body,
            answer.text,
        )


async def test_what_is_secret_is_sealed_and_never_shown(desk: Desk) -> None:
    kafka = KAFKA | {"mechanism": "PLAIN", "username": "me", "password": PASSWORD}
    origins = [
        {"rabbitmq": {"url": f"amqp://me:{PASSWORD}@broker/shop", "queue": "q"}},
        {"nats": {"url": "nats://broker", "stream": "s", "token": PASSWORD}},
        {"nats": {"url": f"nats://{PASSWORD}@broker", "stream": "s"}},
        {"redis_stream": {"url": f"redis://:{PASSWORD}@broker", "stream": "s"}},
        {"kafka": kafka},
    ]
    for one in origins:
        answer = await desk.call("POST", "/sources", made(origin=one))
        assert answer.status_code == 201, answer.text
        assert PASSWORD not in answer.text
        assert "***" in answer.text
        path = f"/sources/{answer.json()['id']}"
        changed = await desk.call("PATCH", path, {"origin": one, "name": "two"})
        assert (changed.status_code, changed.json()["name"]) == (200, "two")
        assert PASSWORD not in changed.text + (await desk.call("GET", path)).text
    rows = await desk.rows("select s::text as told from monohull.ingest_sources as s")
    assert not any(PASSWORD in row["told"] for row in rows)
    rows = await desk.rows("select payload::text as told from monohull.outbox where name like 'ingest.%'")
    assert rows
    assert not any(PASSWORD in row["told"] for row in rows)


async def test_pages_meet(desk: Desk) -> None:
    made_here = [(await desk.tap(made())).id for _ in range(5)]
    seen: list[str] = []
    cursor = ""
    while True:
        page = (await desk.call("GET", f"/sources?limit=2{cursor}")).json()
        seen += [one["id"] for one in page["sources"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert [one for one in seen if one in made_here] == made_here
    assert len(seen) == len(set(seen))


async def test_numbers_and_what_is_forgotten(desk: Desk, redis_sender: RedisSender) -> None:
    table = await desk.table()
    await redis_sender.send(("1", order(1)), ("2", "{"))
    tap = await desk.source(redis_sender, table)
    await tap.rows_of(table, 1)
    await tap.letter("dead")
    await tap.until(lambda view: view["taken"] == 2)
    told = (await desk.served.runtime.metrics.exposition()).decode()
    assert f'monohull_ingest_dead_letters{{source="{tap.id}"}} 1.0' in told
    assert f'monohull_ingest_lag_messages{{source="{tap.id}"}}' in told
    assert f'monohull_ingest_messages_total{{outcome="taken",source="{tap.id}"}} 1.0' in told

    await purge(desk.served.runtime)
    assert len(await tap.letters()) == 1
    old = "update monohull.{} set {} = now() - interval '91 days' where source_id = $1"
    await desk.execute(old.format("ingest_seen", "seen_at"), tap.id)
    await desk.execute(old.format("ingest_letters", "finished_at"), tap.id)
    await purge(desk.served.runtime)
    assert await tap.letters() == []
    assert await desk.rows("select 1 from monohull.ingest_seen where source_id = $1", tap.id) == []
    await tap.delete()


async def test_commands(desk: Desk) -> None:
    """In a thread, for each command runs a loop of its own."""
    tap = await desk.tap(made())

    def call(*arguments: str) -> Result:
        context = Context(desk.served.runtime.connections, ENVIRON)
        return CliRunner().invoke(ingest, arguments, obj=context)

    result = await asyncio.to_thread(call, "resume", tap.id)
    assert result.exit_code == 0, result.output
    assert (await tap.view())["is_paused"] is False
    assert "one is paused" in printed(await asyncio.to_thread(call, "pause", tap.id))
    assert (await tap.view())["state"] == "paused"
    listed = printed(await asyncio.to_thread(call, "list"))
    assert f"{tap.id}  one" in listed
    found = json.loads(printed(await asyncio.to_thread(call, "list", "--json")))
    assert tap.id in {one["id"] for one in found}
    assert (await asyncio.to_thread(call, "pause", NOWHERE)).exit_code != 0
    await tap.delete()
