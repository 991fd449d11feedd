"""``/platform/v1/jobs`` over the wire: one application and one worker for a whole table of requests."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from monohull.kernel.ids import uuid7
from tests.application import running_app, service_key
from tests.integration.jobs.module import BATCHES, RAN, module
from tests.integration.rbac.staff import Staff
from tests.patience import eventually
from tests.workbench import Workbench

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

    from monohull.kernel.home import Connections
    from tests.application import Served

JOBS = "/platform/v1/jobs"
SERVICE = {"apikey": service_key()}
NOBODY = "00000000-0000-0000-0000-000000000000"


class Shop:
    """The application, and a worker where one is asked for."""

    def __init__(self, served: Served, connections: Connections) -> None:
        self.served = served
        self.bench = Workbench(module, connections)

    async def call(self, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        return await self.served.client.request(method, path, json=body, headers=SERVICE, **more)

    async def asked(self, name: str, **more: Any) -> dict[str, Any]:
        answer = await self.call("POST", JOBS, {"name": name, **more})
        assert answer.status_code == 201, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def seen(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = (await self.call("GET", f"{JOBS}/{job_id}")).json()
        return found

    async def metrics(self) -> str:
        return (await self.served.client.get("/metrics")).text

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        async with self.bench.runtime.running(), self.bench.worker():
            yield


@pytest.fixture
async def shop(connections: Connections) -> AsyncIterator[Shop]:
    RAN.clear()
    BATCHES.clear()
    async with running_app(connections, modules="tests.integration.jobs") as served:
        yield Shop(served, connections)


async def test_a_job_from_asking_to_its_result(shop: Shop) -> None:
    answer = await shop.call("POST", JOBS, {"name": "shop.count", "arguments": {"n": 1}, "key": "k"})
    job = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"{JOBS}/{job['id']}"
    assert (job["state"], job["queue"], job["priority"]) == ("queued", "default", 4)
    assert job["arguments"] == {"n": 1}
    again = await shop.call("POST", JOBS, {"name": "shop.count", "arguments": {"n": 2}, "key": "k"})
    assert (again.status_code, again.json()["id"]) == (200, job["id"])
    options = {"priority": 0, "queue": "urgent", "delay_seconds": 3600, "max_attempts": 7}
    delayed = await shop.asked("shop.count", arguments={"n": 3, "text": "\x00"}, **options)
    assert (delayed["state"], delayed["queue"], delayed["priority"]) == ("scheduled", "urgent", 0)
    batch = await shop.call(
        "POST",
        "/platform/v1/job-batches",
        {
            "jobs": [
                {"name": "shop.count", "arguments": {"n": 10}},
                {"name": "shop.fail", "arguments": {"n": 11}},
            ],
            "completion": {"name": "shop.tell", "arguments": {"to": "me"}, "queue": "urgent"},
        },
    )
    assert batch.status_code == 201
    assert batch.json()["pending"] == 2
    async with shop.working():
        await shop.bench.until(lambda: BATCHES)
    done = await shop.seen(job["id"])
    assert (done["state"], done["result"], done["progress"]) == ("succeeded", {"n": 1, "text": ""}, 1.0)
    assert [attempt["outcome"] for attempt in done["history"]] == ["succeeded"]
    assert done["request_id"] == answer.headers["x-request-id"]
    assert BATCHES == [{"to": "me", "total": 2, "succeeded": 1, "dead": 1}]
    over = (await shop.call("GET", batch.headers["location"])).json()
    assert (over["pending"], over["succeeded"], over["dead"]) == (0, 1, 1)
    assert (await shop.seen(over["completion_job_id"]))["state"] == "succeeded"
    queues = (await shop.call("GET", "/platform/v1/job-queues")).json()
    assert [queue["name"] for queue in queues] == ["calls", "default", "urgent"]
    assert queues[2]["scheduled"] == 1
    metrics = await eventually(shop.metrics, lambda text: "monohull_jobs_waiting" in text)
    assert 'monohull_jobs_waiting{queue="urgent"} 0.0' in metrics
    await steer(shop, dead=batch.json()["id"], delayed=delayed["id"])


async def steer(shop: Shop, *, dead: str, delayed: str) -> None:
    (failed,) = (await shop.call("GET", JOBS, params={"batch_id": dead, "state": "dead"})).json()["jobs"]
    path = f"{JOBS}/{failed['id']}"
    assert (await shop.call("POST", f"{path}/retry")).json()["state"] == "queued"
    refused = await shop.call("DELETE", path)
    assert (refused.status_code, refused.json()["code"]) == (409, "job_state_conflict")
    assert (await shop.call("POST", f"{path}/cancel")).json()["state"] == "cancelled"
    assert (await shop.call("DELETE", path)).status_code == 204
    assert (await shop.call("GET", path)).status_code == 404
    changed = (await shop.call("POST", f"{JOBS}/cancel", {"queue": "urgent"})).json()
    assert changed == {"ids": [delayed], "is_more": False}
    assert (await shop.call("POST", f"{JOBS}/retry", {"ids": [delayed]})).json()["ids"] == [delayed]
    assert (await shop.call("POST", f"{JOBS}/cancel", {"state": "queued"})).json()["ids"] == [delayed]
    gone = (await shop.call("POST", f"{JOBS}/delete", {"name": "shop.count"})).json()["ids"]
    assert delayed in gone
    async with shop.served.runtime.database.connection() as connection:
        told = await connection.fetch("select name from monohull.outbox where name like 'jobs.%'")
    assert {row["name"] for row in told} == {
        "jobs.job_requested",
        "jobs.batch_requested",
        "jobs.jobs_retried",
        "jobs.jobs_cancelled",
        "jobs.jobs_deleted",
    }


async def test_pages_and_filters(shop: Shop) -> None:
    ids = [(await shop.asked("shop.count", arguments={"n": n}, key=f"k{n}"))["id"] for n in range(5)]
    urgent = (await shop.asked("shop.urgent", arguments={"n": 1}))["id"]
    found: list[str] = []
    cursor: str | None = None
    while True:
        parameters: dict[str, Any] = {"limit": 2, "name": "shop.count"} | (
            {"cursor": cursor} if cursor else {}
        )
        page = (await shop.call("GET", JOBS, params=parameters)).json()
        found += [job["id"] for job in page["jobs"]]
        if (cursor := page["next"]) is None:
            break
    assert found == ids[::-1]
    table: dict[str, list[str]] = {
        "queue=urgent": [urgent],
        "key=k3": [ids[3]],
        "state=queued&limit=1": [urgent],
        "state=scheduled": [],
        "state=running": [],
        "state=succeeded": [],
        "state=dead": [],
        "state=cancelled": [],
        f"event_id={NOBODY}": [],
        f"batch_id={NOBODY}": [],
        "since=2100-01-01T00:00:00Z": [],
        "until=2100-01-01T00:00:00Z&limit=1": [urgent],
        "cursor=0": [],
    }
    for query, expected in table.items():
        answer = await shop.call("GET", f"{JOBS}?{query}")
        assert answer.status_code == 200, (query, answer.text)
        assert [job["id"] for job in answer.json()["jobs"]] == expected, query
    types = (await shop.call("GET", "/platform/v1/job-types")).json()
    assert [each["name"] for each in types] == [
        "shop.count",
        "shop.fail",
        "shop.linger",
        "shop.tell",
        "shop.urgent",
    ]
    assert types[0]["description"] == "Count one."
    assert "properties" in str(types[0]["arguments"])


REFUSED: list[tuple[str, str, Any, int, str]] = [
    ("POST", JOBS, {"name": "shop.nothing"}, 400, "unknown_job_name"),
    ("POST", JOBS, {"name": "shop.secretive", "arguments": {"word": "x"}}, 400, "unknown_job_name"),
    ("POST", JOBS, {"name": "kernel.purge"}, 400, "unknown_job_name"),
    ("POST", JOBS, {"name": "Shop"}, 400, "invalid_request"),
    ("POST", JOBS, {"name": "shop.count\n"}, 400, "invalid_request"),
    ("POST", JOBS, {"name": "shop.count"}, 400, "job_arguments_invalid"),
    ("POST", JOBS, {"name": "shop.count", "arguments": {"n": "1"}}, 400, "job_arguments_invalid"),
    ("POST", JOBS, {"name": "shop.count", "arguments": {"n": 1, "m": 1}}, 400, "job_arguments_invalid"),
    ("POST", JOBS, {"name": "shop.count", "arguments": [1]}, 400, "invalid_request"),
    (
        "POST",
        JOBS,
        {"name": "shop.count", "arguments": {"n": 1, "text": "x" * 300_000}},
        400,
        "job_arguments_invalid",
    ),
    (
        "POST",
        JOBS,
        {"name": "shop.count", "arguments": {"n": 1, "text": "x" * 500_000}},
        413,
        "body_too_large",
    ),
    ("POST", JOBS, {"name": "shop.count", "arguments": {"n": 1}, "queue": "nowhere"}, 400, "unknown_queue"),
    ("POST", JOBS, {"name": "shop.count", "arguments": {"n": 1}, "priority": 10}, 400, "invalid_request"),
    (
        "POST",
        JOBS,
        {"name": "shop.count", "arguments": {"n": 1}, "delay_seconds": -1},
        400,
        "invalid_request",
    ),
    (
        "POST",
        JOBS,
        {"name": "shop.count", "arguments": {"n": 1}, "due_at": "2026-01-01T00:00:00"},
        400,
        "invalid_request",
    ),
    ("POST", JOBS, {"name": "shop.count", "arguments": {"n": 1}, "key": "\x00"}, 400, "invalid_request"),
    ("POST", JOBS, {"name": "shop.count", "arguments": {"n": 1}, "huge": 1}, 400, "invalid_request"),
    ("POST", JOBS, {"name": "shop.count", "arguments": {"n": 1}, "key": "cron:x"}, 400, "invalid_request"),
    ("POST", JOBS, {"name": "shop.count", "due_at": "0001-01-01T00:00:00+14:00"}, 400, "invalid_request"),
    ("POST", JOBS, {"name": "shop.count", "due_at": "2200-01-01T00:00:00Z"}, 400, "invalid_request"),
    ("GET", f"{JOBS}?since=0001-01-01T00:00:00%2B14:00", None, 400, "invalid_request"),
    ("GET", f"{JOBS}?until=9999-12-31T23:59:59-14:00", None, 400, "invalid_request"),
    ("POST", f"{JOBS}/cancel", {"since": "0001-01-01T00:00:00+14:00"}, 400, "invalid_request"),
    ("POST", JOBS, [], 400, "invalid_request"),
    ("POST", f"{JOBS}/cancel", {}, 400, "invalid_request"),
    ("POST", f"{JOBS}/retry", {"ids": []}, 400, "invalid_request"),
    ("POST", f"{JOBS}/delete", {"ids": ["x"]}, 400, "invalid_request"),
    ("POST", f"{JOBS}/{NOBODY}/cancel", None, 404, "not_found"),
    ("POST", f"{JOBS}/{NOBODY}/retry", None, 404, "not_found"),
    ("POST", f"{JOBS}/x/retry", None, 404, "not_found"),
    ("DELETE", f"{JOBS}/{NOBODY}", None, 404, "not_found"),
    ("GET", f"{JOBS}/{NOBODY}", None, 404, "not_found"),
    ("GET", f"{JOBS}?limit=0", None, 400, "invalid_request"),
    ("GET", f"{JOBS}?limit=201", None, 400, "invalid_request"),
    ("GET", f"{JOBS}?cursor=x", None, 400, "invalid_request"),
    ("GET", f"{JOBS}?cursor=9999999999999999999", None, 400, "invalid_request"),
    ("GET", f"{JOBS}?state=lost", None, 400, "invalid_request"),
    ("GET", f"{JOBS}?name=%00", None, 400, "invalid_request"),
    ("GET", f"{JOBS}?since=2026-01-01T00:00:00", None, 400, "invalid_request"),
    ("GET", f"{JOBS}?event_id=x", None, 400, "invalid_request"),
    ("POST", "/platform/v1/job-batches", {"jobs": []}, 400, "invalid_request"),
    ("POST", "/platform/v1/job-batches", {"jobs": [{"name": "shop.no"}]}, 400, "unknown_job_name"),
    ("GET", f"/platform/v1/job-batches/{NOBODY}", None, 404, "not_found"),
    ("POST", "/platform/v1/job-queues/nowhere/pause", None, 404, "not_found"),
    ("POST", "/platform/v1/job-queues/nowhere/resume", None, 404, "not_found"),
]


async def test_refusals(shop: Shop) -> None:
    for method, path, body, status, code in REFUSED:
        answer = await shop.call(method, path, body)
        assert (answer.status_code, answer.json()["code"]) == (status, code), (method, path, answer.text)
    surrogate = '{"name": "shop.count", "arguments": {"n": 1, "text": "\\ud800"}}'
    headers = {**SERVICE, "content-type": "application/json"}
    answer = await shop.served.client.post(JOBS, content=surrogate, headers=headers)
    assert answer.status_code == 400, answer.text
    keyed = {"name": "shop.count", "arguments": {"n": 1}, "key": "same"}
    twice = await shop.call("POST", "/platform/v1/job-batches", {"jobs": [keyed, keyed]})
    assert (twice.status_code, twice.json()["code"]) == (409, "job_key_taken")
    assert (await shop.call("GET", JOBS)).json()["jobs"] == []
    first = await shop.asked("shop.count", arguments={"n": 1}, key="k")
    await shop.call("POST", f"{JOBS}/{first['id']}/cancel")
    await shop.asked("shop.count", arguments={"n": 2}, key="k")
    taken = await shop.call("POST", f"{JOBS}/{first['id']}/retry")
    assert (taken.status_code, taken.json()["code"]) == (409, "job_key_taken")
    completion = {"name": "shop.tell", "arguments": {"batch": {}}}
    meddling = await shop.call(
        "POST", "/platform/v1/job-batches", {"jobs": [keyed], "completion": completion}
    )
    assert (meddling.status_code, meddling.json()["code"]) == (400, "job_arguments_invalid")


async def test_who_may(shop: Shop) -> None:
    staff = Staff(shop.served)
    nobody, reader = await staff.hired(), await staff.people.sign_up()
    await staff.made("/roles", name="job_reader", permissions=["jobs.runs:read"])
    await staff.give("job_reader", reader)
    maker = await staff.people.sign_up()
    await staff.made("/roles", name="job_maker", permissions=["jobs.runs:create"])
    await staff.give("job_maker", maker)
    anyone = f"/jobs/{uuid7()}"
    table: list[tuple[str, str, Any, int]] = [
        ("GET", "/jobs", None, 200),
        ("GET", anyone, None, 404),
        ("GET", f"/job-batches/{UUID(int=0)}", None, 404),
        ("GET", "/job-queues", None, 200),
        ("GET", "/job-types", None, 403),
        ("POST", "/jobs", {"name": "shop.count", "arguments": {"n": 1}}, 403),
        ("POST", "/job-batches", {"jobs": [{"name": "shop.count"}]}, 403),
        ("POST", f"{anyone}/cancel", None, 403),
        ("POST", f"{anyone}/retry", None, 403),
        ("DELETE", anyone, None, 403),
        ("POST", "/jobs/cancel", {"state": "queued"}, 403),
        ("POST", "/jobs/retry", {"state": "dead"}, 403),
        ("POST", "/jobs/delete", {"state": "dead"}, 403),
        ("POST", "/job-queues/default/pause", None, 403),
        ("POST", "/job-queues/default/resume", None, 403),
    ]
    for method, path, body, status in table:
        assert (await staff.call(method, path, body, by=reader)).status_code == status, (method, path)
        assert (await staff.call(method, path, body, by=nobody)).status_code == 403, (method, path)
        assert (await staff.call(method, path, body, by={})).status_code == 401, (method, path)
    job = {"name": "shop.count", "arguments": {"n": 7}, "key": "taken"}
    theirs = await shop.call("POST", JOBS, job)
    assert theirs.json()["arguments"] == {"n": 7}
    known = (await staff.call("POST", "/jobs", job, by=maker)).json()
    assert (known["id"], known["arguments"], known["actor"]) == (theirs.json()["id"], None, None)
