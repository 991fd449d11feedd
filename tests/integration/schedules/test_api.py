"""``/platform/v1/schedules``: one application for all cases."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import pytest

from monohull.kernel.schedules import Timetable
from tests.application import anon_key, service_key
from tests.integration.schedules.shop.module import count, module

if TYPE_CHECKING:
    import httpx

    from tests.application import Served

pytestmark = pytest.mark.asyncio(loop_scope="module")

NIGHTLY: Final = {
    "name": "nightly",
    "schedule": "30 2 * * *",
    "job": "shop.count",
    "timezone": "Europe/Berlin",
}


async def call(
    shop: Served, method: str, path: str, body: Any = None, *, key: str | None = None
) -> httpx.Response:
    headers = {"apikey": service_key() if key is None else key}
    return await shop.client.request(method, f"/platform/v1{path}", json=body, headers=headers)


async def keep(shop: Served) -> None:
    """Do what a relay does once."""
    table = Timetable(module.cron, {count.name: count})
    async with shop.runtime.database.connection() as connection:
        await table.declare(connection, datetime.now(UTC))
        await table.advance(connection, datetime.now(UTC))


async def told(shop: Served, schedule: str) -> list[str]:
    async with shop.runtime.database.connection() as connection:
        rows = await connection.fetch(
            "select name from monohull.outbox where key = $1 order by position", schedule
        )
    return [row["name"].removeprefix("schedules.") for row in rows]


async def test_a_schedule_is_made_changed_paused_run_and_deleted(shop: Served) -> None:
    made = await call(shop, "POST", "/schedules", {**NIGHTLY, "arguments": {"kind": "daily"}})
    assert made.status_code == 201, made.text
    assert (made.json()["source"], made.json()["missed"], made.json()["overlap"]) == ("api", "once", "skip")
    assert made.json()["next_at"] is not None
    again = await call(shop, "POST", "/schedules", NIGHTLY)
    assert (again.status_code, again.json()["code"]) == (409, "schedule_exists")
    changed = await call(
        shop, "PATCH", "/schedules/nightly", {"overlap": "queue", "timezone": "Europe/Berlin"}
    )
    assert (changed.json()["overlap"], changed.json()["arguments"]) == ("queue", {"kind": "daily"})
    paused = await call(shop, "POST", "/schedules/nightly/pause")
    assert (paused.json()["is_paused"], paused.json()["next_at"]) == (True, None)
    run = await call(shop, "POST", "/schedules/nightly/run")
    assert (run.status_code, run.json()["state"], run.json()["kind"]) == (202, "waiting", "manual")
    await keep(shop)
    [shown] = (await call(shop, "GET", "/schedule-runs?schedule=nightly")).json()
    assert (shown["id"], shown["state"], shown["job_id"]) == (run.json()["id"], "queued", run.json()["id"])
    assert (await call(shop, "POST", "/schedules/nightly/resume")).json()["is_paused"] is False
    assert (await call(shop, "DELETE", "/schedules/nightly")).status_code == 204
    assert (await call(shop, "GET", "/schedules/nightly")).status_code == 404
    assert len((await call(shop, "GET", "/schedule-runs?schedule=nightly")).json()) == 1
    assert await told(shop, "nightly") == [
        "schedule_created", "schedule_updated", "schedule_paused", "run_requested", "schedule_resumed",
        "schedule_deleted",
    ]  # fmt: skip


async def test_a_second_run_is_refused_where_runs_may_not_overlap(shop: Served) -> None:
    await call(shop, "POST", "/schedules", {**NIGHTLY, "name": "single"})
    assert (await call(shop, "POST", "/schedules/single/run")).status_code == 202
    refused = await call(shop, "POST", "/schedules/single/run")
    assert (refused.status_code, refused.json()["code"]) == (409, "schedule_busy")


async def test_schedules_of_code_are_shown_and_paused_but_not_changed(shop: Served) -> None:
    await keep(shop)
    shown = (await call(shop, "GET", "/schedules/shop.count")).json()
    assert (shown["source"], shown["schedule"]) == ("code", "0 4 * * *")
    for method, body in (("PATCH", {"overlap": "allow"}), ("DELETE", None)):
        refused = await call(shop, method, "/schedules/shop.count", body)
        assert (refused.status_code, refused.json()["code"]) == (409, "schedule_declared")
    assert (await call(shop, "POST", "/schedules/shop.count/pause")).status_code == 200
    await keep(shop)
    assert (await call(shop, "GET", "/schedules/shop.count")).json()["is_paused"] is True


async def test_statements_are_seen_and_not_changed(shop: Served) -> None:
    async with shop.runtime.database.connection() as connection:
        await connection.execute("select monohull.schedule_statement('sql', '* * * * *', 'select 1', 'anon')")
    shown = (await call(shop, "GET", "/schedules/sql")).json()
    assert (shown["statement"], shown["database_role"], shown["job"]) == ("select 1", "anon", None)
    refused = await call(shop, "PATCH", "/schedules/sql", {"job": "shop.count"})
    assert refused.json()["code"] == "schedule_declared"
    assert (await call(shop, "PATCH", "/schedules/sql", {"schedule": "0 5 * * *"})).status_code == 200


async def test_what_cannot_be_used_is_refused(shop: Served) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"schedule": "61 * * * *"}, "bad_schedule"),
        ({"schedule": "0 0 30 2 *"}, "bad_schedule"),
        ({"schedule": "every day at noon"}, "bad_schedule"),
        ({"schedule": "0\u00a00 1 1 *"}, "bad_schedule"),
        ({"timezone": "Mars/Olympus"}, "bad_schedule"),
        ({"arguments": {"a": "\x00"}}, "bad_schedule"),
        ({"arguments": {"a": "x" * 70_000}}, "bad_schedule"),
        ({"job": "kernel.purge"}, "unknown_job"),
        ({"job": "schedules.run_statement"}, "unknown_job"),
        ({"job": "no.such"}, "unknown_job"),
        ({"statement": "drop table x"}, "invalid_request"),
        ({"name": "a b"}, "invalid_request"),
        ({"name": "a\n"}, "invalid_request"),
        ({"missed": "never"}, "invalid_request"),
        ({"catch_up_limit": 0}, "invalid_request"),
    ]
    for wrong, code in cases:
        refused = await call(shop, "POST", "/schedules", {**NIGHTLY, "name": "wrong", **wrong})
        assert (refused.status_code, refused.json()["code"]) == (400, code), (wrong, refused.text)
    for path in ("/schedules/none", "/schedules/%00", "/schedules/" + "x" * 500):
        assert (await call(shop, "GET", path)).status_code == 404
    assert (await call(shop, "GET", "/schedule-runs?schedule=%00")).status_code == 400


async def test_permissions_are_asked_for(shop: Served) -> None:
    for method, path in (
        ("GET", "/schedules"), ("POST", "/schedules"), ("GET", "/schedules/x"), ("PATCH", "/schedules/x"),
        ("DELETE", "/schedules/x"), ("POST", "/schedules/x/pause"), ("POST", "/schedules/x/resume"),
        ("POST", "/schedules/x/run"), ("GET", "/schedule-runs"),
    ):  # fmt: skip
        assert (await call(shop, method, path, {}, key=anon_key())).status_code == 403, path
    async with shop.runtime.database.connection() as connection:
        holders = await connection.fetch(
            "select name from monohull.roles where 'schedules.*' = any (permissions) order by name"
        )
    assert [row["name"] for row in holders] == ["admin", "developer"]


async def test_the_metric_and_the_doctor_look_at_them(shop: Served) -> None:
    from modules.schedules.looks import look, overdue_seconds  # noqa: PLC0415 of this test alone

    assert await overdue_seconds(shop.runtime.database) is not None
    async with shop.runtime.database.connection() as connection:
        await connection.execute("update monohull.schedules set fault = 'it never comes due'")
    assert (await look(shop.runtime)).state == "wrong"
    assert "monohull_schedules_overdue_seconds" in (await shop.client.get("/metrics")).text
